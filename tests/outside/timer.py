#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The timer example as a program: it prints what its head comment says.

usage: timer.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
capital of France? Paris. in time
capital of Mongolia? 3 2 1 too late
capital of Bhutan? let me think... let me think... Thimphu. in time
the timer was cancelled 2 times, and fired once
"""


class Timer(support.Case):
    def test_each_question_ends_in_its_own_way(self):
        program = self.start("timer")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
