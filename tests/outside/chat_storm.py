#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A storm in the chat server: a thousand members join, leave, talk, are renamed and disconnect at
random, and two witnesses in each room see every line once, in order and unchanged.

usage: chat_storm.py BUILD_ROOT [--seconds N] [TEST...]

The test records the lines of each member and the room of each line. No line may be missing, except
the last ones of a member that closed its connection without waiting for the end. No member is
dropped or misses a line, because all of them read.
"""

import collections
import itertools
import random
import re
import selectors
import signal
import socket
import sys
import time

import chat_support
import support
from chat_support import SHUT_DOWN
from support import descriptor_count, wait_until

SEED = 20
MEMBERS = 200 if support.FAST else 1000
ROOMS = [f"room{number}" for number in range(20)]
SAID = re.compile(r"\[(room\d+)\] (\S+): (\d+)\.(\d+) ")
ACTIONS_AT_ONCE = 50  # Then everything that has arrived is read.

seconds = 5


class Guest:
    """Records its lines with room and name. It acts when the server has answered its previous
    action, so the storm is exactly as strong as the server can handle."""

    def __init__(self, storm, number):
        self.storm = storm
        self.number = number
        self.names = (f"guest{number}-{turn}" for turn in itertools.count())
        self.room = None
        self.said = []  # The room and the name, for each line.
        self.is_lossy = False
        self.leaves = False
        self.tail = b""
        self.sock = storm.server.connect()
        self.sock.setblocking(False)
        self.unsent = b""
        self.fences = 0
        self.fence = b""
        storm.selector.register(self.sock, selectors.EVENT_READ, self)
        self.name = next(self.names)
        self.send(self.name)
        self.enter()
        self.wait()

    def wait(self):
        """A command whose answer shows that the server has handled everything sent before."""
        self.fences += 1
        self.fence = f"no such command: /fence{self.fences};".encode()
        self.send(f"/fence{self.fences}")

    def send(self, *lines):
        """Bytes that the system does not accept at once are sent later."""
        self.unsent += "".join(f"{line}\n" for line in lines).encode()
        self.flush()

    def flush(self):
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            pass
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        self.storm.selector.modify(self.sock, events, self)

    def act(self):
        if self.fence or self.unsent or self.leaves:
            return
        draw = self.storm.random.random()
        if draw < 0.70:
            self.talk()
        elif draw < 0.82:
            self.enter()
        elif draw < 0.86:
            self.go_out()
        elif draw < 0.91:
            self.name = next(self.names)
            self.send(f"/nick {self.name}")
        elif draw < 0.96:
            self.ask()
        else:
            return self.vanish()
        self.wait()

    def talk(self):
        lines = []
        for _ in range(self.storm.random.randrange(1, 6)):
            padding = "x" * self.storm.random.choice([0, 10, 100, 1000])
            lines.append(f"{self.number}.{len(self.said)} {padding}")
            if self.room is not None:
                self.said.append((self.room, self.name))
        self.send(*lines)

    def enter(self):
        self.room = self.storm.random.choice(ROOMS)
        self.send(f"/join {self.room}")

    def go_out(self):
        self.room = None
        self.send("/leave")

    def ask(self):
        other = self.storm.random.choice(self.storm.guests)
        asked = ["/who", "/rooms", "/history 3", "/time on", "/time off", "/what"]
        asked += [f"/msg {other.name} psst"] * 5
        self.send(self.storm.random.choice(asked))

    def vanish(self, *ways):
        self.leaves = True
        way = self.storm.random.choice(ways or ["/quit", "half", "close", "reset"])
        if way == "/quit":
            self.send("/quit")
        elif way == "half":
            self.sock.shutdown(socket.SHUT_WR)
        else:
            self.is_lossy = True
            self.storm.selector.unregister(self.sock)
            if way == "reset":
                support.reset(self.sock)
            self.sock.close()
            self.storm.replace(self)

    def read(self):
        part = self.sock.recv(1 << 18)
        self.storm.received += len(part)
        text = self.tail + part
        if b"too slowly" in text:
            raise AssertionError(f"{self.name} was too slow: {text!r}")
        if self.fence and self.fence in text:
            self.fence = b""
        if part:
            self.tail = text[-100:]
            return
        if not self.leaves:
            raise AssertionError(f"{self.name} was sent away: {self.tail!r}")
        self.storm.selector.unregister(self.sock)
        self.sock.close()
        self.storm.replace(self)


class Witness(chat_support.Member):
    """Stays in its room, and records every line."""

    def __init__(self, storm, room, name):
        super().__init__(storm.server, name, room)
        self.room = room
        storm.selector.register(self.sock, selectors.EVENT_READ, self)

    def read(self):
        if not self.receive():
            raise AssertionError(f"{self.name} was sent away")


class Storm(chat_support.Case):
    def setUp(self):
        super().setUp()
        support.raise_descriptor_limit(2 * MEMBERS, f"{MEMBERS} members")
        self.random = random.Random(SEED)
        self.selector = selectors.DefaultSelector()
        self.addCleanup(self.selector.close)
        self.server = self.start_server("--rate", "1000000")
        self.numbers = itertools.count()
        self.guests, self.gone = [], []
        self.received = 0
        self.is_over = False

    def replace(self, guest):
        """A guest has left; another one joins."""
        self.guests.remove(guest)
        self.gone.append(guest)
        if not self.is_over:
            self.guests.append(Guest(self, next(self.numbers)))

    def read_all(self, timeout=0):
        ready = self.selector.select(timeout)
        for key, events in ready:
            if events & selectors.EVENT_WRITE:
                key.data.flush()
            if events & selectors.EVENT_READ:
                key.data.read()
        return ready

    def test_every_line_reaches_the_witnesses_once_and_in_order(self):
        witnesses = [
            [Witness(self, room, f"{room}-{each}") for each in ("first", "second")]
            for room in ROOMS
        ]
        self.addCleanup(lambda: [each.sock.close() for pair in witnesses for each in pair])
        before = descriptor_count(self.server.pid)

        for _ in range(MEMBERS):
            self.guests.append(Guest(self, next(self.numbers)))
            self.read_all()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(ACTIONS_AT_ONCE):
                self.random.choice(self.guests).act()
            self.read_all()
        self.is_over = True
        self.all_leave()
        wait_until(
            lambda: self.read_all() or descriptor_count(self.server.pid) == before,
            "the server has closed",
        )
        wait_until(
            lambda: not self.read_all() and descriptor_count(self.server.pid) == before,
            "only the witnesses are left",
        )
        heard = []
        for first, second in witnesses:
            first.lines_before(f"* {second.name} has joined {second.room}")
            heard.append(second.fence())
            self.assertTrue(first.fence() == heard[-1], f"not the same in {first.room}")
            second.say("/who")
            second.expect(f"* in {second.room}: {first.name}, {second.name}")
        self.check(heard)

        self.server.signal(signal.SIGINT)
        for each in itertools.chain.from_iterable(witnesses):
            self.assertEqual(each.rest(), [SHUT_DOWN])
            each.sock.close()
        self.assertEqual(self.server.wait(), 0, self.server.stderr)
        self.assertEqual(self.server.stderr, "")

    def all_leave(self):
        last = time.monotonic()
        while self.guests:
            for guest in list(self.guests):
                if not guest.leaves and not guest.unsent:
                    guest.vanish()
            if self.read_all(0.1):
                last = time.monotonic()
            self.assertLess(time.monotonic() - last, support.DEADLINE, "some do not get away")

    def check(self, heard):
        """Compares with the records of the guests."""
        guests = {guest.number: guest for guest in self.gone}
        found = collections.defaultdict(list)
        count = 0
        for lines in heard:
            last = {}
            for line in lines:
                match = SAID.match(line)
                if match is None:
                    self.assertTrue(line.startswith("* "), line)
                    continue
                room, name = match[1], match[2]
                number, index = int(match[3]), int(match[4])
                self.assertEqual(guests[number].said[index], (room, name))
                self.assertGreater(index, last.get(number, -1), "twice, or not in order")
                last[number] = index
                found[number].append(index)
                count += 1
        for number, guest in guests.items():
            indices = sorted(found[number])
            self.assertEqual(indices, list(range(len(indices))), "one is missing")
            if not guest.is_lossy:
                self.assertEqual(len(indices), len(guest.said), "the last ones are missing")
        lossless = sum(not guest.is_lossy for guest in guests.values())
        self.assertGreater(lossless, MEMBERS // 4)
        print(
            f"{len(guests)} members came and went, {count} lines were said, "
            f"{self.received >> 20} MiB were read"
        )


if __name__ == "__main__":
    if "--seconds" in sys.argv:
        at = sys.argv.index("--seconds")
        seconds = float(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    support.main()
