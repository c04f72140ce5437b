#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat client in pipes and on a terminal, against chat_server and against servers that
misbehave.

usage: chat_client.py BUILD_ROOT [TEST...]
"""

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

import support
from support import DEADLINE, reset, wait_until

PIPE = subprocess.PIPE
AGAIN = r"the server hung up[^;]*; trying again in \d+\.\d s\n"


class Member:
    """A member of a room, on the test's own socket."""

    def __init__(self, server, nick, room):
        self.file = server.connect().makefile("rwb", buffering=0)
        self.say(nick)
        self.say(f"/join {room}")
        self.hear(f"* you are in {room} with ")

    def say(self, text):
        self.file.write(text.encode() + b"\n")

    def hear(self, beginning):
        """Reads up to a line with this beginning, and returns that line."""
        while True:
            line = self.file.readline().decode()
            if not line:
                raise AssertionError(f"the server hung up before {beginning!r}")
            if line.startswith(beginning):
                return line.rstrip("\n")

    def hears(self, *lines):
        for line in lines:
            self.hear(line + "\n")


class ChatCase(support.Case):
    def setUp(self):
        if not support.program_path("chat_client").exists():
            raise unittest.SkipTest("chat_client was not built: it needs utfcpp (libutfcpp-dev)")

    def start_chat(self, *arguments, port=0):
        made = support.Server(support.program_path("chat_server"), "--port", port, *arguments)
        self.addCleanup(made.end)
        return made

    def start_client(self, port, *arguments, **options):
        return self.start("chat_client", "--port", port, *arguments, **options)

    def join(self, server, nick="watcher", room="lobby"):
        member = Member(server, nick, room)
        self.addCleanup(member.file.close)
        return member

    def accept_lines(self):
        sock = self.accept()
        return sock, sock.makefile("rb")

    def welcome(self, nick="a", room="lobby", answer=None):
        """A connection with a nickname, in the room unless the answer refuses that."""
        sock, lines = self.accept_lines()
        sock.sendall(b"* welcome: who are you?\n")
        self.assertEqual(lines.readline().decode(), f"{nick}\n")
        sock.sendall(f"* hello, {nick}: talk\n".encode())
        self.assertEqual(lines.readline().decode(), f"/join {room}\n")
        sock.sendall(f"{answer or f'* you are in {room} with 0 others'}\n".encode())
        return sock, lines

    def assert_ends(self, client, status, says=""):
        self.assertEqual(client.wait(), status, client.stderr)
        self.assertRegex(client.stderr, rf"\A{says}\Z")


