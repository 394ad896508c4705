#!/usr/bin/env python3
"""Write the table of true accuracies that flowdarts reads from the official NAS-Bench-201 API.

    pip install nas-bench-201 torch
    scripts/convert_nas_bench_201.py NAS-Bench-201-v1_1-096897.pth table.csv
    flowdarts query ARCH --benchmark-table table.csv

For those who have the benchmark's file (https://github.com/D-X-Y/NAS-Bench-201, loading it takes minutes and tens of GB
of memory). Takes the test accuracies after the last of 200 epochs, each the mean over the benchmark's seeds, in percent:

    cifar10_test          trained on all 50,000 images, tested on the 10,000 test images
    cifar100_test         tested on the x-test half of the test images
    imagenet16_120_test   tested on the x-test half of the validation images

An OUTPUT that ends in .gz is compressed. Nothing is written unless all 15,625 cells are there and every accuracy is a
number from 0 to 100.
"""

import argparse
import gzip
import itertools
import math
import numbers
import os
import sys

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
HEADER = "arch,cifar10_test,cifar100_test,imagenet16_120_test"
DATA_SETS = ("cifar10", "cifar100", "ImageNet16-120")


class ConversionError(Exception):
    """What is wrong with the benchmark, in one line."""


def all_archs():
    """The architecture strings of all 5^6 cells."""
    return {
        f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|" for a, b, c, d, e, f in itertools.product(OPS, repeat=6)
    }


def rows(api):
    """Yields the lines of the table, without header, in the order of the API's own indices.

    api: a NASBench201API, or anything with len(api), api[index] and
    get_more_info(index, dataset, hp="200", is_random=False)["test-accuracy"].
    """
    missing = all_archs()
    if len(api) != len(missing):
        raise ConversionError(f"found {len(api)} architectures, expected {len(missing)}")
    for index in range(len(api)):
        arch = api[index]
        if arch not in missing:
            raise ConversionError(f"architecture {index}: found {arch!r}, which is no NAS-Bench-201 cell or a second time")
        missing.remove(arch)
        fields = [arch]
        for data_set in DATA_SETS:
            accuracy = api.get_more_info(index, data_set, hp="200", is_random=False).get("test-accuracy")
            if not isinstance(accuracy, numbers.Real) or not math.isfinite(accuracy) or not 0 <= accuracy <= 100:
                raise ConversionError(
                    f"architecture {index}, {data_set}: found test accuracy {accuracy!r}, expected 0 to 100"
                )
            fields.append(f"{accuracy:.4f}")
        yield ",".join(fields)


def convert(api, output):
    """Writes the table to the path `output` in one piece, or raises ConversionError and leaves nothing."""
    text = "\n".join([HEADER, *rows(api)]) + "\n"
    content = text.encode()
    if output.endswith(".gz"):
        content = gzip.compress(content, compresslevel=9, mtime=0)
    unfinished = f"{output}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
        os.replace(unfinished, output)
    except OSError:
        if os.path.exists(unfinished):
            os.remove(unfinished)
        raise


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("benchmark", metavar="BENCHMARK.pth", help="the official file, v1.0 or v1.1")
    parser.add_argument("output", metavar="OUTPUT", help="the table to write, .csv or .csv.gz")
    arguments = parser.parse_args()
    if not os.path.isfile(arguments.benchmark):
        sys.exit(f"convert_nas_bench_201: {arguments.benchmark}: found no such file")
    try:
        from nas_201_api import NASBench201API
    except ImportError as error:
        sys.exit(f"convert_nas_bench_201: {error}; install the official API: pip install nas-bench-201 torch")
    try:
        convert(NASBench201API(arguments.benchmark, verbose=False), arguments.output)
    except (ConversionError, OSError) as error:
        sys.exit(f"convert_nas_bench_201: {error}")


if __name__ == "__main__":
    main()
