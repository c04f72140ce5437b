#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The workers example as a program: every job is done once, and Ctrl-C stops it cleanly.

usage: workers.py BUILD_ROOT [TEST...]
"""

import re
import signal

import support


class Workers(support.Case):
    def test_every_job_is_done_once(self):
        program = self.start("workers", "50")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        jobs = [int(job) for job in re.findall(r"worker [1-4]: job (\d+)\n", output)]
        self.assertEqual(sorted(jobs), list(range(1, 51)))
        self.assertTrue(output.endswith("50 of 50 jobs done\n"), output)

    def test_a_first_signal_lets_the_program_finish_queued_jobs(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            program = self.start("workers", "100000000")
            first = program.process.stdout.read(1)  # it runs
            program.signal(number)
            output = (first + program.process.stdout.read()).decode()
            self.assertEqual(program.wait(), 0)
            self.assertEqual(program.stderr, "")
            jobs = re.findall(r"worker [1-4]: job (\d+)\n", output)
            self.assertIn("stopping: no new jobs", output)
            self.assertTrue(output.endswith(f"{len(jobs)} of 100000000 jobs done\n"), output[-200:])

    def test_text_that_is_no_number_is_refused(self):
        for arguments in ((), ("many",), ("5x",), ("-1",)):
            program = self.start("workers", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: workers JOBS", program.stderr)


if __name__ == "__main__":
    support.main()