class Pipes(ChatCase):
    def setUp(self):
        super().setUp()
        self.server = self.start_chat("--rate", "1000000")

    def pipe(self, text, *arguments):
        client = self.start_client(self.server.port, *arguments, stdin=PIPE)
        output, _ = client.process.communicate(text, DEADLINE)
        return client, output.decode()

    def test_a_line_reaches_the_room(self):
        watcher = self.join(self.server)
        client, output = self.pipe(b"hello\n", "--nick", "a", "--room", "lobby")
        self.assert_ends(client, 0)
        self.assertTrue(output.endswith("\n[lobby] a: hello\n"), output)
        watcher.hears("* a has joined lobby", "[lobby] a: hello", "* a has left lobby")

    def test_many_lines_reach_the_room_in_order(self):
        lines = [f"line {number}" for number in range(3000)]
        client, output = self.pipe("\n".join(lines).encode(), "--nick", "a", "--room", "lobby")
        self.assert_ends(client, 0)
        said = [line for line in output.splitlines() if line.startswith("[lobby]")]
        self.assertEqual(said, [f"[lobby] a: {line}" for line in lines])

    def test_without_a_nickname_the_first_line_is_one(self):
        client, output = self.pipe(b"bob\n/join lobby\n//slash\n/who\n")
        self.assert_ends(client, 0)
        self.assertTrue(output.endswith("[lobby] bob: /slash\n* in lobby: bob\n"), output)

    def test_a_taken_nickname_is_refused(self):
        self.join(self.server, nick="a")
        client, output = self.pipe(b"hello\n", "--nick", "a", "--room", "lobby")
        self.assert_ends(client, 1, r"the nickname a was refused: [^\n]*--nick\n")
        self.assertIn("* that nickname is taken", output)

    def test_an_invalid_nickname_is_refused(self):
        client, output = self.pipe(b"", "--nick", "a b")
        self.assert_ends(client, 1, r"the nickname a b was refused: [^\n]*--nick\n")
        self.assertIn("it has a blank", output)

    def test_an_invalid_room_is_refused(self):
        client, _ = self.pipe(b"", "--nick", "a", "--room", "/x")
        self.assert_ends(client, 1, r"the room /x was refused: [^\n]*--room\n")

    def test_a_client_without_a_nickname_ends(self):
        client, _ = self.pipe(b"")
        self.assert_ends(client, 1, r"a nickname is needed: [^\n]+\n")

    def test_quit_ends_the_client(self):
        client, output = self.pipe(b"/quit\n", "--nick", "a")
        self.assert_ends(client, 0)
        self.assertIn("\n* goodbye: ", output)

    def test_text_that_the_server_refuses_is_reported(self):
        client, output = self.pipe(b"bell\a\n", "--nick", "a", "--room", "lobby")
        self.assert_ends(client, 1, r"the server gave no sign that it took: bell\^G\n")
        self.assertIn("control characters", output)

    def test_text_that_no_room_hears_is_reported(self):
        silence = r"the server gave no sign that it took: hello\n"
        client, output = self.pipe(b"hello\n", "--nick", "a")
        self.assert_ends(client, 1, silence)
        self.assertIn("* you are in no room", output)
        client, _ = self.pipe(b"/join bad room\nhello\n", "--nick", "a")
        self.assert_ends(client, 1, silence)

    def test_a_name_that_reads_like_a_goodbye_ends_nothing(self):
        client, output = self.pipe(b"/nick bob\nhello\n", "--nick", "goodbye", "--room", "lobby")
        self.assert_ends(client, 0)
        self.assertTrue(output.endswith("[lobby] bob: hello\n"), output)

    def test_a_line_that_is_too_long_is_not_sent(self):
        text = b"x" * 5000 + b"\nshort\n"
        client, output = self.pipe(text, "--nick", "a", "--room", "lobby")
        self.assert_ends(client, 0, r"a line of more than 4096 bytes was not sent\n")
        self.assertTrue(output.endswith("[lobby] a: short\n"), output)

    def test_signals_end_the_client_when_its_last_line_is_delivered(self):
        watcher = self.join(self.server)
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            client = self.start_client(
                self.server.port, "--nick", "a", "--room", "lobby", stdin=PIPE, bufsize=0
            )
            client.process.stdin.write(b"last words\n")
            watcher.hears("[lobby] a: last words")
            client.signal(number)
            self.assert_ends(client, status)
            watcher.hears("* a has left lobby")

    def test_the_client_survives_a_restart_of_the_server(self):
        client = self.start_client(
            self.server.port, "--nick", "a", "--room", "lobby", stdin=PIPE, bufsize=0
        )
        client.process.stdin.write(b"one\n")
        while client.process.stdout.readline() != b"[lobby] a: one\n":
            pass
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        wait_until(lambda: "trying again" in client.stderr, "it has noticed")
        client.process.stdin.write(b"two\n")
        server = self.start_chat(port=self.server.port)
        while client.process.stdout.readline() != b"[lobby] a: two\n":
            pass
        self.join(server)
        client.process.stdin.close()
        while client.process.stdout.readline():
            pass
        self.assert_ends(client, 0, r"([^\n]*; trying again in \d+\.\d s\n)+")


