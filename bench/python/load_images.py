#!/usr/bin/env python3
"""Time how torchvision makes training images of JPEG files, on one thread.

    build/venv/bin/python bench/python/load_images.py FOLDER [--passes N]      needs: scripts/setup --bench

The other side of bench_load's load_jpeg_folder. What a search or a training asks of every image below FOLDER: read,
decode, a random resized crop of 224 pixels, a flip, normalised float32. Two ways, which take turns:

    pillow   Pillow decodes, torchvision.transforms on its images, ToTensor: what ImageFolder and most code do
    tensors  torchvision's decode_jpeg and transforms.v2 on uint8 tensors

Prints one JSON object: the number of images, and the seconds of every pass. A pass of each comes first, uncounted.
"""

import argparse
import json
import pathlib
import sys
import time

try:
    import torch
    from PIL import Image
    from torchvision import io, transforms
    from torchvision.transforms import v2
except (ImportError, OSError, ValueError) as error:  # what torch raises where a CUDA library is missing
    sys.exit(f"load_images.py: {error}; scripts/setup --bench installs what is missing into build/venv")

SIZE = 224
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def pillow():
    augment = transforms.Compose([transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(),
                                  transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def load(file):
        with Image.open(file) as image:
            return augment(image.convert("RGB"))
    return load


def tensors():
    augment = v2.Compose([v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip(),
                          v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def load(file):
        return augment(io.decode_jpeg(io.read_file(str(file)), mode=io.ImageReadMode.RGB))
    return load


def seconds(load, files):
    start = time.perf_counter()
    for file in files:
        image = load(file)
    taken = time.perf_counter() - start
    assert image.shape == (3, SIZE, SIZE) and image.dtype == torch.float32
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--passes", type=int, default=1, metavar="N", help="counted passes over the images (1)")
    arguments = parser.parse_args()
    if arguments.passes < 1:
        parser.error(f"--passes: found {arguments.passes}, expected at least 1")
    files = sorted(file for file in arguments.folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        sys.exit(f"load_images.py: {arguments.folder}: found no *.jpg or *.jpeg")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    loads = {"pillow": pillow(), "tensors": tensors()}
    found = {name: [] for name in loads}
    for counted in [False] + [True] * arguments.passes:
        for name, load in loads.items():
            taken = seconds(load, files)
            if counted:
                found[name].append(taken)
    print(json.dumps({"images": len(files), "seconds": found}))


if __name__ == "__main__":
    main()
