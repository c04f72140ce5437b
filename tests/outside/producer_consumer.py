#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The producer_consumer example as a program: all items are done, also after Ctrl-C.

usage: producer_consumer.py BUILD_ROOT [TEST...]
"""

import re
import signal

import support


class ProducerConsumer(support.Case):
    def last_line(self, output):
        match = re.search(
            r"(\d+) of (\d+) items done, (\d+) in the queue \(at most (\d+)\)\n\Z", output)
        self.assertIsNotNone(match, output[-200:])
        return [int(number) for number in match.groups()]

    def test_every_item_is_done(self):
        program = self.start("producer_consumer", "3", "4", "20")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stderr, "")
        done, count, queued, peak = self.last_line(output)
        self.assertEqual((done, count, queued), (60, 60, 0))
        self.assertLessEqual(peak, 8)

    def test_a_first_signal_lets_consumers_finish(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            program = self.start("producer_consumer", "5", "2", "1000000")
            first = program.process.stdout.readline()  # it runs, and reports its progress
            program.signal(number)
            output = (first + program.process.stdout.read()).decode()
            self.assertEqual(program.wait(), 0)
            self.assertEqual(program.stderr, "")
            self.assertIn("stopping: what was made is done\n", output)
            done, count, queued, peak = self.last_line(output)
            self.assertEqual((count, queued, peak), (5000000, 0, 8))
            self.assertGreater(done, 0)

    def test_no_items_are_no_error(self):
        program = self.start("producer_consumer", "0", "1", "5")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(output, "0 of 0 items done, 0 in the queue (at most 0)\n")

    def test_arguments_that_are_no_numbers_are_refused(self):
        for arguments in ((), ("1", "2"), ("1", "0", "3"), ("x", "1", "3"), ("1", "1", "-3")):
            program = self.start("producer_consumer", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: producer_consumer", program.stderr)


if __name__ == "__main__":
    support.main()
