#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The user-space memory of the server for each idle connection that has sent data once.

usage: memory.py BUILD_ROOT [TEST...]
"""

import support
from support import descriptor_count, memory_bytes, reset, wait_until

CONNECTIONS = 2000 if support.FAST else 10_000
BYTES_EACH_MAX = 600
# The epoll engine keeps 24 bytes for each descriptor; io_uring keeps them in the kernel.
EPOLL_SLOT_BYTES = 24


class Memory(support.Case):
    def test_idle_connections_take_little_memory(self):
        support.raise_descriptor_limit(CONNECTIONS + 100, f"{CONNECTIONS} connections")
        server = self.start_server()
        limit = BYTES_EACH_MAX
        if support.engine_of(server.pid) == "epoll":
            limit += EPOLL_SLOT_BYTES
        with server.connect() as sock:
            for _ in range(5000):
                self.assert_echoes(sock, b"x" * 64)  # Every buffer has been used by now.
            few, before = descriptor_count(server.pid), memory_bytes(server.pid)
            socks = [server.connect() for _ in range(CONNECTIONS)]
            for each in socks:
                self.assert_echoes(each, b"x" * 64)
            grown = memory_bytes(server.pid) - before
            print(f"{grown / CONNECTIONS:.0f} bytes for each of {CONNECTIONS} idle connections")

            for each in socks:
                reset(each)  # A reset leaves no port in TIME_WAIT.
            wait_until(lambda: descriptor_count(server.pid) == few, "the server has closed")
            self.assert_echoes(sock, b"still there?")
            # The second time needs no more, although the server returned some memory in between.
            socks = [server.connect() for _ in range(CONNECTIONS)]
            for each in socks:
                self.assert_echoes(each, b"x" * 64)
            again = memory_bytes(server.pid) - before
            print(f"{again / CONNECTIONS:.0f} bytes for each when they come a second time")
            for each in socks:
                reset(each)

        if support.is_sanitized() or not support.is_optimised():
            self.skipTest("only printed: the limit is for optimised builds without sanitizers")
        self.assertLessEqual(grown / CONNECTIONS, limit)
        self.assertLessEqual((again - grown) / CONNECTIONS, limit / 7)


if __name__ == "__main__":
    support.main()
