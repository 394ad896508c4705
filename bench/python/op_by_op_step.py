#!/usr/bin/env python3
"""Time one first-order DARTS step on NAS-Bench-201's supernet, written op by op in Python.

    build/venv/bin/python bench/python/op_by_op_step.py [OPTIONS]      needs: scripts/setup --bench

The other side of flowdarts' benchmarks: an implementation of its own of what the public DARTS and NAS-Bench-201 search
code does, with the pinned torch. A mixed op is the sum of weight times op(x) over its five ops, `none` included; every
candidate is its own ReLU, convolution and batch norm; both steps call loss.backward(), which computes the gradients of
weights and alpha alike. One step is an arch step (Adam on alpha, a batch of V), then a weight step (SGD with momentum,
weight decay and clipping, a batch of T), on random images.

First it checks itself against tests/spaces/nas_bench_201/golden_*.json: number of parameters, logits in double
precision. Then it prints one JSON object with the seconds of every repetition; the variants take turns. They are nchw,
nhwc (channels-last) and nhwc-bf16-autocast.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import platform
import sys
import time

try:
    import numpy  # noqa: F401: torch warns without it
    import torch
    import torch.nn.functional as F
    from torch import nn
except (ImportError, OSError, ValueError) as error:  # what torch raises where a CUDA library is missing
    sys.exit(f"op_by_op_step.py: {error}; scripts/setup --bench installs what is missing into build/venv")

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "spaces" / "nas_bench_201"
CLASSES = 10
IMAGE = 32


class Failure(Exception):
    """One line for the user."""


# --- The supernet ----------------------------------------------------------------------------------------------------


class Zero(nn.Module):
    def forward(self, x):
        return x.mul(0.0)


def relu_conv_bn(inputs, outputs, kernel, stride=1, affine=True):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(outputs, affine=affine))


class MixedOp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.ops = nn.ModuleList([
            Zero(),
            nn.Identity(),
            relu_conv_bn(channels, channels, 1, affine=False),
            relu_conv_bn(channels, channels, 3, affine=False),
            nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
        ])

    def forward(self, x, weights):
        return sum(weight * op(x) for weight, op in zip(weights, self.ops))


class Cell(nn.Module):
    """Node i is the sum of the mixed ops of its edges from the nodes before it; four nodes, six edges."""

    def __init__(self, channels):
        super().__init__()
        self.edges = nn.ModuleList([MixedOp(channels) for _ in range(6)])

    def forward(self, x, weights):
        nodes = [x]
        edge = 0
        for _ in range(3):
            terms = []
            for source in nodes:
                terms.append(self.edges[edge](source, weights[edge]))
                edge += 1
            nodes.append(sum(terms))
        return nodes[-1]


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(relu_conv_bn(channels, 2 * channels, 3, stride=2),
                                  relu_conv_bn(2 * channels, 2 * channels, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(channels, 2 * channels, 1, bias=False))

    def forward(self, x):
        return self.shortcut(x) + self.body(x)


class Supernet(nn.Module):
    def __init__(self, channels, cells):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.blocks = nn.ModuleList()
        for stage in range(3):
            if stage > 0:
                self.blocks.append(ResidualBlock(channels))
                channels *= 2
            self.blocks.extend(Cell(channels) for _ in range(cells))
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(channels, CLASSES)

    def forward(self, images, weights):
        x = self.stem(images)
        for block in self.blocks:
            x = block(x, weights) if isinstance(block, Cell) else block(x)
        return self.classifier(self.last(x))

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.parameters())


# --- One step --------------------------------------------------------------------------------------------------------


class Search:
    """The weights, alpha and the two optimisers of one variant."""

    def __init__(self, variant, channels, cells, batch):
        torch.manual_seed(1)
        self.layout = torch.contiguous_format if variant == "nchw" else torch.channels_last
        self.autocast = variant.endswith("-bf16-autocast")
        self.supernet = Supernet(channels, cells).to(memory_format=self.layout).train()
        self.alpha = nn.Parameter(1e-3 * torch.randn(6, 5))
        self.arch_optimizer = torch.optim.Adam([self.alpha], lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.weight_optimizer = torch.optim.SGD(self.supernet.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)
        self.val, self.train = self.random_batch(batch), self.random_batch(batch)

    def random_batch(self, size):
        images = torch.randn(size, 3, IMAGE, IMAGE).contiguous(memory_format=self.layout)
        return images, torch.randint(CLASSES, (size,))

    def logits(self, images):
        return self.supernet(images, torch.softmax(self.alpha, 1))

    def loss(self, batch):
        images, labels = batch
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else contextlib.nullcontext():
            return F.cross_entropy(self.logits(images), labels)

    def step(self):
        self.arch_optimizer.zero_grad()
        self.loss(self.val).backward()
        self.arch_optimizer.step()

        self.weight_optimizer.zero_grad()
        self.loss(self.train).backward()
        nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
        self.weight_optimizer.step()


# --- Self check ------------------------------------------------------------------------------------------------------


def expect(condition, text):
    if not condition:
        raise Failure(f"self check: {text}")


def golden(shape, scale=1.0, shift=0.0):
    """shift + scale u(i) for the flat index i, as tests/spaces/nas_bench_201/golden_fill.hpp has it."""
    x = (torch.arange(math.prod(shape)) + 0x9E3779B9) & 0xFFFFFFFF
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    x = x ^ x >> 16
    return (shift + scale * (2.0 * x.double() / 4294967296.0 - 1.0)).reshape(shape)


def golden_supernet(entry):
    supernet = Supernet(entry["channels"], entry["cells"]).double()
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            weight = name.endswith("weight")
            if weight and parameter.dim() > 1:
                parameter.copy_(golden(parameter.shape, math.sqrt(3.0 * parameter.shape[0] / parameter.numel())))
            else:
                parameter.copy_(golden(parameter.shape, 0.1, 1.0 if weight else 0.0))
    return supernet


def read_golden(name):
    with open(GOLDEN / name, encoding="utf-8") as file:
        return json.load(file)


def check_against_golden_files():
    entry = next(e for e in read_golden("golden_forward.json") if e["name"] == "nb201_search_biasless_C4_N1_track1")
    supernet = golden_supernet(entry)
    images, weights = golden(entry["input"]), torch.softmax(golden((6, 5), 0.5), 1)
    for mode in ("eval", "train"):  # evaluation first: it needs fresh running statistics
        supernet.train(mode == "train")
        with torch.no_grad():
            found = supernet(images, weights)[0]
        expected = torch.tensor(entry[f"{mode}_mode"]["sample0"], dtype=torch.float64)
        expect(torch.allclose(found, expected, rtol=1e-9, atol=0.0),
               f"logits in {mode} mode are {found.tolist()}, expected {expected.tolist()}")


def expected_parameters(channels, cells):
    """Of flowdarts' supernet, where the golden files tell; else None."""
    for entry in read_golden("golden_params.json")["supernet"]:
        if (entry["conv_bias"], entry["affine"], entry["classes"]) == (False, False, CLASSES):
            if entry["channels"] == channels:
                blocks, deep = entry["per_block_params"], entry["cells"]
                one_cell_a_stage = blocks[0] + blocks[deep + 1] + blocks[2 * deep + 2]
                return entry["params"] - (deep - cells) * one_cell_a_stage
    return None


