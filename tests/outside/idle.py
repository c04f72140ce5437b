#!/usr/bin/env python3
"""A server with nothing to do does nothing: no system call, no CPU, no wake-up, for ten seconds.

usage: idle.py BUILD_ROOT [TEST...]
"""

import pathlib
import tempfile
import time

import support
from support import context_switches, process_state, wait_until

OBSERVED = 1 if support.FAST else 10


class Idle(support.Case):
    def test_nothing_happens(self):
        """With connections that are open, one that waits since its begin, one that has spoken."""
        server, traced = self.start_server(), self.start_server()
        socks = []
        for each in (server, traced):
            for _ in range(100):
                socks.append(each.connect())
                self.assert_echoes(socks[-1], b"and now silence")
            socks.append(each.connect())
        calls = self.trace(traced)
        for each in (server, traced):
            wait_until(lambda: process_state(each.pid) == "S", "the server sleeps")

        switches = context_switches(server.pid)
        used = support.cpu_seconds(server.pid)
        called = calls() if calls else None
        time.sleep(OBSERVED)  # Nothing is waited for: this is observed.
        self.assertEqual(context_switches(server.pid), switches)
        if not support.is_sanitized():
            self.assertEqual(support.cpu_seconds(server.pid), used)
        if calls:
            self.assertEqual(calls(), called)
        for sock in socks:
            self.assert_echoes(sock, b"still there?")
            sock.close()

    def trace(self, server):
        """Traces its first thread. Returns a function that reads what was traced so far."""
        try:
            support.skip_unless_traceable()
        except support.unittest.SkipTest as reason:
            print(f"not looked at: system calls, because {reason}")
            return None
        log = tempfile.NamedTemporaryFile()
        self.addCleanup(log.close)
        strace = support.Program("strace", "-qq", "-p", server.pid, "-o", log.name)
        self.addCleanup(strace.end)

        def read():
            return pathlib.Path(log.name).read_text()

        # The system call that was interrupted to attach is begun again, and then seen.
        wait_until(lambda: "io_uring_enter" in read() or not strace.is_running(), "strace attaches")
        self.assertTrue(strace.is_running(), strace.stderr)
        return read


if __name__ == "__main__":
    support.main()
