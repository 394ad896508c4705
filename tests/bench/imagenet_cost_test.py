"""scripts/imagenet-cost against figures worked out by hand."""

import pathlib
import subprocess
import sys
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "imagenet-cost"


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


def rows(*arguments):
    lines = run_script(*arguments).stdout.splitlines()[2:-2]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class ImagenetCost(unittest.TestCase):
    # 200 images a step. decode: 200 / (4 x 500) = 100 ms. PCIe: 200 x 3 x 100^2 = 6 MB at 6 GB/s, 1 ms. step: 200 / 4000, 50 ms.
    # all-reduce: of 2 GPUs 1 x 40 MB at 100 GB/s, 0.4 ms; of 4, on two hosts, 1.5 x 40 MB at 8 Gbit/s, 60 ms.
    OPTIONS = ["--batch", "100", "--decode", "500", "--cores", "4", "--size", "100", "--pcie", "6", "--rate", "4000",
               "--parameters", "10", "--local", "100", "--network", "8", "--per-host", "2", "--image-kilobytes", "100"]

    def test_decoding_limits(self):
        found = rows(*self.OPTIONS)
        self.assertEqual([row[0] for row in found], ["1", "2", "4", "8", "16", "32", "64"])
        self.assertEqual(found[0], ["1", "1", "100.00", "1.00", "50.00", "0.00", "2,000", "200", "decode"])
        self.assertEqual(found[1], ["2", "1", "100.00", "1.00", "50.00", "0.40", "4,000", "400", "decode"])
        self.assertEqual(found[2], ["4", "2", "100.00", "1.00", "50.00", "60.00", "8,000", "400", "decode"])

    def test_the_network_limits(self):
        found = rows(*self.OPTIONS, "--cores", "16")
        self.assertEqual(found[0][-1], "step")
        self.assertEqual(found[2], ["4", "2", "25.00", "1.00", "50.00", "60.00", "13,333", "667", "all-reduce"])

    def test_messages_are_waited_for_by_several(self):
        found = rows(*self.OPTIONS, "--messages", "200", "--latency", "500")
        self.assertEqual([row[4] for row in found[:3]], ["50.00", "150.00", "150.00"])

    def test_says_how_many_cores_keep_up(self):
        self.assertEqual(run_script(*self.OPTIONS).stdout.splitlines()[-1],
                         "Cores that it takes to decode 4000 images/s: 8 for each GPU.")

    def test_refuses_what_is_not_positive(self):
        for value in ("0", "-3", "nan", "many"):
            done = run_script("--rate", value)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"argument --rate: invalid positive float value: '{value}'", done.stderr.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
