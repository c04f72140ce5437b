#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat server under overload: members that do not read, or too slowly, and delay no others; and
the server itself, when it has to deliver more than it can.

usage: chat_slow.py BUILD_ROOT [TEST...]
"""

import pathlib
import re
import selectors
import signal
import threading
import time

import chat_support
import support
from chat_support import SHUT_DOWN, SLOW
from support import descriptor_count, wait_until

NO_LIMIT = ("--rate", "1000000")


def system_takes():
    """The most bytes that the system keeps for a connection whose peer does not read."""
    text = pathlib.Path("/proc/sys/net/ipv4/tcp_wmem").read_text()
    return int(text.split()[2])


class Pump:
    """Sends numbered lines as fast as `readers` read them; they get exactly these lines."""

    WINDOW = 50

    def __init__(self, case, sender, readers):
        self.case, self.sender, self.readers = case, sender, readers
        self.count = 0
        self.longest = 0  # Seconds until all readers had read each burst.

    def say(self, count, text):
        while count > 0:
            begin = time.monotonic()
            some = range(self.count, self.count + min(count, self.WINDOW))
            self.sender.say(*(f"{number} {text}" for number in some))
            for each in self.readers:
                each.expect(*(f"[lobby] {self.sender.name}: {number} {text}" for number in some))
            self.longest = max(self.longest, time.monotonic() - begin)
            self.count = some.stop
            count -= len(some)


class Slow(chat_support.Case):
    """A member that does not read. It never delays other members."""

    TEXT = "x" * 3000
    # A wait for a slow member would last until it is dropped, which takes 5 s.
    DELAY_MAX = 3

    def setUp(self):
        super().setUp()
        self.server = self.start_server(*NO_LIMIT)
        self.alice, self.bob = self.room_of(self.server, "lobby", "alice", "bob")
        self.pump = Pump(self, self.alice, [self.alice, self.bob])

    def enter(self, name):
        slow = self.member(self.server, name, "lobby", receive_buffer=4096)
        for each in (self.alice, self.bob):
            each.expect(f"* {name} has joined lobby")
        return slow

    def fill(self, text=None):
        """Sends until first the system's buffer and then the queue are full."""
        text = text or self.TEXT
        self.pump.say((system_takes() + 600_000) // len(text), text)

    def wait_until_dropped(self, name):
        """Other members send a line now and then."""
        begin = time.monotonic()
        while True:
            self.alice.say("and?")
            line = self.alice.line()
            if line == f"* {name} has left lobby":
                break
            self.assertEqual(line, "[lobby] alice: and?")
            self.bob.expect(line)
            self.assertLess(time.monotonic() - begin, support.DEADLINE)
            time.sleep(0.05)
        self.bob.expect(line)
        for each in (self.alice, self.bob):
            each.expect("[lobby] alice: and?")
        return time.monotonic() - begin

    def test_a_member_that_does_not_read_is_dropped_and_can_read_why(self):
        slow = self.enter("slow")
        self.fill()
        self.assertLess(self.pump.longest, self.DELAY_MAX)
        waited = self.wait_until_dropped("slow")
        if not support.is_sanitized():
            self.assertGreater(waited, 3)  # 5 s, minus the time it took to fill the queue.
        *lines, last = slow.rest()
        self.assertEqual(last, SLOW)
        self.assertEqual(
            lines, [f"[lobby] alice: {number} {self.TEXT}" for number in range(len(lines))]
        )
        self.member(self.server, "slow", "lobby")  # The name is free again.

    def test_a_dropped_member_that_still_does_not_read_is_cut_off(self):
        before = descriptor_count(self.server.pid)
        slow = self.enter("slow")
        self.fill()
        self.wait_until_dropped("slow")
        wait_until(lambda: descriptor_count(self.server.pid) == before, "it is closed")
        parts = []
        try:
            while part := slow.sock.recv(1 << 20):
                parts.append(part)
        except ConnectionResetError:
            pass
        self.assertNotIn(SLOW.encode(), b"".join(parts))

    def test_a_member_that_reads_again_in_time_stays_and_knows_what_is_missing(self):
        for text in (self.TEXT, "x"):
            with self.subTest(bytes=len(text)):
                slow = self.enter("slow")
                first = self.pump.count
                if text == self.TEXT:
                    self.fill()
                else:
                    # Fills the system's buffer, then the queue, by the number of lines.
                    self.pump.say((system_takes() + 100_000) // 3000, self.TEXT)
                    self.pump.say(5000, text)
                said = range(first, self.pump.count)
                numbers, missing = self.read_on(slow, len(said))
                self.assertGreater(missing, 0)
                self.assertEqual(numbers, sorted(set(numbers)))
                self.assertLessEqual(set(numbers), set(said))
                self.assertEqual(slow.fence(), [])
                slow.say("I am back", "/quit")
                for each in (self.alice, self.bob):
                    each.expect("[lobby] slow: I am back", "* slow has left lobby")

    def read_on(self, slow, count):
        """Reads until `count` lines are accounted for. Returns the numbers of those that arrived,
        and how many the server reports as left out."""
        numbers, missing = [], 0
        while len(numbers) + missing < count:
            line = slow.line()
            told = r"\* (\d+) lines were left out because you read too slowly"
            if found := re.fullmatch(told, line):
                missing += int(found[1])
            else:
                found = re.match(r"\[lobby\] alice: (\d+) ", line)
                self.assertTrue(found, line)
                numbers.append(int(found[1]))
        self.assertEqual(len(numbers) + missing, count)
        return numbers, missing

    def test_a_member_that_always_reads_a_little_stays_and_delays_no_other(self):
        """It is always behind, because the room sends twice as much as it reads. The system
        accepts more once half of its buffer is free, and the member reads enough for that."""
        slow = self.enter("slow")
        self.fill()
        begin = time.monotonic()
        while time.monotonic() - begin < 7:  # Longer than the 5 s of the limit.
            support.receive_exactly(slow.sock, 500_000)
            self.pump.say(1_000_000 // len(self.TEXT), self.TEXT)
            time.sleep(0.2)
        self.assertLess(self.pump.longest, self.DELAY_MAX)
        self.alice.say("/who")
        self.alice.expect("* in lobby: alice, bob, slow")

    def test_a_member_that_reads_a_trickle_delays_no_other(self):
        slow = self.enter("slow")
        is_over = threading.Event()

        def trickle():
            while not is_over.wait(1):
                slow.sock.recv(1024)

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            self.fill()
            self.wait_until_dropped("slow")
        finally:
            is_over.set()
            trickling.join()
        self.assertLess(self.pump.longest, self.DELAY_MAX)

    def test_a_room_full_of_slow_members_delays_no_other(self):
        crowd = [self.enter(f"slow{number}") for number in range(5)]
        self.fill()
        self.assertLess(self.pump.longest, self.DELAY_MAX)
        present = {f"* {each.name} has left lobby": each for each in crowd}
        while present:
            line = self.alice.line()
            self.bob.expect(line)
            # At once, because the server does not wait long for it to read the goodbye.
            self.assertEqual(present.pop(line).rest()[-1], SLOW)

    def test_the_server_ends_beside_a_slow_member(self):
        slow = self.enter("slow")
        self.fill()
        begin = time.monotonic()
        self.server.signal(signal.SIGINT)
        for each in (self.alice, self.bob):
            self.assertEqual(each.rest(), [SHUT_DOWN])
            each.sock.close()
        self.assertEqual(self.server.wait(), 0)
        self.assertEqual(self.server.stderr, "")
        self.assertLess(time.monotonic() - begin, 10)
        slow.sock.close()

    def test_a_slow_member_reads_on_after_the_server_has_ended(self):
        """The queued lines are delivered."""
        slow = self.enter("slow")
        count = (system_takes() // 2 + 300_000) // 3000
        self.pump.say(count, self.TEXT)
        self.server.signal(signal.SIGINT)
        *lines, last = slow.rest()
        self.assertEqual(last, SHUT_DOWN)
        expected = [f"[lobby] alice: {number} {self.TEXT}" for number in range(count)]
        self.assertTrue(lines == expected, f"{len(lines)} of {count} lines")
        self.assertEqual(self.server.wait(), 0)
        self.assertEqual(self.server.stderr, "")


class Stayer:
    """Sends and reads as fast as it can."""

    def __init__(self, member, lines):
        self.sock = member.sock
        self.name = member.name
        self.unsent = memoryview("".join(f"{line}\n" for line in lines).encode())
        self.parts = []
        self.count = 0  # Lines received so far.

    def events(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)

    def read(self):
        part = self.sock.recv(1 << 18)
        if not part:
            raise AssertionError(f"{self.name} was dropped")
        self.parts.append(part)
        self.count += part.count(b"\n")
        return True

    def write(self):
        self.unsent = self.unsent[self.sock.send(self.unsent) :]


class Passer:
    """Joins, sends one line, and leaves; it also reads."""

    LINES = 3  # The remaining members see it leave.

    def __init__(self, server, name):
        self.sock = server.connect()
        self.sock.sendall(f"{name}\n/join lobby\nhello\n/quit\n".encode())

    def events(self):
        return selectors.EVENT_READ

    def read(self):
        try:
            return bool(self.sock.recv(1 << 18))
        except ConnectionResetError:
            return False  # It did not receive everything in the 3 s that a leaving member has.


class Saturation(chat_support.Case):
    """The members send more than the server can deliver, and read as fast as they can."""

    MEMBERS = 20
    LINES = 200 if support.FAST else 1000
    PASSERS = 100 if support.FAST else 500
    PASSERS_AT_ONCE = 20

    def test_no_member_that_reads_is_dropped_or_misses_a_line(self):
        self.check(0)

    def test_no_member_that_stays_misses_a_line_while_others_come_and_go(self):
        self.check(self.PASSERS)

    def check(self, passers):
        names = [f"m{number}" for number in range(self.MEMBERS)]
        server = self.start_server(*NO_LIMIT)
        members = self.room_of(server, "lobby", *names)
        text = "x" * 50
        stayers = [
            Stayer(each, (f"{each.name} {number} {text}" for number in range(self.LINES)))
            for each in members
        ]
        self.selector = selectors.DefaultSelector()
        self.addCleanup(self.selector.close)
        for each in stayers:
            self.add(each)
        names_to_come = [f"p{number}" for number in range(passers)]
        passing = set()
        expected = self.LINES * self.MEMBERS + Passer.LINES * passers
        last = time.monotonic()
        while names_to_come or passing or any(each.count < expected for each in stayers):
            while names_to_come and len(passing) < self.PASSERS_AT_ONCE:
                passing.add(self.add(Passer(server, names_to_come.pop())))
            self.assertLess(time.monotonic() - last, support.DEADLINE, "nothing moves any more")
            for key, events in self.selector.select(1):
                last = time.monotonic()
                who = key.data
                if events & selectors.EVENT_READ and not who.read():
                    self.selector.unregister(who.sock)
                    who.sock.close()
                    passing.remove(who)
                if events & selectors.EVENT_WRITE:
                    who.write()
                    self.selector.modify(who.sock, who.events(), who)
        streams = {b"".join(each.parts) for each in stayers}
        self.assertEqual(len(streams), 1, "not all got the same")
        heard = {name: [] for name in names}
        for line in streams.pop().decode().splitlines():
            if re.fullmatch(r"\* p\d+ has (joined|left) lobby|\[lobby\] p\d+: hello", line):
                continue
            self.assertRegex(line, r"^\[lobby\] m\d+: ")
            name, number, _ = line.partition(": ")[2].split()
            heard[name].append(int(number))
        for name in names:
            self.assertEqual(heard[name], list(range(self.LINES)))

    def add(self, who):
        who.sock.setblocking(False)
        self.selector.register(who.sock, who.events(), who)
        return who


if __name__ == "__main__":
    support.main()
