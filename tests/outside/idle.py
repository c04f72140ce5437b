#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An idle server does nothing for ten seconds: no system call, no CPU time, no wake-up. And the
kernel does not count it as waiting for a disk.

usage: idle.py BUILD_ROOT [TEST...]
"""

import pathlib
import re
import tempfile
import time

import support
from support import context_switches, process_state, wait_until

OBSERVED = 1 if support.FAST else 10


class Idle(support.Case):
    def test_an_idle_server_does_nothing(self):
        """With open connections: one that has never sent anything, and one that has."""
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
        time.sleep(OBSERVED)  # A fixed time, because nothing may happen in it.
        self.assertEqual(context_switches(server.pid), switches)
        if not support.is_sanitized():
            self.assertEqual(support.cpu_seconds(server.pid), used)
        if calls:
            self.assertEqual(calls(), called)
        for sock in socks:
            self.assert_echoes(sock, b"still there?")
            sock.close()

    def trace(self, server):
        """Traces its first thread. Returns a function that reads the trace so far."""
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

        # Attaching interrupts a system call, which is restarted and then traced.
        sleeps = {"uring": "io_uring_enter(", "epoll": "epoll_"}[support.engine_of(server.pid)]
        wait_until(lambda: sleeps in read() or not strace.is_running(), "strace attaches")
        self.assertTrue(strace.is_running(), strace.stderr)
        return read


class Waiting(support.Case):
    """A thread that waits in io_uring used to count as waiting for a disk: the idle time of its
    processor was accounted as iowait, and monitors took an idle server for a busy one.

    The test samples how many threads wait like that, on all processors. Other programs may do so
    now and then, so the test checks whether a thread does so all the time."""

    def test_idleness_is_not_charged_as_waiting_for_a_disk(self):
        self.skip_unless_it_would_be_seen()
        server = self.start_server()
        if support.engine_of(server.pid) == "uring" and not can_leave_out_iowait():
            self.skipTest("before Linux 6.15 nothing can be done about it")
        with server.connect() as sock:
            self.fall_asleep(server, sock)
            wait_until(lambda: not a_thread_waits_for_a_disk(), "the server is not counted")

    def skip_unless_it_would_be_seen(self):
        """Shows the opposite with a server that may not use IORING_FEAT_NO_IOWAIT."""
        if support.ring_refusal():
            self.skipTest("io_uring is refused, so it cannot be shown what would be seen")
        if a_thread_waits_for_a_disk():
            self.skipTest("something else waits for a disk all the time")
        counted = support.environment(RINGLET_ENGINE="uring", RINGLET_DISABLE="no_iowait")
        server = self.start_server(env=counted)
        with server.connect() as sock:
            self.fall_asleep(server, sock)
            if not a_thread_waits_for_a_disk():
                self.skipTest("this kernel does not count threads that wait in io_uring")
        server.end()

    def fall_asleep(self, server, sock):
        self.assert_echoes(sock, b"and now silence")
        wait_until(lambda: process_state(server.pid) == "S", "the server sleeps")


def can_leave_out_iowait():
    no_iowait = 1 << 17  # IORING_FEAT_NO_IOWAIT
    return support.ask_for_ring()[1] & no_iowait != 0


def a_thread_waits_for_a_disk():
    """Samples for a fixed 0.2 s."""
    moments = 40
    waited = 0
    for _ in range(moments):
        text = pathlib.Path("/proc/stat").read_text()
        waited += re.search(r"^procs_blocked 0$", text, re.M) is None
        time.sleep(0.005)
    return waited > 0.9 * moments


if __name__ == "__main__":
    support.main()
