#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The echo_cores example, and echo_server with --threads: connections are served by all threads.

usage: echo_cores.py BUILD_ROOT [TEST...]
"""

import fcntl
import pathlib
import signal
import socket
import unittest

import support
from support import DEADLINE, wait_until


def cpu_of_threads(pid):
    """The processor time of each thread so far, in clock ticks, by its number."""
    files = pathlib.Path(f"/proc/{pid}/task").glob("*/stat")
    return {file.parent.name: sum(map(int, file.read_text().rsplit(")", 1)[1].split()[11:13]))
            for file in files}  # fmt: skip


def echoes(sock, text):
    sock.sendall(text)
    got = b""
    while len(got) < len(text):
        part = sock.recv(65536)
        if not part:
            break
        got += part
    return got == text


class EchoCores(support.Case):
    def test_every_core_serves_the_port_of_the_example(self):
        # Its port is fixed, and another test of the same port may run.
        turn = self.enterContext(open(pathlib.Path(__file__).with_name("echo_server.py"), "rb"))
        fcntl.flock(turn, fcntl.LOCK_EX)
        program = self.start("echo_cores")

        def connected():
            if not program.is_running():
                self.assertIn("in use", program.stderr)
                raise unittest.SkipTest("another process listens on port 9090")
            try:
                return socket.create_connection(("127.0.0.1", 9090), DEADLINE)
            except ConnectionRefusedError:
                return None

        with wait_until(connected, "echo_cores listens") as first:
            self.assertTrue(echoes(first, b"hello\n"))
            clients = [socket.create_connection(("127.0.0.1", 9090), DEADLINE) for _ in range(50)]
            for client in clients:
                self.addCleanup(client.close)
                self.assertTrue(echoes(client, b"x" * 100_000))
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(), 130)
        self.assertEqual(program.stderr, "")


class EchoServerThreads(support.Case):
    def start_server(self, *options):
        server = self.start("echo_server", "--port", "0", *options)
        line = server.process.stdout.readline().decode()
        self.assertRegex(line, r"^listening on 127\.0\.0\.1:\d+\n$")
        return server, int(line.rsplit(":", 1)[1])

    def test_each_of_four_threads_serves_a_quarter_of_the_connections(self):
        server, port = self.start_server("--threads", "4")
        clients = []
        for _ in range(16):
            client = socket.create_connection(("127.0.0.1", port), DEADLINE)
            self.addCleanup(client.close)
            self.assertTrue(echoes(client, b"hello\n"))
            clients.append(client)
        before = cpu_of_threads(server.pid)
        self.assertGreaterEqual(len(before), 4)

        def all_have_worked():
            for client in clients:
                self.assertTrue(echoes(client, b"x" * 1_000_000))
            now = cpu_of_threads(server.pid)
            return sum(now[thread] > ticks for thread, ticks in before.items()) >= 4

        wait_until(all_have_worked, "four threads have used processor time")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 143)

    def test_five_hundred_threads_of_a_client_are_answered(self):
        server, port = self.start_server("--threads", "2")
        support.check_five_hundred_clients(self, f"127.0.0.1:{port}")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 143)

    def test_a_bad_address_is_one_line_for_any_number_of_threads(self):
        for threads in ("1", "2"):
            server = self.start("echo_server", "--threads", threads, "--host", "somewhere")
            self.assertEqual(server.wait(), 1)
            self.assertEqual(len(server.stderr.splitlines()), 1, server.stderr)

    def test_a_port_in_use_is_reported_once_and_ends_all_threads(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            server = self.start("echo_server", "--threads", "3", "--port", port)
            self.assertEqual(server.wait(), 1)
            self.assertIn("in use", server.stderr)

    def test_a_bad_number_of_threads_is_refused(self):
        server = self.start("echo_server", "--threads", "5000")
        self.assertEqual(server.wait(), 2)


if __name__ == "__main__":
    support.main()