class OtherServers(ChatCase):
    """Against servers that this script implements."""

    def setUp(self):
        super().setUp()
        self.listen()

    def start_talking(self):
        return self.start_client(self.port, "--nick", "a", "--room", "lobby", stdin=PIPE, bufsize=0)

    def test_without_a_server_the_client_ends(self):
        self.listener.close()
        client = self.start_client(self.port, "--nick", "a")
        self.assert_ends(client, 1, rf"there is no server at 127\.0\.0\.1:{self.port} [^\n]+\n")

    def test_text_that_is_no_address_is_refused(self):
        client = self.start("chat_client", "--host", "localhost")
        self.assert_ends(client, 1, r'"localhost" is not an address[^\n]*\n')

    def test_an_address_without_its_interface_is_refused(self):
        try:
            socket.socket(socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f"there is no IPv6: {error}")
        client = self.start("chat_client", "--host", "fe80::1", "--nick", "a")
        self.assert_ends(client, 1, r"connect to \[fe80::1\]:\d+: a link-local [^\n]+%eth0[^\n]+\n")

    def test_a_full_output_is_reported_without_the_groups_around_it(self):
        with open("/dev/full", "wb") as full:
            client = self.start_client(
                self.port, "--nick", "a", "--room", "lobby", stdin=PIPE, stdout=full
            )
        sock, lines = self.accept_lines()
        self.addCleanup(sock.close)
        self.addCleanup(lines.close)
        sock.sendall(b"* welcome: who are you?\n")
        sock.shutdown(socket.SHUT_WR)  # Otherwise the client would wait for the end of our stream.
        self.assert_ends(client, 1, r"write_all: No space left on device\n")

    def test_an_unreadable_input_is_reported_without_the_group_around_it(self):
        directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, directory)
        client = self.start_client(self.port, "--nick", "a", "--room", "lobby", stdin=directory)
        self.assert_ends(client, 1, r"standard input: Is a directory\n")

    def test_nothing_is_printed_raw(self):
        client = self.start_talking()
        sock, _ = self.welcome()
        sock.sendall(b"[lobby] b: \x1b[31mred\x07 \xc2\x9b \xff \xe2\x80\xae \x7f\ttab\n")
        sock.shutdown(socket.SHUT_WR)
        lines = [client.process.stdout.readline() for _ in range(4)]
        expected = "[lobby] b: ^[[31mred^G <9b> \ufffd <202e> ^?\ttab\n"
        self.assertEqual(lines[-1].decode(), expected)

    def test_lines_that_arrive_byte_by_byte_are_printed_whole(self):
        client = self.start_talking()
        sock, _ = self.welcome()
        for byte in "[lobby] b: wörld\n".encode():
            sock.sendall(bytes([byte]))
        lines = [client.process.stdout.readline() for _ in range(4)]
        self.assertEqual(lines[-1].decode(), "[lobby] b: wörld\n")

    def assert_sends_again(self, hang_up):
        client = self.start_talking()
        sock, lines = self.welcome()
        client.process.stdin.write(b"heard\nlost\n/who\n")
        self.assertEqual(lines.readline(), b"heard\n")
        sock.sendall(b"[lobby] a: heard\n")
        self.assertEqual([lines.readline(), lines.readline()], [b"lost\n", b"/who\n"])
        # The reset may come only after the client has read this: it would discard the line.
        while client.process.stdout.readline() != b"[lobby] a: heard\n":
            pass
        client.process.stdin.close()
        hang_up(sock, lines)
        sock, lines = self.welcome()
        self.assertEqual(lines.readline(), b"lost\n")
        sock.sendall(b"[lobby] a: lost\n")
        self.assertEqual(lines.readline(), b"")
        sock.close()
        lines.close()
        self.assert_ends(client, 0, AGAIN)

    def test_lines_that_were_not_echoed_are_sent_again_after_a_reset(self):
        def hang_up(sock, lines):
            lines.close()
            reset(sock)

        self.assert_sends_again(hang_up)

    def test_lines_that_were_not_echoed_are_sent_again_after_a_goodbye(self):
        def hang_up(sock, lines):
            sock.sendall(b"* goodbye: the server shuts down\n")
            lines.close()
            sock.close()

        self.assert_sends_again(hang_up)

    def test_the_client_sends_no_more_than_it_can_send_again(self):
        texts = [f"{number}\n".encode() for number in range(12_000)]
        client = self.start_talking()
        feeder = threading.Thread(target=client.process.communicate, args=(b"".join(texts),))
        feeder.start()
        self.addCleanup(feeder.join)
        sock, lines = self.welcome()
        window = 10_000
        for text in texts[:window]:
            self.assertEqual(lines.readline(), text)
        readable, _, _ = select.select([sock], [], [], 0.3)  # Nothing is waited for.
        self.assertEqual(readable, [])
        sock.sendall(b"[lobby] a: 999\n")
        for text in texts[window : window + 1000]:
            self.assertEqual(lines.readline(), text)
        sock.sendall(b"* your line is not UTF-8, and was thrown away\n")
        self.assertEqual(lines.readline(), texts[window + 1000])
        lines.close()
        sock.close()
        sock, lines = self.welcome()
        for text in texts[1001 : 1001 + window]:
            self.assertEqual(lines.readline(), text)
        sock.sendall(b"[lobby] a: 11000\n")
        for text in texts[1001 + window :]:
            self.assertEqual(lines.readline(), text)
        sock.sendall(b"[lobby] a: 11999\n")
        self.assertEqual(lines.readline(), b"")
        sock.close()
        lines.close()
        self.assert_ends(client, 0, AGAIN)

    def test_a_room_that_is_refused_later_hides_no_lost_line(self):
        client = self.start_talking()
        sock, lines = self.welcome()
        client.process.stdin.write(b"hello\n")
        self.assertEqual(lines.readline(), b"hello\n")
        lines.close()
        reset(sock)
        self.welcome(answer="* there are too many rooms")
        refused = r"the room lobby was refused: [^\n]*\n"
        silence = r"the server gave no sign that it took: hello\n"
        self.assert_ends(client, 1, AGAIN + refused + silence)

    def test_a_new_nickname_and_room_are_kept_after_a_reconnect(self):
        client = self.start_talking()
        sock, lines = self.welcome()
        sock.sendall(b"* a is now b\n* you are in games with 1 others\n* b is now c\n")
        sock.shutdown(socket.SHUT_WR)
        sock.close()
        lines.close()
        self.welcome("c", "games")
        self.assertTrue(client.is_running())

    def test_a_nickname_that_the_old_connection_still_has_is_tried_again(self):
        client = self.start_talking()
        sock, lines = self.welcome()
        lines.close()
        reset(sock)
        sock, lines = self.accept_lines()
        sock.sendall(b"* welcome\n")
        self.assertEqual(lines.readline(), b"a\n")
        sock.sendall(b"* that nickname is taken\n")
        self.assertEqual(lines.readline(), b"")
        self.welcome()
        self.assertRegex(client.stderr, rf"\A{AGAIN}the nickname a was refused; trying again")


