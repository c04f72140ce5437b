#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The echo client in pipes, with files and on a terminal, and when its server disconnects.

usage: echo_client.py BUILD_ROOT [TEST...]
"""

import fcntl
import os
import select
import signal
import socket
import subprocess
import tempfile
import termios
import threading

import support
from support import DEADLINE, memory_bytes, receive_all, receive_exactly, reset, wait_until

PIPE = subprocess.PIPE


class ClientCase(support.Case):
    def start_client(self, port, **options):
        return self.start("echo_client", "--port", port, **options)

    def assert_ends(self, client, status, says=""):
        self.assertEqual(client.wait(), status, client.stderr)
        self.assertRegex(client.stderr, rf"\A{says}\Z")


class Pipes(ClientCase):
    """With echo_server at the other end."""

    def setUp(self):
        self.server = self.start_server()

    def test_a_line_passes_through_a_pipe(self):
        client = self.start_client(self.server.port, stdin=PIPE)
        output, _ = client.process.communicate(b"hello\n", DEADLINE)
        self.assertEqual(output, b"hello\n")
        self.assert_ends(client, 0)

    def test_an_empty_input_ends_the_client(self):
        client = self.start_client(self.server.port)
        self.assertEqual(client.process.stdout.read(), b"")
        self.assert_ends(client, 0)

    def test_an_answer_comes_before_the_next_question(self):
        """Output is not held back until there is more of it."""
        client = self.start_client(self.server.port, stdin=PIPE, bufsize=0)
        for number in range(200):
            line = f"line {number}\n".encode()
            client.process.stdin.write(line)
            self.assertEqual(client.process.stdout.read(len(line)), line)
        client.process.stdin.close()
        self.assertEqual(client.process.stdout.read(), b"")
        self.assert_ends(client, 0)

    def test_a_file_is_copied_into_a_file(self):
        data = os.urandom(32 << 20)
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(data)
            source.seek(0)
            client = self.start_client(self.server.port, stdin=source, stdout=target)
            self.assert_ends(client, 0)
            target.seek(0)
            self.assertTrue(target.read() == data, "the copy differs")

    def test_output_is_appended_to_a_file(self):
        with tempfile.NamedTemporaryFile() as target:
            target.write(b"before ")
            target.flush()
            with open(target.name, "ab") as end:
                client = self.start_client(self.server.port, stdin=PIPE, stdout=end)
                client.process.communicate(b"after", DEADLINE)
            self.assertEqual(open(target.name, "rb").read(), b"before after")
            self.assert_ends(client, 0)

    def test_input_and_output_may_be_sockets(self):
        near, far = socket.socketpair()
        with near, far:
            near.settimeout(DEADLINE)
            client = self.start_client(self.server.port, stdin=far, stdout=far)
            far.close()
            self.assert_echoes(near, b"hello" * 1000)
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(near), b"")
            self.assert_ends(client, 0)

    def test_an_output_that_is_not_read_stops_the_input(self):
        client = self.start_client(self.server.port, stdin=PIPE, bufsize=0)
        pipe = client.process.stdin.fileno()
        os.set_blocking(pipe, False)

        while select.select([], [pipe], [], 0.5)[1]:
            os.write(pipe, bytes(65536))
        if not support.is_sanitized():
            self.assertLess(memory_bytes(client.pid), 16 << 20)
        os.set_blocking(pipe, True)
        client.process.stdin.close()
        client.process.stdout.read()
        self.assert_ends(client, 0)

    def test_an_output_whose_reader_has_gone_ends_the_client_quietly(self):
        client = self.start_client(self.server.port, stdin=PIPE)
        client.process.stdout.close()
        client.process.stdin.write(b"unread")
        client.process.stdin.close()
        self.assert_ends(client, -signal.SIGPIPE)

    def test_a_full_output_ends_the_client(self):
        with open("/dev/full", "wb") as full:
            client = self.start_client(self.server.port, stdin=PIPE, stdout=full)
            client.process.stdin.write(b"too much")
            client.process.stdin.close()
            self.assert_ends(client, 1, r"[^\n]*No space left on device\n")

    def test_an_unreadable_input_ends_the_client(self):
        folder = os.open("/", os.O_RDONLY)
        try:
            client = self.start_client(self.server.port, stdin=folder)
        finally:
            os.close(folder)
        self.assert_ends(client, 1, r"standard input: Is a directory\n")

    def test_a_closed_input_ends_the_client(self):
        """A descriptor that is opened later, even a socket, must not be used as standard input."""
        client = self.start_client(self.server.port, preexec_fn=lambda: os.close(0))
        self.assert_ends(client, 1, r"standard input: Bad file descriptor\n")

    def test_a_closed_output_ends_the_client(self):
        client = self.start_client(self.server.port, stdin=PIPE, preexec_fn=lambda: os.close(1))
        client.process.communicate(b"hello", DEADLINE)
        self.assert_ends(client, 1, r"[^\n]*Bad file descriptor\n")

    def test_closed_standard_streams_end_the_client(self):
        client = self.start_client(self.server.port, preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(client.wait(), 1)

    def test_shared_descriptors_stay_blocking(self):
        """Input and output are shared with the shell and its other programs."""
        reader, writer = os.pipe()
        try:
            client = self.start_client(self.server.port, stdin=reader)
            os.write(writer, b"hello")
            self.assertEqual(client.process.stdout.read(5), b"hello")
            self.assertFalse(fcntl.fcntl(reader, fcntl.F_GETFL) & os.O_NONBLOCK)
            self.assertFalse(fcntl.fcntl(client.process.stdout, fcntl.F_GETFL) & os.O_NONBLOCK)
        finally:
            os.close(writer)
            os.close(reader)
        self.assert_ends(client, 0)


class Terminal(ClientCase):
    """On its own terminal, with echo_server at the other end."""

    def setUp(self):
        self.server = self.start_server()
        self.near, self.far = support.open_terminal()
        self.addCleanup(os.close, self.near)
        self.addCleanup(os.close, self.far)
        # The terminal does not echo, so all its output comes from the server.
        modes = termios.tcgetattr(self.far)
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(self.far, termios.TCSANOW, modes)
        self.client = self.start_client(
            self.server.port, stdin=self.far, stdout=self.far,
            start_new_session=True, preexec_fn=self.take_terminal,
        )  # fmt: skip

    @staticmethod
    def take_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def type_line(self, text):
        os.write(self.near, text)
        seen = b""
        while not seen.endswith(b"\r\n"):
            seen += os.read(self.near, 1000)
        self.assertEqual(seen, text.replace(b"\n", b"\r\n"))

    def test_control_d_ends_the_client(self):
        self.type_line(b"hello\n")
        self.type_line(b"and again\n")
        os.write(self.near, b"\x04")
        self.assert_ends(self.client, 0)

    def test_control_c_ends_the_client(self):
        self.type_line(b"hello\n")
        os.write(self.near, b"\x03")
        self.assert_ends(self.client, 130)

    def test_control_c_ends_the_client_before_anything_was_typed(self):
        handles = support.handles_signal
        wait_until(lambda: handles(self.client.pid, signal.SIGINT), "it handles signals")
        os.write(self.near, b"\x03")
        self.assert_ends(self.client, 130)

    def test_the_terminal_stays_blocking(self):
        self.type_line(b"hello\n")
        self.assertFalse(fcntl.fcntl(self.far, fcntl.F_GETFL) & os.O_NONBLOCK)

    def test_the_end_of_the_server_ends_the_client(self):
        self.type_line(b"hello\n")
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        self.assert_ends(self.client, 1, r"[^\n]+\n")


class OtherServers(ClientCase):
    """Against a misbehaving server that this script implements."""

    def setUp(self):
        self.listen()

    def test_a_server_that_hangs_up_at_once_ends_the_client(self):
        client = self.start_client(self.port, stdin=PIPE)
        self.accept().close()
        self.assert_ends(client, 1, r"the server hung up before the input had ended\n")

    def test_a_server_that_speaks_and_hangs_up_ends_the_client(self):
        client = self.start_client(self.port, stdin=PIPE)
        with self.accept() as sock:
            sock.sendall(b"good bye")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.process.stdout.read(), b"good bye")
            self.assert_ends(client, 1, r"the server hung up before the input had ended\n")

    def test_a_server_that_resets_ends_the_client(self):
        client = self.start_client(self.port, stdin=PIPE, bufsize=0)
        client.process.stdin.write(b"hello")
        sock = self.accept()
        self.assertEqual(receive_exactly(sock, 5), b"hello")
        reset(sock)
        self.assert_ends(client, 1, r"[^\n]*Connection reset by peer\n")

    def test_a_server_that_dies_amid_much_data_ends_the_client(self):
        with open("/dev/zero", "rb") as endless:
            client = self.start_client(self.port, stdin=endless)
        sock = self.accept()
        self.assertEqual(len(receive_exactly(sock, 10 << 20)), 10 << 20)
        reset(sock)
        self.assert_ends(client, 1, r"[^\n]+\n")

    def test_an_answer_after_the_end_of_the_input_is_printed(self):
        client = self.start_client(self.port, stdin=PIPE)
        client.process.stdin.write(b"hello")
        client.process.stdin.close()
        with self.accept() as sock:
            self.assertEqual(receive_all(sock), b"hello")
            answer = os.urandom(1 << 20)
            sender = threading.Thread(target=sock.sendall, args=[answer], daemon=True)
            sender.start()
            self.assertEqual(client.process.stdout.read(len(answer)), answer)
            sender.join()
        self.assert_ends(client, 0)

    def test_without_a_server_the_client_ends(self):
        self.listener.close()
        client = self.start_client(self.port)
        self.assert_ends(client, 1, rf"[^\n]*127\.0\.0\.1:{self.port}: Connection refused\n")

    def test_text_that_is_no_address_is_refused(self):
        client = self.start("echo_client", "--host", "localhost")
        self.assert_ends(client, 1, r'"localhost" is not an address[^\n]*\n')

    def test_unknown_options_are_refused(self):
        client = self.start("echo_client", "--bogus")
        self.assertNotIn(client.wait(), (0, -6, -11))
        self.assertIn("--bogus", client.stderr)


if __name__ == "__main__":
    support.main()
