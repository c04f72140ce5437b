#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples when the system is out of resources: no free descriptors, system calls that fail.

usage: limits.py BUILD_ROOT [TEST...]
"""

import errno
import os
import pathlib
import re
import resource
import select
import signal
import socket
import tempfile
import threading
import time

import support
from support import cpu_seconds, descriptor_count, receive_all, wait_until


class Descriptors(support.Case):
    LIMIT = 40
    CLIENTS = 100

    def setUp(self):
        if "undefined" in support.build_options()["b_sanitize"]:
            self.skipTest("UndefinedBehaviorSanitizer makes pipes to look at virtual tables")

    def start_limited(self):
        limit = (self.LIMIT, self.LIMIT)
        return self.start_server(
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
            complaints=r"only 40 descriptors are allowed[^\n]*\n(ringlet: accept: [^\n]*\n)?",
        )

    def answered(self, socks, seconds):
        """The clients that get an answer within that time, while more may connect."""
        return select.select(socks, [], [], seconds)[0]

    def test_connections_wait_until_others_close(self):
        server = self.start_limited()
        waiting = [server.connect() for _ in range(self.CLIENTS)]
        for sock in waiting:
            sock.sendall(b"hello")
        wait_until(lambda: descriptor_count(server.pid) == self.LIMIT, "no descriptor is left")
        wait_until(lambda: "ringlet: accept" in server.stderr, "the server says so")
        rounds = 0
        while waiting:
            served = wait_until(lambda: self.answered(waiting, 0.1), "the next ones are served")
            self.assertLess(len(served), self.LIMIT)
            for sock in served:
                self.assertEqual(support.receive_exactly(sock, 5), b"hello")
                self.assert_echoes(sock, b"and again")
            for sock in served:
                waiting.remove(sock)
                sock.close()
            rounds += 1
        self.assertGreater(rounds, 1)
        self.assert_serves(server)

    def test_a_connection_that_closes_makes_room_for_another_at_once(self):
        """Not after the pause, which has reached its maximum by then."""
        server = self.start_limited()
        waiting = [server.connect() for _ in range(self.LIMIT + 20)]
        for sock in waiting:
            sock.sendall(b"hello")
        wait_until(lambda: "ringlet: accept" in server.stderr, "no descriptor is left")
        served = self.answered(waiting, 1)
        while more := self.answered([sock for sock in waiting if sock not in served], 0.1):
            served += more
        begin = time.monotonic()
        for sock in served[:10]:
            waiting.remove(sock)
            sock.close()
            served.remove(sock)
            rest = [sock for sock in waiting if sock not in served]
            served += wait_until(lambda: self.answered(rest, 1), "one more is served")
        print(f"10 times one for one: {1000 * (time.monotonic() - begin):.1f} ms")
        if not support.is_sanitized():
            self.assertLess(time.monotonic() - begin, 2)
        for sock in waiting:
            sock.close()

    def test_waiting_for_descriptors_takes_no_cpu(self):
        if support.is_sanitized():
            self.skipTest("sanitizers take CPU time of their own")
        server = self.start_limited()
        socks = [server.connect() for _ in range(self.CLIENTS)]
        wait_until(lambda: "ringlet: accept" in server.stderr, "no descriptor is left")
        begin, used = time.monotonic(), cpu_seconds(server.pid)
        time.sleep(0.5 if support.FAST else 2)  # A fixed time, over which CPU use is measured.
        share = (cpu_seconds(server.pid) - used) / (time.monotonic() - begin)
        print(f"without descriptors: {100 * share:.1f} % CPU")
        self.assertLess(share, 0.05)
        for sock in socks:
            sock.close()
        self.assert_serves(server)

    def test_a_server_without_descriptors_ends_when_told(self):
        server = self.start_limited()
        socks = [server.connect() for _ in range(self.CLIENTS)]
        wait_until(lambda: "ringlet: accept" in server.stderr, "no descriptor is left")
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 130, server.stderr)
        for sock in socks:
            sock.close()

    def test_a_server_without_a_descriptor_at_the_start_ends(self):
        if support.is_sanitized():
            self.skipTest("sanitizers need descriptors of their own")
        for limit in (4, 5):
            with self.subTest(limit=limit):
                server = self.start(
                    "echo_server", "--port", "0",
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
                )  # fmt: skip
                self.assertNotIn(server.wait(), (0, -6, -11), server.stderr)
                self.assertIn("Too many open files", server.stderr)


class InjectedFailures:
    """strace makes the engine's system calls fail now and then, as the kernel may."""

    engine = ""

    def setUp(self):
        support.skip_unless_named(self.engine)

    def start_injected(self, *faults, complaints=""):
        """A server whose calls fail as given, each in the form CALL:error=...:when=..."""
        injections = [word for fault in faults for word in ("-e", f"inject={fault}")]
        self.calls = [fault.partition(":")[0] for fault in faults]
        self.log = tempfile.NamedTemporaryFile()
        self.addCleanup(self.log.close)
        trace = ["-e", "trace=" + ",".join(self.calls)]
        options = support.traced(*trace, *injections, log=self.log.name)
        options["env"]["RINGLET_ENGINE"] = self.engine
        server = self.start_server(complaints=complaints, **options)
        self.assertEqual(support.engine_of(server.pid), self.engine)
        return server

    def assert_injected(self):
        text = pathlib.Path(self.log.name).read_text()
        for call in self.calls:
            self.assertRegex(text, rf"\b{call}\(.*\(INJECTED\)")

    def check(self, *faults):
        server = self.start_injected(*faults)
        with server.connect() as sock:
            for _ in range(100):
                self.assert_echoes(sock, b"one at a time")
        socks = [server.connect() for _ in range(50)]
        for sock in socks:
            sock.sendall(b"all at once")
        for sock in socks:
            self.assertEqual(support.receive_exactly(sock, 11), b"all at once")
            sock.close()
        data = os.urandom(4 << 20)
        with server.connect() as sock:
            sender = threading.Thread(target=self.send, args=[sock, data], daemon=True)
            sender.start()
            self.assertTrue(receive_all(sock) == data, "not what was sent")
            sender.join()
        self.assert_injected()

    def send(self, sock, data):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