class Screen:
    """A terminal emulator: the screen for the bytes of a program, for the controls of libedit."""

    def __init__(self, columns):
        self.columns = columns
        self.rows = [[]]
        self.row = self.column = 0

    def write(self, text):
        for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\x1b]", text, re.S):
            if token.startswith("\x1b["):
                self.control(token[-1], int(re.sub(r"\D.*", "", token[2:-1]) or "0"))
            elif token == "\r":
                self.column = 0
            elif token == "\n":
                self.go_to_row(self.row + 1)
            elif token == "\b":
                self.column = max(0, self.column - 1)
            elif token >= " ":
                self.put(token)

    def go_to_row(self, row):
        self.row = max(0, row)
        while len(self.rows) <= self.row:
            self.rows.append([])

    def put(self, character):
        if self.column == self.columns:
            self.column = 0
            self.go_to_row(self.row + 1)
        line = self.rows[self.row]
        line.extend(" " * (self.column + 1 - len(line)))
        line[self.column] = character
        self.column += 1

    def control(self, letter, count):
        line = self.rows[self.row]
        if letter in "AB":
            self.go_to_row(self.row + (max(count, 1) if letter == "B" else -max(count, 1)))
        elif letter in "CD":
            step = max(count, 1) if letter == "C" else -max(count, 1)
            self.column = min(max(0, min(self.column, self.columns - 1) + step), self.columns - 1)
        elif letter == "G":
            self.column = max(count, 1) - 1
        elif letter in "JK":
            del line[self.column :]
            if letter == "J":
                del self.rows[self.row + 1 :]
        elif letter == "P":
            del line[self.column : self.column + max(count, 1)]
        elif letter == "@":
            line[self.column : self.column] = " " * max(count, 1)

    def lines(self):
        return ["".join(row).rstrip() for row in self.rows]


