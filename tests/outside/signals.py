#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Signals to the echo server: how it ends, with and without clients, and that it can be stopped and
continued.

usage: signals.py BUILD_ROOT [TEST...]
"""

import os
import signal
import threading
import time

import support
from support import process_state, receive_all, wait_until

# No test has to wait for the shutdown timeout of fibers that refuse to end, which is 5 s.
AT_ONCE = 4.0


class Load:
    """Clients that send and check, each in its own thread, until they are told to stop."""

    def __init__(self, server, count):
        self.server = server
        self.is_over = threading.Event()
        self.rounds = [0] * count
        self.failures = []
        self.threads = [
            threading.Thread(target=self.run, args=[number], daemon=True) for number in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        text = os.urandom(1000 * (number + 1))
        try:
            with self.server.connect() as sock:
                while not self.is_over.is_set():
                    sock.sendall(text)
                    if support.receive_exactly(sock, len(text)) != text:
                        raise AssertionError("not what was sent")
                    self.rounds[number] += 1
        except (OSError, AssertionError) as error:
            self.failures.append(error)

    def all_progress(self):
        """Waits until each client has completed some more rounds."""
        goals = [done + 10 for done in self.rounds]
        wait_until(
            lambda: self.failures or all(map(int.__ge__, self.rounds, goals)), "all make progress"
        )

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()


class Ending(support.Case):
    def assert_ends(self, server, status):
        begin = time.monotonic()
        self.assertEqual(server.wait(), status, server.stderr)
        if not support.is_sanitized():
            self.assertLess(time.monotonic() - begin, AT_ONCE)
        self.assertEqual(server.stderr, "")

    def test_interrupt_ends_an_idle_server(self):
        server = self.start_server()
        server.signal(signal.SIGINT)
        self.assert_ends(server, 130)

    def test_terminate_ends_an_idle_server(self):
        server = self.start_server()
        server.signal(signal.SIGTERM)
        self.assert_ends(server, 143)

    def test_idle_clients_are_let_go(self):
        server = self.start_server()
        socks = [server.connect() for _ in range(100)]
        for sock in socks:
            self.assert_echoes(sock, b"hello")
        server.signal(signal.SIGINT)
        for sock in socks:
            self.assertEqual(receive_all(sock), b"")
            sock.close()
        self.assert_ends(server, 130)

    def test_busy_clients_are_let_go(self):
        server = self.start_server()
        load = Load(server, 8)
        load.all_progress()
        server.signal(signal.SIGTERM)
        self.assert_ends(server, 143)
        load.stop()

    def test_clients_that_do_not_read_do_not_hold_the_server(self):
        server = self.start_server()
        sock = server.connect(receive_buffer=8192, send_buffer=8192)
        sock.settimeout(0.5)
        try:
            while True:
                sock.send(bytes(65536))
        except TimeoutError:
            pass
        server.signal(signal.SIGINT)
        self.assert_ends(server, 130)
        sock.close()

    def test_a_second_signal_ends_the_server_at_once(self):
        """Both are delivered before the first has any effect, because the server is stopped."""
        server = self.start_server()
        server.signal(signal.SIGSTOP)
        wait_until(lambda: process_state(server.pid) == "T", "the server has stopped")
        server.signal(signal.SIGINT)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        self.assertIn(server.wait(), (130, 143))
        self.assertEqual(server.stderr, "")

    def test_the_port_is_free_afterwards(self):
        server = self.start_server()
        with server.connect() as sock:
            self.assert_echoes(sock, b"hello")
            server.signal(signal.SIGINT)
            self.assert_ends(server, 130)
        again = self.start_server(port=server.port)
        self.assertEqual(again.port, server.port)
        self.assert_serves(again)


class Continuing(support.Case):
    def test_a_server_that_was_stopped_continues(self):
        server = self.start_server()
        load = Load(server, 8)
        for _ in range(3):
            load.all_progress()
            server.signal(signal.SIGSTOP)
            wait_until(lambda: process_state(server.pid) == "T", "the server has stopped")
            late = server.connect()  # The backlog accepts the connection.
            late.sendall(b"anybody there?")
            server.signal(signal.SIGCONT)
            self.assertEqual(support.receive_exactly(late, 14), b"anybody there?")
            late.close()
        load.all_progress()
        load.stop()
        self.assertEqual(load.failures, [])

    def test_other_signals_do_not_disturb_the_server(self):
        server = self.start_server()
        load = Load(server, 4)
        for number in [signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG, signal.SIGCONT] * 50:
            server.signal(number)
        load.all_progress()
        load.stop()
        self.assertEqual(load.failures, [])


if __name__ == "__main__":
    support.main()
