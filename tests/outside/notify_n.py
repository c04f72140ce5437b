#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The notify_n example as a program: each number wakes that many workers, in their order.

usage: notify_n.py BUILD_ROOT [TEST...]
"""

import subprocess

import support


class NotifyN(support.Case):
    def output_for(self, text):
        program = support.build_root / "examples" / "notify_n"
        done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def test_each_number_wakes_that_many_workers_in_turn(self):
        expected = [f"worker {number}" for number in (1, 2, 3, 4, 5, 1)]
        self.assertEqual(self.output_for("2\n3\n0\n1\n"), expected)

    def test_more_jobs_than_workers_are_all_done(self):
        self.assertEqual(len(self.output_for("12\n")), 12)

    def test_text_that_is_no_number_is_named_and_skipped(self):
        expected = ["not a number from 0 to 1000: 'three'", "worker 1"]
        self.assertEqual(self.output_for("three\n1\n"), expected)

    def test_the_end_of_the_input_ends_all_workers(self):
        self.assertEqual(self.output_for(""), [])


if __name__ == "__main__":
    support.main()