class InjectedIntoUring(InjectedFailures, support.Case):
    engine = "uring"

    def test_interrupted_calls_are_repeated(self):
        self.check("io_uring_enter:error=EINTR:when=2+3")

    def test_calls_that_lack_resources_are_repeated(self):
        self.check("io_uring_enter:error=EAGAIN:when=2+3")

    def test_a_full_completion_queue_is_drained(self):
        self.check("io_uring_enter:error=EBUSY:when=2+3")


class InjectedIntoEpoll(InjectedFailures, support.Case):
    engine = "epoll"

    def test_interrupted_calls_are_repeated(self):
        self.check("epoll_pwait2:error=EINTR:when=2+3")

    def test_an_old_kernel_sleeps_in_milliseconds(self):
        """Linux before 5.11 has no epoll_pwait2(2), and an old seccomp filter may deny it."""
        for error in ("ENOSYS", "EPERM"):
            with self.subTest(error=error):
                self.check(f"epoll_pwait2:error={error}")

    def test_interrupted_sleeps_in_milliseconds_are_repeated(self):
        older = "epoll_wait" if os.uname().machine == "x86_64" else "epoll_pwait"
        self.check("epoll_pwait2:error=ENOSYS", f"{older}:error=EINTR:when=2+3")

    # See epoll_ctl(2): no memory for it, or too many descriptors watched by one user. The eventfd
    # is the first to be watched, the listener the second, connections that wait follow.

    NO_WATCH = (
        "ringlet: epoll: no watch is left for this user; "
        "raise the sysctl fs.epoll.max_user_watches\n"
    )

    def test_a_connection_that_cannot_be_watched_ends_alone(self):
        for error in (errno.ENOMEM, errno.ENOSPC):
            with self.subTest(error=errno.errorcode[error]):
                hint = re.escape(self.NO_WATCH) if error == errno.ENOSPC else ""
                server = self.start_injected(
                    f"epoll_ctl:error={errno.errorcode[error]}:when=3",
                    complaints=hint + rf"ringlet: fiber 2 failed: receive: {os.strerror(error)}"
                    r" \(spawned at .*\)\n",
                )
                with server.connect() as sock:
                    self.assertEqual(receive_all(sock), b"")
                self.assert_serves(server)
                self.assert_injected()

    def test_a_listener_that_cannot_be_watched_is_tried_again(self):
        server = self.start_injected(
            "epoll_ctl:error=ENOSPC:when=2",
            complaints=re.escape(self.NO_WATCH) + "ringlet: accept: .* waiting until .*watch.*\n",
        )
        self.assert_serves(server)
        self.assert_injected()

    def test_an_engine_that_cannot_watch_its_bell_is_refused(self):
        options = support.traced("-e", "inject=epoll_ctl:error=ENOSPC:when=1")
        options["env"]["RINGLET_ENGINE"] = "epoll"
        program = self.start("echo_server", "--port", "0", **options)
        self.assertEqual(program.wait(), 1, program.stderr)
        self.assertEqual(program.process.stdout.read(), b"")
        self.assertIn(os.strerror(errno.ENOSPC), program.stderr)
        self.assertIn("fs.epoll.max_user_watches", program.stderr)


if __name__ == "__main__":
    support.main()
