#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Generators as a program: its output matches its head comment.

usage: generator_send.py BUILD_ROOT [TEST...]
"""

import support

EXPECTED = """\
producing 1
consuming 1
the consumer answers: 200 OK
producing 2
consuming 2
the consumer answers: 200 OK
the consumer took 2 items
apple banana cherry date: 4 names
"""


class GeneratorSend(support.Case):
    def test_consumer_and_producer_take_turns(self):
        program = self.start("generator_send")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, EXPECTED)
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
