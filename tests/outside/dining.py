#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The dining example as a program: the deadlock is reported with all five, then all of them eat.

usage: dining.py BUILD_ROOT [TEST...]
"""

import re

import support

NAMES = ["Hume", "Kant", "Plato", "Seneca", "Spinoza"]


class Dining(support.Case):
    def test_the_deadlock_is_reported_and_the_order_of_locks_cures_it(self):
        program = self.start("dining")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stderr, "")
        # Kant gets the fork that Hume drops, before the dinner is ended.
        self.assertTrue(output.startswith("left fork first:\nKant eats\ndeadlock: "), output)
        report, cure = output.split("lower fork first:\n")
        self.assertIn("wait for locks of each other\n", report)
        # Each waits for a mutex that the next one holds, and it says where.
        chain = re.findall(
            r'^fiber \d+ "(\w+)": lock mutex 0x[0-9a-f]+ .*held by fiber \d+ "(\w+)"', report, re.M
        )
        self.assertEqual(sorted(waits for waits, _ in chain), NAMES)
        self.assertEqual([held for _, held in chain], [waits for waits, _ in chain[1:] + chain[:1]])
        awaits = re.findall(r"^    at .*dining\.cpp:\d+ in ", report, re.M)
        self.assertEqual(len(awaits), len(NAMES))
        eaten = re.findall(r"^(\w+) eats$", cure, re.M)
        self.assertEqual(sorted(eaten), NAMES)
        self.assertTrue(cure.endswith("all have eaten\n"), cure)


if __name__ == "__main__":
    support.main()
