#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The echo server from its clients' view: it returns what they send, whatever they do.

usage: echo_server.py BUILD_ROOT [TEST...]
"""

import fcntl
import hashlib
import os
import selectors
import socket
import subprocess
import threading
import unittest

import support
from support import DEADLINE, descriptor_count, memory_bytes, receive_all, reset, wait_until

MIB = 1 << 20
BUFFER = 16 * 1024  # The most that one receive() returns: see engine_options.


def size_of_the_big_one():
    if support.FAST:
        return 64 * MIB
    return 256 * MIB if support.is_sanitized() else 1024 * MIB


class Numbered:
    """A long stream of bytes in which no two MiB are the same."""

    def __init__(self):
        self.block = bytearray(os.urandom(MIB))

    def blocks(self, count):
        for number in range(count // MIB):
            self.block[:8] = number.to_bytes(8, "little")
            yield self.block


class OtherPrograms(support.Case):
    """Generic clients, such as nc and curl."""

    def run_client(self, *command, text):
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=DEADLINE)
        self.assertEqual(done.stdout.decode(), text, done.stderr)

    def test_netcat_gets_back_what_it_sent(self):
        support.skip_unless_installed("nc")
        server = self.start_server()
        self.run_client("nc", "-N", "127.0.0.1", str(server.port), text="hello\nand good bye\n")

    def test_socat_gets_back_what_it_sent(self):
        support.skip_unless_installed("socat")
        server = self.start_server()
        self.run_client("socat", "-", f"TCP:127.0.0.1:{server.port}", text="hello\n" * 1000)

    def test_curl_gets_its_request_for_an_answer(self):
        support.skip_unless_installed("curl")
        server = self.start_server()
        url = f"http://127.0.0.1:{server.port}/some/where"
        # Neither side ends such a connection by itself.
        with support.Program("curl", "-sN", "--noproxy", "*", "--http0.9", url) as curl:
            self.assertEqual(curl.process.stdout.readline(), b"GET /some/where HTTP/1.1\r\n")

    def test_the_first_program_of_the_readme_echoes(self):
        # Its port is fixed, and these tests may run twice at once: for two engines.
        turn = self.enterContext(open(__file__, "rb"))
        fcntl.flock(turn, fcntl.LOCK_EX)
        echo = self.start("echo")

        def connected():
            if not echo.is_running():
                self.assertIn("in use", echo.stderr)
                raise unittest.SkipTest("another process listens on port 9090")
            try:
                return socket.create_connection(("127.0.0.1", 9090), DEADLINE)
            except ConnectionRefusedError:
                return None

        with wait_until(connected, "echo listens") as sock:
            self.assert_echoes(sock, b"hello\n")
        echo.signal(2)
        self.assertEqual(echo.wait(), 130)
        self.assertEqual(echo.stderr, "")


class Echo(support.Case):
    def test_a_big_stream_comes_back_unchanged(self):
        size = size_of_the_big_one()
        server = self.start_server()
        sent, received = hashlib.sha1(), hashlib.sha1()
        with server.connect() as sock:

            def send():
                for block in Numbered().blocks(size):
                    sent.update(block)
                    sock.sendall(block)
                sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            count = 0
            while part := sock.recv(MIB):
                received.update(part)
                count += len(part)
            sender.join()
        self.assertEqual(count, size)
        self.assertEqual(received.digest(), sent.digest())

    def test_single_bytes_come_back_one_by_one(self):
        server = self.start_server()
        with server.connect() as sock:
            for number in range(2000):
                self.assert_echoes(sock, bytes([number % 256]))

    def test_many_clients_get_their_own_bytes(self):
        server = self.start_server()
        socks = [server.connect() for _ in range(500)]
        for turn in range(5):
            texts = [f"client {number} turn {turn} ".encode() * 20 for number in range(len(socks))]
            for sock, text in zip(socks, texts):
                sock.sendall(text)
            for sock, text in zip(socks, texts):
                self.assertEqual(support.receive_exactly(sock, len(text)), text)
        for sock in socks:
            sock.close()

    def test_five_hundred_threads_of_a_client_are_answered(self):
        server = self.start_server()
        support.check_five_hundred_clients(self, f"127.0.0.1:{server.port}")

    def test_ipv6_clients_are_served_too(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            raise unittest.SkipTest(f"no IPv6 here: {error}") from None
        self.assert_serves(self.start_server("--host", "::1"))


class Endings(support.Case):
    def test_a_client_may_half_close_first(self):
        """The client reads everything that is still in transit, and then the end of the stream."""
        server = self.start_server()
        with server.connect() as sock:
            data = os.urandom(100_000)
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(sock), data)

    def test_a_client_may_close_its_reading_side_first(self):
        """The server still reads from a peer that stopped reading, until the peer stops writing."""
        server = self.start_server()
        idle = descriptor_count(server.pid)
        with server.connect() as sock:
            self.assert_echoes(sock, b"before")
            sock.shutdown(socket.SHUT_RD)
            sock.sendall(b"the echo of this is not read")
            sock.shutdown(socket.SHUT_WR)
            wait_until(lambda: descriptor_count(server.pid) == idle, "the server has closed")
        self.assert_serves(server)

    def test_connections_without_a_byte_end(self):
        """Connections that never carry a byte: closed, half-closed, reset."""
        server = self.start_server()
        idle = descriptor_count(server.pid)
        server.connect().close()
        reset(server.connect())
        with server.connect() as sock:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(sock), b"")
        wait_until(lambda: descriptor_count(server.pid) == idle, "the server has closed")

    def test_each_reset_ends_one_connection(self):
        server = self.start_server()
        idle = descriptor_count(server.pid)
        with server.connect() as bystander:
            for size in (0, 1, 5000, 300_000):
                for _ in range(20):
                    sock = server.connect()
                    sock.settimeout(0)  # The rest, which does not fit, is not sent.
                    try:
                        sock.send(bytes(size))
                    except BlockingIOError:
                        pass
                    reset(sock)
                    self.assert_echoes(bystander, b"still served?")
        wait_until(lambda: descriptor_count(server.pid) == idle, "the server has closed")
        self.assert_serves(server)

    def test_a_flood_of_resets_prints_nothing(self):
        count = 2000 if support.FAST or support.is_sanitized() else 10_000
        server = self.start_server()
        idle = descriptor_count(server.pid)
        for _ in range(count):
            sock = server.connect()
            sock.send(b"gone before the answer")
            reset(sock)
        wait_until(lambda: descriptor_count(server.pid) == idle, "the server has closed")
        self.assert_serves(server)
        # That standard error is empty is checked at the end of every test.

    def test_peers_that_never_read_cost_only_their_buffer(self):
        """More peers than the server has buffers to lend, so it also uses private memory."""
        server = self.start_server()
        with server.connect() as bystander:
            for _ in range(2000):
                self.assert_echoes(bystander, b"warm up")
            few, before = descriptor_count(server.pid), memory_bytes(server.pid)
            greedy = [server.connect(receive_buffer=8192, send_buffer=8192) for _ in range(300)]
            self.fill(greedy)
            grown = memory_bytes(server.pid) - before
            print(f"300 peers that never read: {grown / 1024:.0f} KiB")
            for _ in range(100):
                self.assert_echoes(bystander, b"still served?" * 100)
            self.assert_serves(server)
            if not support.is_sanitized():
                self.assertLess(grown, 300 * (BUFFER + 4096))
            for sock in greedy:
                sock.close()
            wait_until(lambda: descriptor_count(server.pid) == few, "the server has closed")
            self.assert_echoes(bystander, b"and now?")

    def fill(self, socks):
        """Sends on all sockets until none accepts more."""
        with selectors.DefaultSelector() as selector:
            for sock in socks:
                sock.settimeout(0)
                selector.register(sock, selectors.EVENT_WRITE)
            while events := selector.select(0.5):
                for key, _ in events:
                    try:
                        key.fileobj.send(bytes(65536))
                    except BlockingIOError:
                        pass


class Start(support.Case):
    """An option that cannot work prints one line at once, and gives an exit status."""

    def assert_refuses(self, *arguments, status, says):
        server = self.start("echo_server", *arguments)
        self.assertEqual(server.process.stdout.read(), b"")
        self.assertEqual(server.wait(), status, server.stderr)
        self.assertRegex(server.stderr, says)
        return server.stderr.splitlines()

    def test_a_port_in_use_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            lines = self.assert_refuses(
                "--port", str(port), status=1, says=rf"127\.0\.0\.1:{port}: Address already in use"
            )
        self.assertEqual(len(lines), 1)

    def test_text_that_is_no_address_is_refused(self):
        for host in ("somewhere", "127.0.0.256", "", "[::1", "1.2.3.4:5"):
            with self.subTest(host=host):
                lines = self.assert_refuses("--host", host, status=1, says=".")
                self.assertEqual(len(lines), 1)

    def test_an_address_of_another_host_is_refused(self):
        lines = self.assert_refuses("--host", "192.0.2.1", status=1, says=r"192\.0\.2\.1")
        self.assertEqual(len(lines), 1)

    def test_unknown_options_are_refused(self):
        for arguments in (["--port", "70000"], ["--port", "x"], ["--port"], ["--bogus"], ["more"]):
            with self.subTest(arguments=arguments):
                server = self.start("echo_server", *arguments)
                self.assertEqual(server.wait(), 2)
                self.assertNotEqual(server.stderr, "")

    def test_other_examples_refuse_unknown_options(self):
        for name in ("echo_client", "chat_server", "chat_client"):
            with self.subTest(name=name):
                program = self.start(name, "--bogus")
                self.assertEqual(program.wait(), 2)
                self.assertNotEqual(program.stderr, "")

    def test_a_free_port_that_cannot_be_printed_ends_the_server(self):
        for name in ("echo_server", "chat_server"):
            with self.subTest(name=name), open("/dev/full", "wb") as full:
                server = self.start(name, "--port", "0", stdout=full)
                self.assertEqual(server.wait(), 1)
                self.assertRegex(server.stderr, "cannot print the port.*No space left")

    def test_a_free_port_that_is_not_read_ends_the_server(self):
        for name in ("echo_server", "chat_server"):
            reader, writer = os.pipe()
            os.close(reader)
            with self.subTest(name=name), os.fdopen(writer, "wb") as unread:
                server = self.start(name, "--port", "0", stdout=unread)
                self.assertEqual(server.wait(), 1)
                self.assertRegex(server.stderr, "cannot print the port.*Broken pipe")

    def test_help_shows_the_options(self):
        server = self.start("echo_server", "--help")
        self.assertIn(b"--port", server.process.stdout.read())
        self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    support.main()
