"""scripts/convert_nas_bench_201.py with an object that answers as the official API does."""

import gzip
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "convert_nas_bench_201.py"
SPEC = importlib.util.spec_from_file_location("convert_nas_bench_201", SCRIPT)
convert_nas_bench_201 = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(convert_nas_bench_201)
ConversionError = convert_nas_bench_201.ConversionError


class FakeApi:
    """Accuracies made from the index: i/200 on CIFAR-10, half of it on CIFAR-100, a quarter on ImageNet16-120."""

    def __init__(self):
        self.archs = sorted(convert_nas_bench_201.all_archs(), reverse=True)
        self.wrong = {}

    def __len__(self):
        return len(self.archs)

    def __getitem__(self, index):
        return self.archs[index]

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        assert iepoch is None and hp == "200" and is_random is False
        divisor = {"cifar10": 200, "cifar100": 400, "ImageNet16-120": 800}[dataset]
        return self.wrong.get((index, dataset), {"test-accuracy": index / divisor, "valid-accuracy": 99.0})


class Convert(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refuse(self, api, message):
        output = str(self.folder / "table.csv")
        with self.assertRaisesRegex(ConversionError, message):
            convert_nas_bench_201.convert(api, output)
        self.assertEqual(os.listdir(self.folder), [])

    def test_writes_what_flowdarts_reads(self):
        api = FakeApi()
        for name in ("table.csv", "table.csv.gz"):
            output = str(self.folder / name)
            convert_nas_bench_201.convert(api, output)
            with (gzip.open if name.endswith(".gz") else open)(output, "rt") as file:
                lines = file.read().split("\n")
            self.assertEqual(len(lines), 15627)
            self.assertEqual(lines[0], "arch,cifar10_test,cifar100_test,imagenet16_120_test")
            self.assertEqual(lines[1 + 1000], api.archs[1000] + ",5.0000,2.5000,1.2500")
            answer = subprocess.run(
                [os.environ["FLOWDARTS_PROGRAM"], "query", api.archs[1000], "--benchmark-table", output, "--json"],
                check=True, capture_output=True,
            )
            self.assertEqual(json.loads(answer.stdout)["cifar100"], 2.5)
            self.assertEqual(json.loads(answer.stdout)["rank_cifar10"], 15625 - 1000)

    def test_has_all_cells(self):
        archs = convert_nas_bench_201.all_archs()
        self.assertEqual(len(archs), 15625)
        self.assertIn("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
                      archs)

    def test_refuses_missing_and_repeated_cells(self):
        api = FakeApi()
        last = api.archs.pop()
        self.refuse(api, "found 15624 architectures, expected 15625")
        api.archs.append(api.archs[0])
        self.refuse(api, "architecture 15624: found .* a second time")
        api.archs[-1] = last.replace("~0", "~9")
        self.refuse(api, "architecture 15624: found .* no NAS-Bench-201 cell")

    def test_refuses_accuracies_that_are_none(self):
        for wrong in ({}, {"test-accuracy": None}, {"test-accuracy": float("nan")}, {"test-accuracy": 100.5},
                      {"test-accuracy": "93"}):
            api = FakeApi()
            api.wrong[(7, "cifar100")] = wrong
            self.refuse(api, "architecture 7, cifar100: found test accuracy .*, expected 0 to 100")

    def test_program_names_what_is_missing(self):
        command = [sys.executable, str(SCRIPT), str(self.folder / "none.pth"), str(self.folder / "out.csv")]
        answer = subprocess.run(command, capture_output=True, text=True)
        self.assertNotEqual(answer.returncode, 0)
        self.assertRegex(answer.stderr, r"\Aconvert_nas_bench_201: .*none.pth: found no such file\n\Z")


if __name__ == "__main__":
    unittest.main()
