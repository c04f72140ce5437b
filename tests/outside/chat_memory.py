#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The user-space memory of the chat server for each idle member.

usage: chat_memory.py BUILD_ROOT [TEST...]
"""

import chat_support
import support
from support import descriptor_count, memory_bytes, reset, wait_until

MEMBERS = 2000 if support.FAST else 10_000
BYTES_EACH_MAX = 2 * 1024  # About 1,950 with g++ 12 -O2.


class Memory(chat_support.Case):
    def test_idle_members_take_little_memory(self):
        support.raise_descriptor_limit(MEMBERS + 100, f"{MEMBERS} members")
        server = self.start_server("--rate", "1000000")
        watcher = self.member(server, "watcher", "lobby")
        for number in range(1000):
            watcher.say(str(number))
            watcher.line()  # Every buffer has been used by now.
        few, before = descriptor_count(server.pid), memory_bytes(server.pid)
        members = [self.member(server, f"member{number}") for number in range(MEMBERS)]
        named = memory_bytes(server.pid) - before
        print(f"{named / MEMBERS:.0f} bytes for each of {MEMBERS} members with a name")

        for each in members:
            each.say("/time off")
            each.expect("* lines come without the time")
        talked = memory_bytes(server.pid) - before
        print(f"{talked / MEMBERS:.0f} bytes for each when each has said something")

        for each in members:
            reset(each.sock)  # A reset leaves no port in TIME_WAIT.
        wait_until(lambda: descriptor_count(server.pid) == few, "the server has closed")
        self.assertEqual(watcher.fence(), [])
        if support.is_sanitized() or not support.is_optimised():
            self.skipTest("only printed: the limit is for optimised builds without sanitizers")
        self.assertLessEqual(named / MEMBERS, BYTES_EACH_MAX)
        self.assertLessEqual(talked / MEMBERS, BYTES_EACH_MAX)


if __name__ == "__main__":
    support.main()
