#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The priority example as a program: the most urgent job first, equal ones in their order.

usage: priority.py BUILD_ROOT [TEST...]
"""

import support


class Priority(support.Case):
    def run_jobs(self, *arguments):
        program = self.start("priority", *arguments)
        output = program.process.stdout.read().decode()
        return program.wait(), output, program.stderr

    def test_jobs_run_by_urgency_and_then_in_order(self):
        status, output, errors = self.run_jobs("3:sweep", "1:fire", "2:leak", "1:flood", "-1:run")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(output, "-1: run\n1: fire\n1: flood\n2: leak\n3: sweep\n")

    def test_no_jobs_are_no_error(self):
        self.assertEqual(self.run_jobs(), (0, "", ""))

    def test_text_that_is_no_job_is_refused(self):
        for text in ("fire", "x:fire", ":fire", "1x:fire"):
            status, _, errors = self.run_jobs("1:flood", text)
            self.assertEqual(status, 1)
            self.assertIn(f"not a job: '{text}'", errors)


if __name__ == "__main__":
    support.main()
