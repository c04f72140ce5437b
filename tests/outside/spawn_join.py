#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Four calls at once as a program: the outcome of each matches its head comment.

usage: spawn_join.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
apples: 120 cents
bread: 250 cents
caviar: out of stock
dates: still looking
apples and bread: 370 cents
dates: told to stop
"""


class SpawnJoin(support.Case):
    def test_every_call_ends_in_its_own_way(self):
        program = self.start("spawn_join")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
