"""bench/run with programs that answer as the benchmarks do; none of them measures anything."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench" / "run"


def repetitions(name, times):
    return [{"run_name": f"{name}/real_time", "run_type": "iteration", "real_time": time} for time in times]


class BenchRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        (self.build / "bin").mkdir()

    def add_program(self, name, benchmarks):
        path = self.build / "bin" / name
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'benchmarks': benchmarks})}\nEND\n")
        path.chmod(0o755)

    def run_script(self, *arguments):
        command = [sys.executable, str(SCRIPT), "--build", str(self.build), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def expect_refused(self, arguments, *expected):
        done = self.run_script(*arguments)
        self.assertNotEqual(done.returncode, 0, arguments)
        self.assertEqual(done.stdout, "")
        self.assertNotIn("Traceback", done.stderr)
        for text in expected:
            self.assertIn(text, done.stderr.splitlines()[-1])

    def test_wrong_arguments_are_refused_with_what_was_found_and_expected(self):
        self.expect_refused(["--only", "prune,stepp"], "--only: found 'stepp', expected some of prune,load,step,")
        self.expect_refused(["--only", ""], "--only: found ''")
        self.expect_refused(["--repetitions", "1"], "--repetitions: found 1, expected at least 2")
        self.expect_refused(["--only", "prune"], "bin/bench_prune: found no such program", "section 'prune'")
        self.add_program("bench_prune", [])
        self.expect_refused(["--only", "prune", "--jpegs", "/no/such"], "--jpegs: found no folder /no/such")

    def test_only_the_chosen_sections_are_printed_with_the_ratio_in_each_repetition(self):
        self.add_program("bench_prune", repetitions("sort/serial", [100, 90, 120]) +
                         repetitions("sort/thrust", [50, 30, 30]) + repetitions("prune_event/serial", [200, 200, 200]) +
                         repetitions("prune_event/thrust", [160, 150, 170]))
        done = self.run_script("--only", "prune")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("| sort: serial / thrust | 2.00 | 3.00 | 4.00 |", done.stdout)
        self.assertIn("| prune_event/thrust | 160.0 ms | at most 150 ms on 2 cores | **no**, 1 of 3 |", done.stdout)
        self.assertIn("in percent of their median: sort/thrust (67%), sort/serial (30%)", done.stdout)
        self.assertEqual(done.stdout.count("\n## "), 1)

    def test_a_failure_keeps_the_sections_printed_before_it(self):
        self.add_program("bench_prune", repetitions("sort/serial", [1, 1]) + repetitions("sort/thrust", [1, 1]) +
                         repetitions("prune_event/serial", [1, 1]) + repetitions("prune_event/thrust", [1, 1]))
        self.add_program("bench_load", [])
        done = self.run_script("--only", "load,prune")
        self.assertEqual(done.returncode, 1)
        self.assertIn("## One pruning event", done.stdout)
        self.assertIn("bench_load: measured nothing", done.stderr)


if __name__ == "__main__":
    unittest.main()
