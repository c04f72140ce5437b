#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Groups and limits as a program: its output matches its head comment.

usage: groups_and_deadlines.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
beta was faster than alpha
front page: sunny, 3 headlines
weather: told to stop
no front page: 1 failed in a group: the news service is down
order: saved as a draft
no order: timed out
"""


class GroupsAndDeadlines(support.Case):
    def test_every_part_ends_in_time(self):
        program = self.start("groups_and_deadlines")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
