#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two fibers on one thread: the order of their output, and that their times do not add up.

usage: eat_and_play.py BUILD_ROOT [TEST...]
"""

import re
import signal
import time

import support
from support import wait_until

EXPECTED = """\
eating ...
playing ...
done playing
done eating
1.5 s passed, not 2.5 s
"""


class EatAndPlay(support.Case):
    def test_both_fibers_take_as_long_as_the_longer_one(self):
        begin = time.monotonic()
        program = self.start("eat_and_play")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        passed = time.monotonic() - begin
        # A busy machine may need 1.6 s.
        said = re.search(r"^(\d+\.\d) s passed", output, re.M)
        self.assertIsNotNone(said, output)
        self.assertEqual(output.replace(said[1], "1.5", 1), EXPECTED)
        self.assertGreaterEqual(float(said[1]), 1.5)
        self.assertLess(float(said[1]), 2.5)
        self.assertGreaterEqual(passed, 1.5)
        self.assertEqual(program.stderr, "")

    def test_control_c_ends_the_sleep(self):
        program = self.start("eat_and_play")
        wait_until(lambda: support.handles_signal(program.pid, signal.SIGINT), "it handles signals")
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(), 130)
        self.assertNotIn(b"done", program.process.stdout.read())
        self.assertEqual(program.stderr, "")


if __name__ == "__main__":
    support.main()
