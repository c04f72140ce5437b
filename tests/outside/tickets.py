#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tickets example as a program: with a mutex no ticket is sold twice, without one all are.

usage: tickets.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
without a mutex: 100 of 10 tickets sold, -90 left
with a mutex: 10 of 10 tickets sold, 0 left
"""


class Tickets(support.Case):
    def test_the_mutex_keeps_the_tickets_from_being_oversold(self):
        program = self.start("tickets")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