def check_search(search, batch):
    logits = search.logits(search.val[0])
    expect(logits.shape == (batch, CLASSES), f"logits have the shape {tuple(logits.shape)}")
    F.cross_entropy(logits, search.val[1]).backward()
    for name, parameter in [("alpha", search.alpha), *search.supernet.named_parameters()]:
        expect(parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(),
               f"{name} has no gradient, or one that is zero or not finite")


# --- Program ---------------------------------------------------------------------------------------------------------

VARIANTS = ("nchw", "nhwc", "nhwc-bf16-autocast")


def measure(arguments):
    load_average = os.getloadavg()[0]
    torch.set_num_threads(arguments.threads)
    check_against_golden_files()
    parameters = Supernet(arguments.channels, arguments.cells).parameter_count()
    expected = expected_parameters(arguments.channels, arguments.cells)
    expect(expected in (None, parameters), f"{parameters} parameters, expected {expected}")
    check_search(Search("nchw", arguments.channels, arguments.cells, arguments.batch), arguments.batch)

    searches = {v: Search(v, arguments.channels, arguments.cells, arguments.batch) for v in arguments.variants}
    seconds = {variant: [] for variant in searches}
    for repetition in range(arguments.warmup + arguments.repetitions):
        for variant, search in searches.items():
            start = time.perf_counter()
            search.step()
            if repetition >= arguments.warmup:
                seconds[variant].append(time.perf_counter() - start)
    for variant, search in searches.items():
        expect(search.alpha.isfinite().all(), f"alpha of {variant} is not finite after the steps")
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "load_average": load_average,
        "channels": arguments.channels,
        "cells": arguments.cells,
        "batch": arguments.batch,
        "parameters": parameters,
        "warmup": arguments.warmup,
        "seconds": seconds,
    }


def at_least(low):
    def number(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"found {text}, expected at least {low}")
        return value
    return number


def variants(text):
    names = text.split(",")
    for name in names:
        if name not in VARIANTS:
            raise argparse.ArgumentTypeError(f"found '{name}', expected some of {','.join(VARIANTS)}")
    return list(dict.fromkeys(names))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=at_least(1), default=16, metavar="C", help="of the first stage (16)")
    parser.add_argument("--cells", type=at_least(1), default=1, metavar="N", help="in each of the three stages (1)")
    parser.add_argument("--batch", type=at_least(2), default=64, metavar="B", help="images a batch (64)")
    parser.add_argument("--threads", type=at_least(1), default=2, metavar="T", help="of torch (2)")
    parser.add_argument("--repetitions", type=at_least(1), default=7, metavar="R", help="steps that are timed (7)")
    parser.add_argument("--warmup", type=at_least(0), default=2, metavar="W", help="steps before those (2)")
    parser.add_argument("--variants", type=variants, default=list(VARIANTS), metavar="V,...",
                        help=f"some of {','.join(VARIANTS)} (all)")
    try:
        print(json.dumps(measure(parser.parse_args())))
    except (Failure, OSError) as failure:
        sys.exit(f"op_by_op_step.py: {failure}")


if __name__ == "__main__":
    main()
