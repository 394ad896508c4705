#!/usr/bin/env python3
"""Runs every command of docs/tutorial.md on a few small images, in a folder of its own.

    tutorial_test.py TUTORIAL BIN PYTHON

BIN: the folder of the programs. PYTHON: an interpreter whose packages the Python part needs; that part is skipped, and
says so, where it has no onnxruntime. Blocks marked `sh` and `python` are run in their order; others are text.
"""

import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import zlib


def png(pixels, side):
    """RGB pixels, row by row, as a PNG file."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + pixels[row * side * 3:(row + 1) * side * 3] for row in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_images(folder, per_class, noise):
    """Two classes that differ in their colour."""
    for label, colour in {"cat": (180, 120, 60), "dog": (60, 120, 180)}.items():
        (folder / label).mkdir(parents=True)
        for number in range(per_class):
            pixels = bytes(min(255, max(0, colour[i % 3] + noise.randrange(-60, 60))) for i in range(32 * 32 * 3))
            (folder / label / f"{number:04}.png").write_bytes(png(pixels, 32))


def main():
    tutorial, programs, python = (pathlib.Path(argument).absolute() for argument in sys.argv[1:])
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", tutorial.read_text(), re.M | re.S)
    commands = sum(kind == "sh" for kind, _ in blocks)
    if commands < 8:
        sys.exit(f"{tutorial}: found {commands} blocks of commands, expected the tutorial's")
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", OMP_WAIT_POLICY="passive")
    with tempfile.TemporaryDirectory(prefix="flowdarts-tutorial-") as folder:
        folder = pathlib.Path(folder)
        noise = random.Random(1)
        write_images(folder / "images/train", 48, noise)
        write_images(folder / "images/test", 8, noise)
        for kind, text in blocks:
            print(f"--- {kind}\n{text}", flush=True)
            if kind == "sh":
                command = ["bash", "-euo", "pipefail", "-c", text]
            elif subprocess.run([python, "-c", "import onnxruntime, numpy"], capture_output=True).returncode == 0:
                command = [python, "-c", text]
            else:
                print("SKIPPED: this Python has no onnxruntime (scripts/setup --test installs it)", flush=True)
                continue
            code = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode
            if code != 0:
                sys.exit(f"{tutorial}: exit code {code} of\n{text}")
        for left in ("lists/train.txt", "runs/search-1/genotype.json", "runs/search-1/report.html", "compare.html",
                     "runs/trained/result.json", "runs/trained/report.html", "net.onnx", "net.safetensors"):
            if not (folder / left).is_file() or (folder / left).stat().st_size == 0:
                sys.exit(f"{tutorial}: its commands left no {left}")
        if not list((folder / "pictures").glob("*.svg")):
            sys.exit(f"{tutorial}: its commands left no pictures")


if __name__ == "__main__":
    main()
