#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The port_forwarder example as a program: between TCP and Unix sockets, half-closed, reset, idle.

usage: port_forwarder.py BUILD_ROOT [TEST...]
"""

import os
import signal
import socket
import subprocess
import tempfile
import threading

import support
from support import DEADLINE, receive_all, reset


class PortForwarder(support.Case):
    def setUp(self):
        self.listen()

    def start_forwarder(self, here="127.0.0.1:0", target=None):
        """In front of the listener of the script, unless there is another target."""
        target = target or f"127.0.0.1:{self.port}"
        forwarder = self.start("port_forwarder", here, target)
        line = forwarder.process.stdout.readline().decode()
        self.assertRegex(line, r"\Alistening on ", forwarder.stderr)
        self.where = line.split()[2]
        return forwarder

    def connect(self):
        host, _, port = self.where.rpartition(":")
        made = socket.create_connection((host, int(port)), DEADLINE)
        self.addCleanup(made.close)
        return made

    def assert_ends(self, forwarder, complaints=""):
        forwarder.signal(signal.SIGTERM)
        self.assertEqual(forwarder.wait(), 128 + signal.SIGTERM, forwarder.stderr)
        self.assertRegex(forwarder.stderr, rf"\A{complaints}\Z")

    def test_bytes_go_both_ways_and_are_counted(self):
        forwarder = self.start_forwarder()
        client = self.connect()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        server = self.accept()
        self.assertEqual(receive_all(server), b"question")
        server.sendall(b"the answer")  # The connection is half-closed, and still works.
        server.close()
        self.assertEqual(receive_all(client), b"the answer")
        line = forwarder.process.stdout.readline()
        self.assertEqual(line, b"8 bytes there, 10 back\n")
        self.assert_ends(forwarder)

    def test_five_hundred_threads_of_a_client_are_answered(self):
        server = self.start_server()
        forwarder = self.start_forwarder(target=f"127.0.0.1:{server.port}")
        support.check_five_hundred_clients(self, self.where)
        self.assert_ends(forwarder)

    def test_much_data_goes_both_ways_at_once(self):
        forwarder = self.start_forwarder()
        data = os.urandom(8 << 20)
        client = self.connect()
        server = self.accept()
        received = {}

        def exchange(name, sock):
            sender = threading.Thread(target=lambda: (sock.sendall(data),
                                                      sock.shutdown(socket.SHUT_WR)))  # fmt: skip
            sender.start()
            received[name] = receive_all(sock)
            sender.join()

        other = threading.Thread(target=exchange, args=("server", server))
        other.start()
        exchange("client", client)
        other.join()
        self.assertTrue(received["client"] == data and received["server"] == data)
        self.assert_ends(forwarder)

    def test_a_side_that_does_not_read_stops_the_other_one(self):
        forwarder = self.start_forwarder()
        client = self.connect()
        server = self.accept()
        client.settimeout(1)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 256 << 20:
                sent += client.send(bytes(1 << 20))
        self.assertLess(support.memory_bytes(forwarder.pid), 64 << 20)
        server.close()
        self.assert_ends(forwarder, r"(a connection to 127.0.0.1:\d+ failed: .*\n)?")

    def test_a_reset_of_one_side_ends_the_other(self):
        forwarder = self.start_forwarder()
        client = self.connect()
        server = self.accept()
        reset(server)
        try:
            self.assertEqual(client.recv(1), b"")
        except ConnectionResetError:
            pass
        support.wait_until(lambda: forwarder.stderr, "the forwarder reports the reset")
        self.assert_ends(forwarder, r"a connection to 127.0.0.1:\d+ failed: .*\n")

    def test_a_target_that_refuses_ends_the_connection(self):
        self.listener.close()
        forwarder = self.start_forwarder()
        try:
            self.assertEqual(self.connect().recv(1), b"")
        except ConnectionResetError:
            pass
        support.wait_until(lambda: forwarder.stderr, "the forwarder reports the refusal")
        self.assert_ends(forwarder, r"a connection to .* failed: Connection refused\n")

    def test_each_side_may_be_a_unix_socket(self):
        support.skip_unless_installed("socat")
        with tempfile.TemporaryDirectory() as folder:
            front, back = os.path.join(folder, "front"), os.path.join(folder, "back")
            store = self.start("key_value_unix", back)
            self.assertTrue(store.process.stdout.readline())
            forwarder = self.start_forwarder(front, back)
            self.assertEqual(self.where, front)
            done = subprocess.run(
                ["socat", "-", f"UNIX-CONNECT:{front}"],
                input=b"SET a 1\nGET a\n", capture_output=True, timeout=DEADLINE,
            )  # fmt: skip
            self.assertEqual(done.stdout, b"OK\nVALUE 1\n", done.stderr)
            self.assert_ends(forwarder)

    def test_bad_arguments_are_refused(self):
        for arguments in ((), ("127.0.0.1:0",)):
            program = self.start("port_forwarder", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: ", program.stderr)
        for arguments in (("127.0.0.1:0", "nonsense"), ("nonsense", "127.0.0.1:1")):
            program = self.start("port_forwarder", *arguments)
            self.assertEqual(program.wait(), 1)
            self.assertIn('"nonsense" is not an address', program.stderr)


if __name__ == "__main__":
    support.main()
