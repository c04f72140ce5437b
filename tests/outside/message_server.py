#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The message_server and message_client examples as programs, with Python as the other side: bytes
one at a time, two messages in one packet, and invalid headers.

usage: message_server.py BUILD_ROOT [TEST...]
"""

import json
import os
import random
import re
import signal
import socket
import struct
import threading

import support
from support import DEADLINE, receive_all, receive_exactly, reset

HEADER_MAX = 4096
BODY_MAX = 1024 * 1024


def pack(header):
    """A header as it is on the wire: any value, or bytes that may be no JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!I", len(text)) + text


def message(command, body):
    return pack({"command": command, "size": len(body)}) + body


def receive_message(client):
    """The header and the body."""
    (length,) = struct.unpack("!I", receive_exactly(client, 4))
    header = json.loads(receive_exactly(client, length))
    return header, receive_exactly(client, header["size"])


class Messages(support.Case):
    def setUp(self):
        super().setUp()
        if not support.program_path("message_server").exists():
            self.skipTest("message_server was not built: it needs nlohmann-json")

    def start_server(self):
        server = self.start("message_server", "127.0.0.1:0")
        line = server.process.stdout.readline().decode()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        self.assertTrue(found, line + server.stderr)
        self.port = int(found[1])
        return server

    def connect(self):
        made = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        self.addCleanup(made.close)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def assert_answer(self, client, body):
        self.assertEqual(receive_message(client), ({"ok": True, "size": len(body)}, body))

    def assert_refused(self, client, reason):
        header, body = receive_message(client)
        self.assertEqual((header["ok"], body), (False, b""))
        self.assertIn(reason, header["error"])

    def assert_ends_well(self, server):
        server.signal(signal.SIGTERM)
        self.assertEqual((server.wait(), server.stderr), (128 + signal.SIGTERM, ""))

    # The server

    def test_messages_are_answered(self):
        server = self.start_server()
        client = self.connect()
        for command, body, answer in (
            ("upper", b"hello", b"HELLO"),
            ("upper", b"", b""),
            ("reverse", b"abc", b"cba"),
            ("upper", bytes(range(256)), bytes(range(256)).upper()),
            ("reverse", b"x" * BODY_MAX, b"x" * BODY_MAX),
        ):
            sender = threading.Thread(target=client.sendall, args=(message(command, body),))
            sender.start()
            self.assert_answer(client, answer)
            sender.join()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(client), b"")
        self.assert_ends_well(server)

    def test_bytes_that_come_one_at_a_time_are_whole_messages(self):
        server = self.start_server()
        client = self.connect()
        for byte in message("upper", b"one") + message("reverse", b"two"):
            client.sendall(bytes([byte]))
        self.assert_answer(client, b"ONE")
        self.assert_answer(client, b"owt")
        self.assert_ends_well(server)

    def test_messages_in_one_packet_are_answered_one_by_one(self):
        server = self.start_server()
        client = self.connect()
        texts = message("upper", b"one"), message("nothing", b"two"), message("upper", b"")
        client.sendall(b"".join(texts))
        self.assert_answer(client, b"ONE")
        self.assert_refused(client, "the commands are upper and reverse")
        self.assert_answer(client, b"")
        self.assert_ends_well(server)

    def test_messages_split_anywhere_are_whole(self):
        server = self.start_server()
        client = self.connect()
        text = message("upper", b"one") + message("reverse", b"two")
        for split in range(1, len(text)):
            client.sendall(text[:split])
            client.sendall(text[split:])
            self.assert_answer(client, b"ONE")
            self.assert_answer(client, b"owt")
        self.assert_ends_well(server)

    def test_a_header_longer_than_the_limit_is_refused_before_it_comes(self):
        server = self.start_server()
        for length in (HEADER_MAX + 1, 2**31, 2**32 - 1):
            client = self.connect()
            client.sendall(struct.pack("!I", length))
            self.assert_refused(client, "at most 4096 bytes")
            self.assertEqual(receive_all(client), b"")
        # One that is as long as the limit is not.
        client = self.connect()
        header = json.dumps({"command": "upper", "size": 2}).encode()
        client.sendall(pack(header.ljust(HEADER_MAX)) + b"ab")
        self.assert_answer(client, b"AB")
        self.assert_ends_well(server)

    def test_the_refusal_arrives_although_the_client_keeps_sending(self):
        server = self.start_server()
        client = self.connect()
        client.sendall(pack(b"x" * (HEADER_MAX + 1)) + b"y" * 100_000)
        self.assert_refused(client, "at most 4096 bytes")
        self.assertEqual(receive_all(client), b"")
        self.assert_ends_well(server)

    def test_invalid_headers_are_refused(self):
        server = self.start_server()
        for header in (
            b"",
            b"{",
            b"no JSON",
            b'{"command": "upper", "size": 1} x',
            b"\xff\xfe",
            b'{"command": "\xff", "size": 1}',
            b"[" * HEADER_MAX,
            [],
            7,
            None,
            {},
            {"command": "upper"},
            {"size": 1},
            {"command": 1, "size": 1},
            {"command": "upper", "size": "1"},
            {"command": "upper", "size": 1.0},
            {"command": "upper", "size": -1},
            {"command": "upper", "size": None},
            {"command": "upper", "size": BODY_MAX + 1},
            {"command": "upper", "size": 2**64 - 1},
            {"command": "upper", "size": 2**64},
        ):
            with self.subTest(header=header):
                client = self.connect()
                client.sendall(pack(header) + b"x")
                self.assert_refused(client, "a header is ")
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(receive_all(client), b"")
        self.assert_ends_well(server)

    def test_memory_grows_with_the_bytes_that_arrive_not_with_the_claim(self):
        server = self.start_server()
        clients = [self.connect() for _ in range(60)]
        before = support.memory_bytes(server.process.pid)
        for client in clients:
            client.sendall(message("upper", b"") + pack({"command": "upper", "size": BODY_MAX}))
        for client in clients:
            self.assert_answer(client, b"")
        for client in clients:
            client.sendall(b"x")
        client = self.connect()
        client.sendall(message("upper", b"last"))
        self.assert_answer(client, b"LAST")
        grown = support.memory_bytes(server.process.pid) - before
        self.assertLess(grown, 20 * BODY_MAX)
        self.assert_ends_well(server)

    def test_peers_that_leave_in_the_middle_do_not_disturb_the_next_one(self):
        server = self.start_server()
        text = message("upper", b"hello")
        for length in range(len(text)):
            client = self.connect()
            client.sendall(text[:length])
            if length % 2 == 0:
                reset(client)
                continue
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(client), b"")
        client = self.connect()
        client.sendall(text)
        self.assert_answer(client, b"HELLO")
        self.assert_ends_well(server)

    def test_many_clients_with_random_messages_and_pieces_get_their_answers(self):
        server = self.start_server()
        failures = []

        def talk(seed):
            chance = random.Random(seed)
            try:
                with self.connect() as client:
                    bodies = [os.urandom(chance.randrange(5000)) for _ in range(10)]
                    text = b"".join(message("reverse", body) for body in bodies)
                    while text:
                        size = chance.randrange(1, 3000)
                        client.sendall(text[:size])
                        text = text[size:]
                    for body in bodies:
                        self.assert_answer(client, body[::-1])
            except Exception as error:  # pylint: disable=broad-except
                failures.append(f"seed {seed}: {error!r}")

        threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assert_ends_well(server)

    # The client

    def run_client(self, *arguments):
        program = self.start("message_client", *arguments)
        output = program.process.stdout.read()
        return program.wait(), output, program.stderr

    def test_the_client_prints_the_answers(self):
        support.skip_unless_localhost()
        server = self.start_server()
        status, output, errors = self.run_client(
            f"localhost:{self.port}", "upper", "hello", "reverse", "stressed", "upper", ""
        )
        self.assertEqual((status, output, errors), (0, b"HELLO\ndesserts\n\n", ""))
        status, output, errors = self.run_client(
            f"127.0.0.1:{self.port}", "upper", "a", "lower", "B", "upper", "c"
        )
        self.assertEqual((status, output), (1, b"A\n"))
        self.assertIn("the server refused: the commands are upper and reverse", errors)
        self.assert_ends_well(server)

    def test_the_client_sends_what_the_protocol_says_and_checks_what_comes(self):
        self.listen()
        right = pack({"ok": True, "size": 3}) + b"abc"
        for pieces, status, output, errors in (
            ([right], 0, b"abc\n", ""),
            ([bytes([byte]) for byte in right], 0, b"abc\n", ""),
            ([], 1, b"", "closed the connection without an answer"),
            ([right[:2]], 1, b"", "unexpected end of stream"),
            ([right[:-1]], 1, b"", "closed the connection within an answer"),
            ([pack(b"{")], 1, b"", "a header of another protocol"),
            ([pack([])], 1, b"", "a header of another protocol"),
            ([pack({"ok": 1, "size": 0})], 1, b"", "a header of another protocol"),
            ([pack({"ok": True, "size": BODY_MAX + 1})], 1, b"", "a header of another protocol"),
            ([pack({"ok": False, "size": 0})], 1, b"", "refused: without a reason"),
            ([pack({"ok": False, "error": 1, "size": 0})], 1, b"", "refused: without a reason"),
            ([pack({"ok": False, "error": "no", "size": 0})], 1, b"", "refused: no"),
            ([struct.pack("!I", 2**32 - 1)], 1, b"", "a frame of 4294967295 bytes"),
        ):
            with self.subTest(pieces=pieces):
                client = self.start("message_client", f"127.0.0.1:{self.port}", "upper", "xyz")
                server = self.accept()
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.assertEqual(
                    receive_message(server), ({"command": "upper", "size": 3}, b"xyz")
                )
                for piece in pieces:
                    server.sendall(piece)
                server.close()
                self.assertEqual(client.process.stdout.read(), output)
                self.assertEqual(client.wait(), status)
                self.assertIn(errors, client.stderr)
                self.assertEqual(client.stderr.count("\n"), status)

    def test_bad_arguments_are_refused(self):
        for arguments in ((), ("127.0.0.1:1",), ("127.0.0.1:1", "upper"), ("1", "2", "3", "4")):
            status, _, errors = self.run_client(*arguments)
            self.assertEqual(status, 2)
            self.assertIn("usage: ", errors)
        server = self.start("message_server")
        self.assertEqual(server.wait(), 2)
        server = self.start("message_server", "nowhere")
        self.assertEqual(server.wait(), 1)


if __name__ == "__main__":
    support.main()
