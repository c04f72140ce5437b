#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rate limited client as a program: all requests are answered, at the rate and not above it.

usage: rate_limited_client.py BUILD_ROOT [TEST...]
"""

import re

import support

BURST = 4  # as in the example


class RateLimitedClient(support.Case):
    def test_every_request_is_answered_at_no_more_than_the_rate(self):
        program = self.start("rate_limited_client", "30", "50")
        output = program.process.stdout.read().decode()
        self.assertEqual(program.wait(), 0)
        self.assertEqual(program.stderr, "")
        end = re.search(
            r"30 of 30 requests answered, (\d+) refusals, at most (\d+) requests in any second\n$",
            output,
        )
        self.assertIsNotNone(end, output)
        refusals = re.findall(r"request \d+: refused, again in \d+ ms\n", output)
        self.assertEqual(len(refusals), int(end[1]))
        # Every fourth request is refused and made again: n of them leave 3n/4 answers.
        self.assertEqual(int(end[1]), (30 + int(end[1])) // 4)
        # The server counts when it reads, which may be a little later than the client's permit.
        self.assertLessEqual(int(end[2]), 50 + 2 * BURST + 8)

    def test_numbers_that_make_no_sense_are_refused(self):
        for arguments in ((), ("1",), ("0", "1"), ("1", "0"), ("x", "1"), ("1", "2", "3")):
            program = self.start("rate_limited_client", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: rate_limited_client REQUESTS RATE", program.stderr)


if __name__ == "__main__":
    support.main()
