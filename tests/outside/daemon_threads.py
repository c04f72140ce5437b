#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The daemon_threads example as a program: what ends with main, in which order, and what does not.

usage: daemon_threads.py BUILD_ROOT [TEST...]
"""

import support

ENDED = [
    "the fiber beside main: was ended",
    "the fiber on the other scheduler: was ended",
    "the fiber in a shield: was allowed to finish",
    "the blocking call: could not be stopped",
]


class DaemonThreads(support.Case):
    def test_fibers_end_before_the_program_and_threads_by_themselves(self):
        program = self.start("daemon_threads")
        lines = program.process.stdout.read().decode().splitlines()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stderr, "")
        self.assertEqual(lines[0], "main: returns")
        self.assertEqual(lines[-1], "the thread has ended")
        all_ended = lines.index("all fibers have ended")
        for line in ENDED:
            self.assertLess(lines.index(line), all_ended, line)
        self.assertIn("the thread: was told by post() that the scheduler has ended", lines)
        self.assertEqual(len(lines), len(ENDED) + 4)


if __name__ == "__main__":
    support.main()
