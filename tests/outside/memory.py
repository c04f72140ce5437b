#!/usr/bin/env python3
"""What an idle connection that has spoken once costs the server in user space.

usage: memory.py BUILD_ROOT [TEST...]
"""

import support
from support import descriptor_count, memory_bytes, reset, wait_until

CONNECTIONS = 2000 if support.FAST else 10_000
BYTES_EACH_MAX = 600
# The epoll engine remembers each descriptor in 24 bytes of its own; io_uring does it in the kernel.
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
                self.assert_echoes(sock, b"x" * 64)  # Every buffer has been in use now.
            few, before = descriptor_count(server.pid), memory_bytes(server.pid)
            socks = [server.connect() for _ in range(CONNECTIONS)]
            for each in socks:
                self.assert_echoes(each, b"x" * 64)
            grown = memory_bytes(server.pid) - before
            print(f"{grown / CONNECTIONS:.0f} bytes for each of {CONNECTIONS} idle connections")

            for each in socks:
                reset(each)  # Leaves no port behind in TIME_WAIT.
            wait_until(lambda: descriptor_count(server.pid) == few, "the server has closed")
            self.assert_echoes(sock, b"still there?")
            # The second time it takes no more, though some was given back to the system in between.
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
