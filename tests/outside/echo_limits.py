#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The echo_limits example: its limits, its report, and restarts that lose no connection.

usage: echo_limits.py BUILD_ROOT [TEST...]
"""

import os
import resource
import signal
import socket
import sys
import threading

import support
from support import DEADLINE, program_path, receive_all, wait_until

PER_PEER = 100
RESTARTS = 5 if support.FAST else 20
# Starts a program as a service manager does, with the socket whose number is given.
AS_MANAGER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class EchoLimits(support.Case):
    def start_limited(self, **options):
        server = support.Server(program_path("echo_limits"), "127.0.0.1:0", **options)
        self.addCleanup(server.end)
        return server

    def connect(self, server):
        made = server.connect()
        self.addCleanup(made.close)
        return made

    def stop(self, server):
        """The lines of its report."""
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.stderr)
        self.assertEqual(server.stderr, "")
        return server.process.stdout.read().decode().splitlines()

    def test_the_report_says_how_connections_ended(self):
        server = self.start_limited()
        for number in range(10):
            with self.connect(server) as sock:
                self.assert_echoes(sock, b"hello %d\n" % number)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(receive_all(sock), b"")
        report = self.stop(server)
        self.assertEqual(report, ["served 10, refused 0, timed out 0, cut off 0"])

    def test_a_stop_waits_for_peers_that_end_and_cuts_off_those_that_do_not(self):
        server = self.start_limited()
        ending, staying = self.connect(server), self.connect(server)
        for sock in (ending, staying):
            self.assert_echoes(sock, b"hello\n")
        server.signal(signal.SIGTERM)
        wait_until(lambda: self.is_refused(server), "the server accepts no more")
        self.assert_echoes(ending, b"still there?\n")
        ending.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(ending), b"")
        self.assertEqual(server.wait(), 0, server.stderr)
        name = "%s:%d" % staying.getsockname()
        report = server.process.stdout.read().decode().splitlines()
        # Also those with which this test asked whether the server accepts.
        self.assertRegex(report[0], r"^served [1-9]\d*, refused 0, timed out 0, cut off 1$")
        self.assertEqual(report[1:], [f"cut off: {name}"])
        self.assertEqual(receive_all(staying), b"")

    def is_refused(self, server):
        try:
            server.connect().close()
        except ConnectionError:
            return True
        return False

    def test_a_peer_with_too_many_connections_is_told_so_and_another_is_served(self):
        server = self.start_limited()
        for _ in range(PER_PEER):
            self.assert_echoes(self.connect(server), b"x")
        self.assertEqual(receive_all(self.connect(server)), b"too many connections\n")
        elsewhere = socket.create_connection(
            (server.host, server.port), DEADLINE, source_address=("127.0.0.2", 0)
        )
        with elsewhere:
            self.assert_echoes(elsewhere, b"x")

    def test_an_eighth_of_the_descriptors_is_kept_back(self):
        if "undefined" in support.build_options()["b_sanitize"]:
            self.skipTest("UndefinedBehaviorSanitizer makes pipes to look at virtual tables")
        server = self.start_limited(
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
        )
        for _ in range(70):
            self.assert_echoes(self.connect(server), b"x")
        self.assertEqual(receive_all(self.connect(server)), b"too many connections\n")
        self.assertEqual(
            server.stderr, "ringlet: a server has 70 connections, its limit: it closes new ones\n"
        )

    def test_a_silent_peer_is_disconnected(self):
        if support.FAST:
            self.skipTest("it takes ten seconds")
        server = self.start_limited()
        talking, silent = self.connect(server), self.connect(server)
        self.assert_echoes(talking, b"x")
        self.assertEqual(receive_all(silent), b"")
        self.assert_echoes(talking, b"x")

    def test_restarts_lose_no_connection(self):
        """The new process starts before the old one is told to stop; both have the same socket."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        self.is_over = False
        self.answered, self.lost = 0, []
        clients = [threading.Thread(target=self.ask_until_over, daemon=True) for _ in range(8)]
        server = self.start_on(listener)
        for client in clients:
            client.start()
        for _ in range(RESTARTS):
            before = self.answered
            wait_until(lambda: self.answered > before + 20 or self.lost, "clients are answered")
            old, server = server, self.start_on(listener)
            report = self.stop(old)
            self.assertRegex(report[0], r"^served \d+, refused 0, timed out 0, cut off 0$")
        self.is_over = True
        for client in clients:
            client.join()
        self.stop(server)
        self.assertEqual(self.lost, [])
        print(f"{self.answered} connections, {RESTARTS} restarts")

    def start_on(self, listener):
        number = os.dup(listener.fileno())
        try:
            server = support.Server(
                sys.executable, "-c", AS_MANAGER, number, program_path("echo_limits"),
                pass_fds=(number,),
            )  # fmt: skip
        finally:
            os.close(number)
        self.addCleanup(server.end)
        self.assertEqual(server.port, self.port)
        return server

    def ask_until_over(self):
        try:
            while not self.is_over:
                with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as sock:
                    sock.sendall(b"hello")
                    sock.shutdown(socket.SHUT_WR)
                    answer = receive_all(sock)
                    if answer != b"hello":
                        self.lost.append(answer)
                self.answered += 1
        except OSError as error:
            self.lost.append(error)


if __name__ == "__main__":
    support.main()
