#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two greenlets that take turns: the order of their output, and that the program ends.

usage: switch_by_hand.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
play a
eat 1
play b
eat 2
back in main: 2 games and 2 meals
"""


class SwitchByHand(support.Case):
    def test_the_greenlets_take_turns_until_one_has_ended(self):
        program = self.start("switch_by_hand")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