def was_built_with_editor():
    text = (support.build_root / "meson-info" / "intro-dependencies.json").read_text()
    return any(each["name"] == "libedit" for each in json.loads(text))


class Terminal(ChatCase):
    """On its own terminal, 60 columns wide."""

    def setUp(self):
        super().setUp()
        if not was_built_with_editor():
            raise unittest.SkipTest("chat_client was built without libedit")
        self.server = self.start_chat()
        self.near, self.far = support.open_terminal()
        self.addCleanup(os.close, self.near)
        self.addCleanup(os.close, self.far)
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.modes = termios.tcgetattr(self.far)
        self.screen = Screen(60)
        self.seen = b""

    def start_here(self, *arguments, port=None):
        self.client = self.start_client(
            port or self.server.port, *arguments, stdin=self.far, stdout=self.far,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def start_in_lobby(self):
        self.start_here("--nick", "a", "--room", "lobby")
        self.see("* you are in lobby with")
        self.see_at_end("[lobby]")

    def type(self, text):
        os.write(self.near, text.encode())

    def read(self, seconds):
        if select.select([self.near], [], [], seconds)[0]:
            self.seen += os.read(self.near, 65536)
            end = len(self.seen)
            while end and self.seen[end - 1] & 0xC0 == 0x80:  # Only complete characters are drawn.
                end -= 1
            tail = self.seen[end - 1 :] if end else b""
            try:
                tail.decode()
                end = len(self.seen)
            except UnicodeDecodeError:
                end -= 1
            self.screen.write(self.seen[:end].decode(errors="replace"))
            self.seen = self.seen[end:]

    def see_that(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition(self.screen.lines()):
            if time.monotonic() > end:
                shown = "\n".join(self.screen.lines())
                raise AssertionError(f"not seen: {what}; but:\n{shown}\n{self.client.stderr}")
            self.read(0.1)

    def see(self, *texts):
        for text in texts:
            self.see_that(lambda lines, text=text: any(text in line for line in lines), text)

    def see_at_end(self, *last):
        self.see_that(lambda lines: lines[-len(last) :] == list(last), f"{last} at the end")

    def assert_leaves_terminal(self, status):
        self.assert_ends(self.client, status)
        self.assertEqual(termios.tcgetattr(self.far), self.modes)

    def test_a_line_is_sent_and_control_d_ends_the_client(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        self.type("hello wörld\r")
        watcher.hears("[lobby] a: hello wörld")
        self.see_at_end("[lobby] a: hello wörld", "[lobby]")
        self.type("\x04")
        self.assert_leaves_terminal(0)

    def test_the_line_stays_intact_while_messages_arrive(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        self.type("helo")
        self.see_at_end("[lobby] helo")
        self.type("\x1b[D")
        watcher.say("one")
        self.see_at_end("[lobby] watcher: one", "[lobby] helo")
        self.type("l")
        self.see_at_end("[lobby] watcher: one", "[lobby] hello")
        watcher.say("two")
        self.see_at_end("[lobby] watcher: one", "[lobby] watcher: two", "[lobby] hello")
        self.type("\r")
        watcher.hears("[lobby] a: hello")

    def test_a_line_of_several_rows_stays_intact(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        text = "".join(chr(ord("a") + i % 26) for i in range(130))
        rows = [f"[lobby] {text[:52]}", text[52:112], text[112:]]
        self.type(text)
        self.see_at_end(*rows)
        for number, keys in enumerate(["", "\x01", "\x1b[C" * 60, "\x05"]):
            self.type(keys)
            watcher.say(f"message {number}")
            self.see_at_end(f"[lobby] watcher: message {number}", *rows)
        self.type("\r")
        watcher.hears(f"[lobby] a: {text}")

    def test_earlier_lines_can_be_recalled(self):
        self.start_in_lobby()
        for text in ("first", "second"):
            self.type(text + "\r")
            self.see_at_end(f"[lobby] a: {text}", "[lobby]")
        self.type("\x1b[A\x1b[A")
        self.see_at_end("[lobby] a: second", "[lobby] first")
        self.type("\x1b[B")
        self.see_at_end("[lobby] second")

    def test_escape_alone_does_not_stop_the_client(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        self.type("\x1b")
        watcher.say("still there?")
        self.see_at_end("[lobby] watcher: still there?", "[lobby]")
        self.type("\x16")  # Ctrl-V would take the next key literally.
        self.type("yes\r")
        watcher.hears("[lobby] a: yes")

    def test_several_lines_typed_at_once_are_all_sent(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        self.type("one\rtwo\rthree")
        watcher.hears("[lobby] a: one", "[lobby] a: two")
        self.see_at_end("[lobby] a: two", "[lobby] three")

    def test_the_client_asks_for_a_nickname_until_one_is_accepted(self):
        self.join(self.server, nick="taken")
        self.start_here("--room", "lobby")
        for text, answer in (("taken", "nickname is taken"), ("a b", "it has a blank")):
            self.see_at_end("nickname:")
            self.type(text + "\r")
            self.see(answer)
        self.see_at_end("nickname:")
        self.type("fine\r")
        self.see("* hello, fine", "* you are in lobby with 1 others")
        self.see_at_end("[lobby]")

    def test_control_c_ends_the_client(self):
        self.start_in_lobby()
        self.type("half a li")
        self.see_at_end("[lobby] half a li")
        self.type("\x03")
        self.assert_leaves_terminal(130)

    def test_sigterm_ends_the_client(self):
        self.start_in_lobby()
        self.client.signal(signal.SIGTERM)
        self.assert_leaves_terminal(143)

    def test_the_client_continues_after_it_was_stopped(self):
        watcher = self.join(self.server)
        self.start_in_lobby()
        for _ in range(3):
            self.client.signal(signal.SIGSTOP)
            wait_until(lambda: support.process_state(self.client.pid) == "T", "it has stopped")
            self.client.signal(signal.SIGCONT)
            self.type("on\r")
            watcher.hears("[lobby] a: on")

    def test_quit_ends_the_client(self):
        self.start_in_lobby()
        self.type("/quit\r")
        self.assert_leaves_terminal(0)
        self.read(0)
        self.see("* goodbye: ")

    def test_the_client_survives_a_restart_of_the_server(self):
        self.start_in_lobby()
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        self.see("trying again in")
        self.type("kept\r")
        self.see("kept until the server is there")
        self.server = self.start_chat(port=self.server.port)
        self.see("[lobby] a: kept")
        self.see_at_end("[lobby]")

    def test_control_d_ends_the_client_while_there_is_no_server(self):
        self.start_in_lobby()
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        self.see("trying again in")
        self.type("lost\r")
        self.see("kept until the server is there")
        self.type("\x04")
        self.see("not sent: lost")
        self.assert_leaves_terminal(1)

    def test_lines_that_may_have_arrived_are_not_called_unsent(self):
        self.listen()
        self.start_here("--nick", "a", "--room", "lobby", port=self.port)
        sock, lines = self.welcome()
        self.see_at_end("[lobby]")
        self.type("hello\r")
        self.assertEqual(lines.readline(), b"hello\n")
        self.type("\x04")
        self.assertEqual(lines.readline(), b"")
        lines.close()
        reset(sock)
        self.see("the server gave no sign that it took: hello")
        self.assert_leaves_terminal(1)
        self.assertNotIn("not sent", "\n".join(self.screen.lines()))

    def test_the_client_waits_for_a_server_that_is_not_there_yet(self):
        self.server.signal(signal.SIGKILL)
        self.server.wait()
        self.start_here("--nick", "a", "--room", "lobby")
        self.see("there is no server at")
        self.server = self.start_chat(port=self.server.port)
        self.see("* you are in lobby with 0 others")

    def test_a_terminal_without_a_cursor_gets_plain_lines(self):
        self.client = self.start_client(
            self.server.port, "--nick", "a", "--room", "lobby", stdin=self.far, stdout=self.far,
            env={**os.environ, "TERM": "dumb"},
        )  # fmt: skip
        self.see("* you are in lobby with 0 others")
        self.type("hello\n")
        self.see("[lobby] a: hello")
        self.type("\x04")
        self.assert_leaves_terminal(0)


if __name__ == "__main__":
    support.main()
