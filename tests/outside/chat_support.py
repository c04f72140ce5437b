# SPDX-License-Identifier: MIT
"""What the scripts about the chat server share: members that see what a user at a terminal sees.

Nothing here sleeps to wait for something: a member waits for a line, or for the end of its stream.
A fence shows that a line does not come: lines arrive in the order in which the server made them, so
every earlier line arrives before the answer to a later command.
"""

import collections

import support

WELCOME = "* welcome to ringlet chat: what is your nickname?"
SLOW = "* goodbye: you read too slowly"
SHUT_DOWN = "* goodbye: the server shuts down"


class Member:
    """One connection. With a name it has sent its nickname and read the answer."""

    def __init__(self, server, name=None, room=None, receive_buffer=None):
        self.sock = server.connect(receive_buffer=receive_buffer)
        self.name = name
        self.lines = collections.deque()  # Received and not yet taken.
        self.unfinished = b""
        self.fences = 0
        if name is not None:
            self.expect(WELCOME)
            self.introduce(name)
        if room is not None:
            self.join(room)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def say(self, *lines):
        self.send("".join(f"{line}\n" for line in lines).encode())

    def receive(self):
        """Waits for more; False at the end of the stream."""
        part = self.sock.recv(1 << 18)
        *lines, self.unfinished = (self.unfinished + part).split(b"\n")
        self.lines.extend(lines)
        if not part and self.unfinished:
            raise AssertionError(f"{self.name}: a line without end: {self.unfinished!r}")
        return bool(part)

    def line(self):
        """The next line, without its end; None at the end of the stream."""
        while not self.lines:
            if not self.receive():
                return None
        return self.lines.popleft().decode()

    def expect(self, *lines):
        for line in lines:
            got = self.line()
            if got != line:
                raise AssertionError(f"{self.name}: expected {line!r}, got {got!r}")

    def lines_before(self, last):
        """The lines before that line, which is read as well."""
        lines = []
        while (line := self.line()) != last:
            if line is None:
                raise AssertionError(f"{self.name}: the end instead of {last!r} after {lines[-5:]}")
            lines.append(line)
        return lines

    def fence(self):
        """The lines that have arrived by now."""
        self.fences += 1
        self.say(f"/fence{self.fences}")
        return self.lines_before(
            f"* no such command: /fence{self.fences}; /help lists the commands"
        )

    def rest(self):
        """All lines until the server closes the connection without a reset."""
        while self.receive():
            pass
        lines = [line.decode() for line in self.lines]
        self.lines.clear()
        return lines

    def introduce(self, name):
        self.say(name)
        self.expect(f"* hello, {name}: /join ROOM lets you talk, /help lists the commands")
        self.name = name

    def join(self, room):
        """The answer to joining, except for the last line."""
        self.say(f"/join {room}")
        lines = []
        while not (line := self.line()).startswith(f"* you are in {room} with "):
            lines.append(line)
        return lines


class Case(support.Case):
    """A test of the chat server."""

    status_after_request = 0  # The server says goodbye to its members, and exits by itself.

    def setUp(self):
        if not support.program_path("chat_server").exists():
            self.skipTest("chat_server was not built: it needs utf8.h (libutfcpp-dev)")

    def start_server(self, *arguments, complaints="", before=(), **options):
        """Starts a chat_server on a free port; see support.Case.start_server()."""
        program = support.program_path("chat_server")
        made = support.Server(*before, program, "--port", "0", *arguments, **options)
        self.addCleanup(made.end)
        self.addCleanup(self.check_server, made, complaints)
        return made

    def member(self, server, *arguments, **options):
        made = Member(server, *arguments, **options)
        self.addCleanup(made.sock.close)
        return made

    def room_of(self, server, room, *names):
        """Members with these names, each of which has seen the later ones join."""
        made = [self.member(server, name, room) for name in names]
        for index, member in enumerate(made):
            member.expect(*(f"* {name} has joined {room}" for name in names[index + 1 :]))
        return made

    def assert_serves(self, server):
        with Member(server, "somebody") as newcomer:
            self.assertEqual(newcomer.fence(), [])
