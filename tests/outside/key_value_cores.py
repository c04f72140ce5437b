#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The key_value_cores example as a program: many clients see one map, on however many schedulers.

usage: key_value_cores.py BUILD_ROOT [TEST...]
"""

import pathlib
import re
import signal
import socket
import threading
import time

import support
from support import DEADLINE, process_state, wait_until

OBSERVED = 1 if support.FAST else 10


def switches_of_threads(pid):
    """How many times each thread has slept or was preempted."""
    files = sorted(pathlib.Path(f"/proc/{pid}/task").glob("*/status"))
    return [re.findall(r"ctxt_switches:\s*(\d+)", file.read_text()) for file in files]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.file = self.socket.makefile("rwb")

    def ask(self, line):
        self.file.write(line.encode() + b"\n")
        self.file.flush()
        return self.file.readline().decode().rstrip("\n")

    def close(self):
        self.file.close()
        self.socket.close()


class KeyValue(support.Case):
    def setUp(self):
        self.program = self.start("key_value_cores", "0")
        line = self.program.process.stdout.readline().decode()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+), (\d+) schedulers\n", line)
        self.assertTrue(found, line)
        self.port = int(found[1])

    def client(self):
        made = Client(self.port)
        self.addCleanup(made.close)
        return made

    def test_values_are_stored_and_found_by_all_connections(self):
        clients = [self.client() for _ in range(20)]
        for number, client in enumerate(clients):
            self.assertEqual(client.ask(f"get key{number}"), "none")
            self.assertEqual(client.ask(f"set key{number} value {number}"), "stored")
        for client in clients:
            for number in range(len(clients)):
                self.assertEqual(client.ask(f"get key{number}"), f"value {number}")
            self.assertEqual(client.ask("count"), "20")

    def test_clients_that_write_at_once_lose_nothing(self):
        def write(name):
            client = Client(self.port)
            for number in range(200):
                client.ask(f"set {name}.{number} {number}")
            client.close()

        writers = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertEqual(self.client().ask("count"), str(8 * 200))

    def test_a_client_that_disappears_or_sends_too_much_hurts_no_other(self):
        other = self.client()
        for _ in range(10):
            vanished = Client(self.port)
            vanished.file.write(b"set a")
            vanished.close()
        flood = self.client()
        self.assertEqual(other.ask("set k v"), "stored")
        try:
            flood.socket.sendall(b"x" * 100_000)
        except OSError:
            pass  # the server has closed the connection
        self.assertEqual(other.ask("get k"), "v")
        self.assertIn("usage", other.ask("dance"))

    def test_ctrl_c_ends_all_schedulers(self):
        self.client().ask("set k v")
        self.program.signal(signal.SIGINT)
        self.assertEqual(self.program.wait(), 130)
        self.assertEqual(self.program.stderr, "")

    def test_an_idle_server_does_nothing_on_any_thread(self):
        if support.is_sanitized():
            self.skipTest("ThreadSanitizer has a thread of its own, which wakes up")
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.ask("set k v")
        wait_until(lambda: process_state(self.program.pid) == "S", "the server sleeps")
        time.sleep(2)  # until memory that is not used any more has been returned
        switches = switches_of_threads(self.program.pid)
        time.sleep(OBSERVED)  # A fixed time, because nothing may happen in it.
        self.assertEqual(switches_of_threads(self.program.pid), switches)
        self.assertEqual(clients[0].ask("get k"), "v")


class Usage(support.Case):
    def test_text_that_is_no_port_is_refused(self):
        for arguments in ((), ("many",), ("-1",), ("70000",)):
            program = self.start("key_value_cores", *arguments)
            self.assertEqual(program.wait(), 2)
            self.assertIn("usage: key_value_cores PORT", program.stderr)


if __name__ == "__main__":
    support.main()
