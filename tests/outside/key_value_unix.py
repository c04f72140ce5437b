#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The key_value_unix example as a program, with nc, socat and Python as its clients, and its file.

usage: key_value_unix.py BUILD_ROOT [TEST...]
"""

import os
import signal
import socket
import stat
import subprocess
import tempfile

import support
from support import DEADLINE, receive_all


class KeyValueUnix(support.Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket")

    def start_store(self):
        store = self.start("key_value_unix", self.path)
        line = store.process.stdout.readline().decode()
        self.assertEqual(line, f"listening on {self.path}\n", store.stderr)
        return store

    def assert_ends(self, store):
        self.assertEqual(self.ask(b"GET nothing\n"), b"NONE\n")  # it serves
        store.signal(signal.SIGTERM)
        self.assertEqual(store.wait(), 0, store.stderr)
        self.assertEqual(store.stderr, "")
        self.assertFalse(os.path.exists(self.path))

    def connect(self):
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(DEADLINE)
        made.connect(self.path)
        return made

    def ask(self, lines):
        with self.connect() as peer:
            peer.sendall(lines)
            peer.shutdown(socket.SHUT_WR)
            return receive_all(peer)

    def test_values_are_set_found_and_removed(self):
        store = self.start_store()
        self.assertEqual(
            self.ask(b"GET a\nSET a 1\nSET b two words\nGET a\nGET b\nDEL a\nDEL a\nGET a\n"),
            b"NONE\nOK\nOK\nVALUE 1\nVALUE two words\nOK\nNONE\nNONE\n",
        )
        self.assertEqual(self.ask(b"GET b\n"), b"VALUE two words\n")
        self.assert_ends(store)

    def test_nc_and_socat_are_clients(self):
        support.skip_unless_installed("nc", "socat")
        store = self.start_store()
        for command in (
            ["nc", "-N", "-U", self.path],
            ["socat", "-", f"UNIX-CONNECT:{self.path}"],
        ):
            done = subprocess.run(
                command, input=b"SET color blue\nGET color\n", capture_output=True, timeout=DEADLINE
            )
            self.assertEqual(done.stdout, b"OK\nVALUE blue\n", done.stderr)
        self.assert_ends(store)

    def test_bad_lines_get_an_error_and_the_connection_continues(self):
        store = self.start_store()
        answers = self.ask(b"\nGET\nSET a\nGET a b\nWHAT a\n" + b"x" * 5000 + b"\nSET a 1\n")
        lines = answers.decode().splitlines()
        self.assertEqual(len(lines), 7)
        for line in lines[:6]:
            self.assertRegex(line, r"\AERROR ")
        self.assertIn("at most 4096 bytes", lines[5])
        self.assertEqual(lines[6], "OK")
        self.assert_ends(store)

    def test_many_clients_share_the_store(self):
        store = self.start_store()
        peers = [self.connect() for _ in range(100)]
        for number, peer in enumerate(peers):
            peer.sendall(f"SET key{number} {number}\n".encode())
        for peer in peers:
            self.assertEqual(support.receive_exactly(peer, 3), b"OK\n")
        for number, peer in enumerate(peers):
            peer.sendall(f"GET key{99 - number}\n".encode())
        for number, peer in enumerate(peers):
            expected = f"VALUE {99 - number}\n".encode()
            self.assertEqual(support.receive_exactly(peer, len(expected)), expected)
            peer.close()
        self.assert_ends(store)

    def test_a_peer_that_vanishes_ends_only_its_connection(self):
        store = self.start_store()
        peer = self.connect()
        peer.sendall(b"GET a\n" * 1000)
        peer.close()
        self.assertEqual(self.ask(b"GET a\n"), b"NONE\n")
        self.assert_ends(store)

    def test_a_stop_answers_what_was_asked_and_cuts_off_who_stays(self):
        store = self.start_store()
        silent, asking = self.connect(), self.connect()
        asking.sendall(b"SET a 1\n")
        self.assertEqual(support.receive_exactly(asking, 3), b"OK\n")
        store.signal(signal.SIGTERM)
        asking.sendall(b"GET a\n")
        asking.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(asking), b"VALUE 1\n")
        self.assertEqual(store.wait(), 0, store.stderr)
        self.assertEqual(
            store.stderr, f"process {os.getpid()} of user {os.getuid()} was cut off\n"
        )
        self.assertEqual(receive_all(silent), b"")
        self.assertFalse(os.path.exists(self.path))

    def test_only_its_user_may_connect(self):
        store = self.start_store()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assert_ends(store)

    def test_a_killed_store_leaves_a_file_that_the_next_one_removes(self):
        killed = self.start_store()
        killed.signal(signal.SIGKILL)
        killed.wait()
        self.assertTrue(os.path.exists(self.path))
        self.assert_ends(self.start_store())

    def test_a_second_store_does_not_take_the_place_of_the_first(self):
        store = self.start_store()
        second = self.start("key_value_unix", self.path)
        self.assertEqual(second.wait(), 1)
        self.assertIn(self.path, second.stderr)
        self.assertIn("Address already in use", second.stderr)
        self.assertEqual(self.ask(b"GET a\n"), b"NONE\n")
        self.assert_ends(store)

    def test_of_many_stores_that_start_at_once_one_serves(self):
        killed = self.start_store()
        killed.signal(signal.SIGKILL)
        killed.wait()
        stores = [self.start("key_value_unix", self.path) for _ in range(8)]
        first = [store.process.stdout.readline() for store in stores]
        serving = [store for store, line in zip(stores, first) if line]
        self.assertEqual(len(serving), 1, [store.stderr for store in stores])
        self.assertEqual(self.ask(b"GET a\n"), b"NONE\n")
        self.assert_ends(serving[0])

    def test_an_argument_is_required(self):
        program = self.start("key_value_unix")
        self.assertEqual(program.wait(), 2)
        self.assertIn("usage: ", program.stderr)
        long = self.start("key_value_unix", "/tmp/" + "x" * 200)
        self.assertEqual(long.wait(), 1)
        self.assertIn("at most 107 bytes", long.stderr)


if __name__ == "__main__":
    support.main()
