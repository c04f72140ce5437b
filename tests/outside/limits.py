#!/usr/bin/env python3
"""The examples when the system has no more to give: descriptors that run out, system calls that
fail, io_uring that is refused.

usage: limits.py BUILD_ROOT [TEST...]
"""

import ctypes
import errno
import functools
import os
import resource
import select
import signal
import socket
import struct
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
        """Those that get an answer within that time, while more of them may come."""
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

    def test_one_that_closes_makes_room_for_one_at_once(self):
        """Not after the pause, which is by then as long as it gets."""
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
        time.sleep(0.5 if support.FAST else 2)  # Nothing is waited for: this is observed.
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

    def test_a_server_without_a_descriptor_to_start_with(self):
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


class RefusedRing(support.Case):
    """A seccomp filter, like that of a container, refuses io_uring: epoll takes over."""

    def setUp(self):
        if os.environ.get("RINGLET_ENGINE"):
            self.skipTest("RINGLET_ENGINE names an engine, so nothing takes over")

    def assert_says(self, error, says):
        line = rf"ringlet: io_uring is not available: [^\n]*{says}[^\n]*; epoll is used instead"
        server = self.start_server(
            preexec_fn=functools.partial(refuse_io_uring, error),
            complaints=rf"{line}[^\n]*\n",
        )
        self.assert_serves(server)
        self.assertRegex(server.stderr, line)

    def test_as_docker_does(self):
        self.assert_says(errno.EPERM, "seccomp filter denies it")

    def test_as_podman_does(self):
        self.assert_says(errno.ENOSYS, "seccomp filter hides it")

    def test_a_program_that_insists_is_told_why_not(self):
        program = self.start(
            "eat_and_play",
            env={**os.environ, "RINGLET_ENGINE": "uring"},
            preexec_fn=functools.partial(refuse_io_uring, errno.EPERM),
        )
        self.assertEqual(program.process.stdout.read(), b"")
        self.assertEqual(program.wait(), 1, program.stderr)
        self.assertRegex(program.stderr, r"\Aio_uring is not available: [^\n]*seccomp[^\n]*\n\Z")


def refuse_io_uring(error):
    """For the child, before it becomes the program: io_uring_setup(2) fails from now on."""
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    io_uring_setup = 425  # On every architecture.
    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # See linux/bpf_common.h.
    allow, fail = 0x7FFF0000, 0x00050000  # SECCOMP_RET_...
    instructions = [
        (load, 0, 0, 0),
        (jump_if_equal, 0, 1, io_uring_setup),
        (answer, 0, 0, fail | error),
        (answer, 0, 0, allow),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_seccomp, mode_filter = 38, 22, 2  # See linux/prctl.h.
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if libc.prctl(set_seccomp, mode_filter, ctypes.byref(Program(len(instructions), code))) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class InjectedFailures(support.Case):
    """io_uring_enter(2) fails now and then, as it may: strace sees to it."""

    def check(self, error):
        support.skip_unless_traceable()
        strace = ["strace", "-D", "-f", "-qq", "-o", os.devnull, "-e", "trace=io_uring_enter"]
        inject = ["-e", f"inject=io_uring_enter:error={error}:when=2+3"]
        # Leaks cannot be looked for under a tracer.
        checks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        server = self.start_server(
            before=[*strace, *inject], env={**os.environ, "ASAN_OPTIONS": checks}
        )
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

    def send(self, sock, data):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    def test_interrupted(self):
        self.check("EINTR")

    def test_out_of_resources(self):
        self.check("EAGAIN")

    def test_completion_queue_full(self):
        self.check("EBUSY")


if __name__ == "__main__":
    support.main()
