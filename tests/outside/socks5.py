#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The socks5 example as a program: curl through it, every reply, handshakes in pieces and cut off,
half-closed connections, resets, and Ctrl-C.

usage: socks5.py BUILD_ROOT [TEST...]
"""

import http.server
import signal
import socket
import struct
import subprocess
import threading

import support
from support import DEADLINE, receive_all, receive_exactly, reset

HELLO = b"\x05\x01\x00"
NO_AUTHENTICATION = b"\x05\x00"
CLIENTS_MAX = 1000
NOTHING_ACCEPTABLE = b"\x05\xff"


def request(host, port, command=1, version=5):
    """A request for an IPv4 or IPv6 address, or a name."""
    head = bytes((version, command, 0))
    for family, kind in ((socket.AF_INET, 1), (socket.AF_INET6, 4)):
        try:
            return head + bytes((kind,)) + socket.inet_pton(family, host) + struct.pack("!H", port)
        except OSError:
            pass
    name = host.encode()
    return head + bytes((3, len(name))) + name + struct.pack("!H", port)


def refusal(code):
    return bytes((5, code, 0, 1)) + bytes(6)


class Socks5(support.Case):
    def start_proxy(self):
        self.proxy = support.Server(support.program_path("socks5"), "127.0.0.1:0")
        self.addCleanup(self.proxy.end)

    def setUp(self):
        self.start_proxy()
        self.listen()

    def greet(self):
        client = self.proxy.connect()
        self.addCleanup(client.close)
        client.sendall(HELLO)
        self.assertEqual(receive_exactly(client, 2), NO_AUTHENTICATION)
        return client

    def connect(self, host="127.0.0.1"):
        """A client that the proxy has connected to the listener of the script."""
        client = self.greet()
        client.sendall(request(host, self.port))
        server = self.accept()
        bound = server.getpeername()  # The reply says where the proxy's side is.
        expected = b"\x05\x00\x00\x01" + socket.inet_aton(bound[0]) + struct.pack("!H", bound[1])
        self.assertEqual(receive_exactly(client, len(expected)), expected)
        return client, server

    def assert_ends(self, complaints="", output=b""):
        self.proxy.signal(signal.SIGINT)
        self.assertEqual(self.proxy.wait(), 0, self.proxy.stderr)
        self.assertRegex(self.proxy.stderr, rf"\A{complaints}\Z")
        self.assertEqual(self.proxy.process.stdout.read(), output)

    def assert_refused(self, asked, code):
        client = self.greet()
        client.sendall(asked)
        self.assertEqual(receive_all(client), refusal(code))

    def test_curl_reaches_addresses_and_names(self):
        support.skip_unless_localhost()
        support.skip_unless_installed("curl")

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.path.encode() * 100_000)

        class Ipv6(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6

        where = f"{self.proxy.host}:{self.proxy.port}"
        for kind, listen, hosts in (
            (http.server.ThreadingHTTPServer, "127.0.0.1", ("127.0.0.1", "localhost")),
            (Ipv6, "::1", ("[::1]",)),
        ):
            try:
                server = kind((listen, 0), Quiet)
            except OSError:
                continue  # This host has no IPv6.
            with server:
                thread = threading.Thread(target=server.serve_forever, args=(0.01,))
                thread.start()
                try:
                    for option in ("--socks5", "--socks5-hostname"):
                        for host in hosts:
                            done = subprocess.run(
                                ["curl", "--silent", "--show-error", "--noproxy", "", option, where,
                                 f"http://{host}:{server.server_port}/page"],
                                capture_output=True, timeout=DEADLINE,
                            )  # fmt: skip
                            self.assertEqual((done.returncode, done.stderr), (0, b""), option)
                            self.assertTrue(done.stdout == b"/page" * 100_000, (option, host))
                finally:
                    server.shutdown()
                    thread.join()

    def test_curl_is_told_that_a_name_does_not_exist(self):
        support.skip_unless_installed("curl")
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--socks5-hostname",
             f"{self.proxy.host}:{self.proxy.port}", "http://missing.invalid/"],
            capture_output=True, timeout=DEADLINE,
        )  # fmt: skip
        self.assertEqual(done.returncode, 97, done.stderr)  # A failure of the proxy's handshake.
        self.assertIn(b"missing.invalid", done.stderr)

    def test_bytes_go_both_ways_and_are_counted(self):
        client, server = self.connect()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(server), b"question")
        server.sendall(b"the answer")  # The connection is half-closed, and still works.
        server.close()
        self.assertEqual(receive_all(client), b"the answer")
        self.assert_line("127.0.0.1", 8, 10)
        self.assert_ends()

    def assert_line(self, host, there, back):
        line = self.proxy.process.stdout.readline().decode()
        self.assertEqual(line, f"{host}:{self.port}: {there} bytes there, {back} back\n")

    def test_a_server_that_ends_first_can_still_be_written_to(self):
        client, server = self.connect()
        server.sendall(b"banner")
        server.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(client), b"banner")
        client.sendall(b"late")
        client.close()
        self.assertEqual(receive_all(server), b"late")
        self.assert_line("127.0.0.1", 4, 6)
        self.assert_ends()

    def test_a_handshake_may_come_byte_by_byte(self):
        support.skip_unless_localhost()
        client = self.proxy.connect()
        self.addCleanup(client.close)
        for byte in HELLO + request("localhost", self.port):
            client.sendall(bytes((byte,)))
        server = self.accept()
        for byte in b"slow":
            client.sendall(bytes((byte,)))
        self.assertEqual(receive_exactly(server, 4), b"slow")
        client.shutdown(socket.SHUT_WR)
        server.close()
        self.assertEqual(len(receive_all(client)), 12)
        self.assert_line("localhost", 4, 0)
        self.assert_ends()

    def test_bytes_that_come_before_the_reply_are_passed_on(self):
        for early in (b"early", bytes(range(256)) * 1024):
            client = self.proxy.connect()
            self.addCleanup(client.close)
            client.sendall(HELLO + request("127.0.0.1", self.port) + early)
            client.shutdown(socket.SHUT_WR)
            server = self.accept()
            self.assertTrue(receive_all(server) == early)
            server.close()
            self.assertEqual(len(receive_all(client)), 12)
            self.assert_line("127.0.0.1", len(early), 0)
        self.assert_ends()

    def test_much_data_goes_both_ways_at_once(self):
        client, server = self.connect()
        data = bytes(range(256)) * (8 << 12)
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
        self.assert_line("127.0.0.1", len(data), len(data))
        self.assert_ends()

    def test_other_versions_and_ways_to_authenticate_are_refused(self):
        for hello in (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", b"GET / HTTP/1.0\r\n\r\n",
                      b"\x05\x02\x01\x02", b"\x05\x00", b"\x00\x00"):  # fmt: skip
            client = self.proxy.connect()
            self.addCleanup(client.close)
            client.sendall(hello)
            self.assertEqual(receive_all(client), NOTHING_ACCEPTABLE, hello)
        self.assert_ends()

    def test_one_of_several_ways_to_authenticate_is_chosen(self):
        client = self.proxy.connect()
        self.addCleanup(client.close)
        client.sendall(b"\x05\xff" + bytes(range(254, -1, -1)))
        self.assertEqual(receive_exactly(client, 2), NO_AUTHENTICATION)
        client.close()
        self.assert_ends()

    def test_requests_that_are_not_served_are_told_why(self):
        self.assert_refused(request("127.0.0.1", self.port, version=4), 1)
        for command in (0, 2, 3, 255):
            self.assert_refused(request("127.0.0.1", self.port, command), 7)
            self.assert_refused(request("localhost", self.port, command), 7)
        for kind in (0, 2, 5, 255):
            self.assert_refused(b"\x05\x01\x00" + bytes((kind,)), 8)
        self.assert_ends()

    def test_servers_that_cannot_be_reached_are_told_apart(self):
        support.skip_unless_localhost()
        self.listener.close()
        for host in ("127.0.0.1", "localhost"):
            self.assert_refused(request(host, self.port), 5)
        self.assert_refused(request("missing.invalid", 80), 4)
        for no_name in ("", "two words", "a:b", "a" * 254):
            self.assert_refused(request(no_name, 80), 1)
        self.assert_ends()

    def test_a_handshake_that_is_cut_off_ends_the_connection(self):
        whole = HELLO + request("localhost", self.port)
        for count in range(len(whole)):
            client = self.proxy.connect()
            client.sendall(whole[:count])
            client.shutdown(socket.SHUT_WR)
            self.assertIn(receive_all(client), (b"", NO_AUTHENTICATION), count)
            client.close()
        for count in range(len(whole)):
            client = self.proxy.connect()
            client.sendall(whole[:count])
            reset(client)
        self.assert_ends()

    def test_a_reset_of_one_side_ends_the_other(self):
        for resetting, other in ((0, 1), (1, 0)):
            sides = self.connect()
            reset(sides[resetting])
            with self.assertRaises(ConnectionResetError):
                sides[other].recv(1)
        self.assert_ends()

    def test_ctrl_c_lets_connections_end(self):
        client, server = self.connect()
        self.proxy.signal(signal.SIGINT)
        support.wait_until(self.does_not_listen, "the proxy has stopped listening")
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(server), b"last words")
        server.close()
        self.assertEqual(receive_all(client), b"")
        self.assertEqual((self.proxy.wait(), self.proxy.stderr), (0, ""))

    def does_not_listen(self):
        try:
            self.proxy.connect().close()
            return False
        except ConnectionRefusedError:
            return True

    def test_ctrl_c_cuts_off_connections_that_do_not_end(self):
        client, server = self.connect()
        silent = self.greet()
        self.proxy.signal(signal.SIGINT)
        for sock in (client, server):
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        self.assertEqual(silent.recv(1), b"")
        self.assertEqual((self.proxy.wait(), self.proxy.stderr), (0, ""))

    def test_a_handshake_that_is_not_finished_is_given_up(self):
        client = self.greet()
        client.sendall(b"\x05\x01")
        self.assertEqual(client.recv(1), b"")
        self.assert_ends("a connection failed: timed out\n")

    def test_one_client_more_than_the_limit_waits_until_another_one_leaves(self):
        support.raise_descriptor_limit(2 * CLIENTS_MAX + 100, "the clients and servers")
        pairs = [self.connect() for _ in range(CLIENTS_MAX)]
        waiting = self.proxy.connect()
        self.addCleanup(waiting.close)
        waiting.sendall(HELLO)
        for client, server in pairs:  # The proxy would answer before these have ended.
            client.sendall(b"x")
            self.assertEqual(receive_exactly(server, 1), b"x")
        waiting.setblocking(False)
        with self.assertRaises(BlockingIOError):
            waiting.recv(1)
        waiting.settimeout(DEADLINE)
        for sock in pairs[0]:
            sock.close()
        self.assertEqual(receive_exactly(waiting, 2), NO_AUTHENTICATION)

    def test_bad_arguments_are_refused(self):
        for arguments, status, text in (
            ((), 2, "usage: "),
            (("127.0.0.1:0", "more"), 2, "usage: "),
            (("nonsense",), 1, '"nonsense" is not an address'),
        ):
            program = self.start("socks5", *arguments)
            self.assertEqual(program.wait(), status)
            self.assertIn(text, program.stderr)


if __name__ == "__main__":
    support.main()
