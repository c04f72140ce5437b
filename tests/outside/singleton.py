#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The singleton example as a program: the object is made once, after an attempt that failed.

usage: singleton.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
connecting, attempt 1
visitor 1: no answer
connecting, attempt 2
visitor 2: connection 2
visitor 3: connection 2
visitor 4: connection 2
visitor 5: connection 2
visitor 6: connection 2
visitor 7: connection 2
visitor 8: connection 2
visitor 9: connection 2
visitor 10: connection 2
10 visitors, 2 attempts, 1 connection
"""


class Singleton(support.Case):
    def test_all_visitors_after_the_failed_attempt_share_one_object(self):
        program = self.start("singleton")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
