#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The udp_upper example as a program, with nc, socat and Python as its clients.

usage: udp_upper.py BUILD_ROOT [TEST...]
"""

import re
import signal
import socket
import subprocess

import support
from support import DEADLINE


class UdpUpper(support.Case):
    def start_server(self):
        server = self.start("udp_upper", "0")
        line = server.process.stdout.readline().decode()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        self.assertTrue(found, line + server.stderr)
        self.port = int(found[1])
        return server

    def connect(self):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.settimeout(DEADLINE)
        made.connect(("127.0.0.1", self.port))
        return made

    def ask(self, question):
        with self.connect() as client:
            client.send(question)
            return client.recv(65536)

    def assert_ends(self, server, handled):
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.stderr)
        last = server.process.stdout.read().decode()
        self.assertEqual(last, f"handled {handled}, failed 0, lost 0\n")
        self.assertEqual(server.stderr, "")

    def test_a_datagram_comes_back_in_capitals(self):
        server = self.start_server()
        self.assertEqual(self.ask(b"hello, World 1\n"), b"HELLO, WORLD 1\n")
        self.assertEqual(self.ask(b""), b"")
        self.assertEqual(self.ask(bytes(range(256))), bytes(range(256)).upper())
        self.assertEqual(self.ask(b"x" * 16000), b"X" * 16000)
        self.assert_ends(server, 4)

    def test_nc_and_socat_are_clients(self):
        support.skip_unless_installed("nc", "socat")
        server = self.start_server()
        port = str(self.port)
        for command in (
            ["nc", "-u", "-W", "1", "127.0.0.1", port],
            ["socat", "-t", "2", "-", f"UDP:127.0.0.1:{port}"],
        ):
            done = subprocess.run(command, input=b"hello\n", capture_output=True, timeout=DEADLINE)
            self.assertEqual(done.stdout, b"HELLO\n", done.stderr)
        self.assert_ends(server, 2)

    def test_many_clients_are_served_at_once(self):
        server = self.start_server()
        clients = [self.connect() for _ in range(100)]
        for number, client in enumerate(clients):
            client.send(f"client {number}".encode())
        for number, client in enumerate(clients):
            self.assertEqual(client.recv(100), f"CLIENT {number}".encode())
        self.assert_ends(server, 100)

    def test_a_client_that_is_gone_does_not_matter(self):
        server = self.start_server()
        gone = self.connect()
        gone.send(b"lost")
        gone.close()
        self.assertEqual(self.ask(b"here"), b"HERE")
        self.assert_ends(server, 2)

    def test_a_truncated_datagram_gets_no_answer(self):
        server = self.start_server()
        client = self.connect()
        client.send(b"x" * 60000)
        client.send(b"next")
        self.assertEqual(client.recv(65536), b"NEXT")
        self.assert_ends(server, 2)

    def test_a_port_is_required(self):
        for arguments in ([], ["x"], ["70000"], ["1", "2"]):
            program = self.start("udp_upper", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: ", program.stderr)

    def test_a_port_in_use_is_an_error(self):
        server = self.start_server()
        second = self.start("udp_upper", str(self.port))
        self.assertEqual(second.wait(), 1)
        self.assertIn("Address already in use", second.stderr)
        self.assert_ends(server, 0)


if __name__ == "__main__":
    support.main()
