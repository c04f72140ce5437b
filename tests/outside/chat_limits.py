#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat server under abuse: long lines, floods, silence, crowds.

usage: chat_limits.py BUILD_ROOT [TEST...]
"""

import pathlib
import signal
import threading
import time

import chat_support
import support
from chat_support import SHUT_DOWN, WELCOME, Member
from support import descriptor_count, wait_until

LINE = 4096
TOO_LONG = f"* a line may have {LINE} bytes; yours was thrown away"
FULL = "* goodbye: the server is full; try again later"
SILENT = "* goodbye: you have been silent for too long"


class Lines(chat_support.Case):
    def test_a_line_of_the_greatest_length_is_said(self):
        alice, bob = self.room_of(self.start_server(), "lobby", "alice", "bob")
        for text in ("x" * LINE, "名" * (LINE // 3) + "x"):
            for end in ("\n", "\r\n"):
                alice.send(f"{text}{end}".encode())
                for each in (alice, bob):
                    each.expect(f"[lobby] alice: {text}")

    def test_a_longer_line_alone_is_dropped(self):
        alice, bob = self.room_of(self.start_server(), "lobby", "alice", "bob")
        for text in ("x" * (LINE + 1), "y" * 3 * LINE, "名" * 100_000, "/join " + "z" * LINE):
            for end in ("\n", "\r\n"):
                alice.send(f"{text}{end}hello\n".encode())
                alice.expect(TOO_LONG, "[lobby] alice: hello")
                bob.expect("[lobby] alice: hello")
        self.assertEqual(bob.fence(), [])

    def test_a_line_that_is_too_long_is_reported_before_it_ends(self):
        alice = self.member(self.start_server(), "alice", "lobby")
        alice.send(b"x" * (LINE + 2))
        alice.expect(TOO_LONG)
        for _ in range(100):
            alice.send(b"x" * LINE)
        alice.send(b"x\nhello\n")
        alice.expect("[lobby] alice: hello")

    def test_a_line_that_is_too_long_may_come_before_the_name(self):
        member = self.member(self.start_server())
        member.expect(WELCOME)
        member.say("x" * (LINE + 1))
        member.expect(TOO_LONG)
        member.introduce("alice")

    def test_a_line_that_is_not_utf8_is_dropped(self):
        alice, bob = self.room_of(self.start_server(), "lobby", "alice", "bob")
        for wrong in (b"\xff", b"h\xe4llo", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\x80",
                      b"\xf4\x90\x80\x80", "日".encode()[:2], b"/msg bob \xfe"):  # fmt: skip
            alice.send(wrong + b"\n")
            alice.expect("* your line is not UTF-8, and was thrown away")
        for control in ("\0", "\x1b[2J", "a\rb", "\x7f", "\u009b"):
            alice.say(control)
            alice.expect("* your line has control characters, and was thrown away")
        self.assertEqual(bob.fence(), [])


class Rate(chat_support.Case):
    def test_a_flood_is_slowed_down_without_losing_a_line(self):
        """The burst is 4 seconds of the rate; after it the test waits for half of that."""
        server = self.start_server("--rate", "20")
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        said = [f"[lobby] alice: {number}" for number in range(100)]
        begin = time.monotonic()
        alice.say(*(str(number) for number in range(100)))
        bob.expect(*said)
        self.assertGreater(time.monotonic() - begin, 1)
        lines = alice.lines_before(said[-1])
        self.assertEqual([line for line in lines if line in said], said[:-1])
        self.assertEqual(
            {line for line in lines if line not in said},
            {"* slow down: 20 lines a second are allowed, the rest wait"},
        )
        self.assertEqual(bob.fence(), [])  # Bob was not slowed down.

    def test_a_rate_of_less_than_a_line_in_four_seconds_is_kept(self):
        alice = self.member(self.start_server("--rate", "0.2"), "alice", "lobby")
        alice.say("one", "two")
        alice.lines_before("[lobby] alice: two")
        begin = time.monotonic()
        alice.say("three")
        alice.lines_before("[lobby] alice: three")
        self.assertGreater(time.monotonic() - begin, 4)

    def test_a_member_that_is_slowed_down_can_be_sent_away(self):
        server = self.start_server("--rate", "0.01")  # With this rate each wait takes minutes.
        alice = self.member(server, "alice", "lobby")
        alice.say("one", "two")
        alice.expect("* slow down: 0.01 lines a second are allowed, the rest wait")
        server.signal(signal.SIGINT)
        self.assertEqual(alice.rest(), [SHUT_DOWN])
        alice.sock.close()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.stderr, "")


class Idle(chat_support.Case):
    def test_silent_members_are_sent_away_and_active_ones_are_not(self):
        server = self.start_server("--idle", "1")
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        begin = time.monotonic()
        # Alice only reads. Bob's lines keep him connected, not her; half a line keeps neither.
        alice.send(b"half a line")
        left = threading.Event()

        def talk():
            while not left.wait(0.2):
                bob.say("still here")

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            lines = bob.lines_before("* alice has left lobby")
        finally:
            left.set()
            talking.join()
        self.assertGreater(time.monotonic() - begin, 0.5)
        self.assertEqual(set(lines), {"[lobby] bob: still here"})
        self.assertEqual(alice.rest()[-1], SILENT)
        self.member(server, "alice")  # The name is free again.
        self.assertEqual(bob.rest()[-1], SILENT)

    def test_no_member_is_sent_away_by_default(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        time.sleep(1.5)  # A fixed time, because nothing may happen in it.
        for each in (alice, bob):
            self.assertEqual(each.fence(), [])


class Farewells(chat_support.Case):
    def test_a_member_that_keeps_talking_is_not_cut_off(self):
        """A connection that is closed while the peer sends may lose the last bytes sent to it."""
        server = self.start_server("--introduction", "1")
        alice = self.member(server, "alice", "lobby")
        time.sleep(1.5)  # A fixed time: she stays longer than newcomers may.
        server.signal(signal.SIGINT)
        self.assertEqual(alice.rest(), [SHUT_DOWN])
        for _ in range(20):
            alice.say("but I was not done")
            time.sleep(0.01)  # The end would arrive as a reset, and a later send would report it.
        alice.sock.close()
        self.assertEqual(server.wait(), 0)

    def test_a_member_that_gives_no_name_is_told(self):
        member = self.member(self.start_server("--introduction", "1"))
        member.expect(WELCOME)
        self.assertEqual(member.rest(), ["* goodbye: you did not say who you are"])

    def test_wrong_nicknames_do_not_prolong_the_introduction(self):
        """Each is answered at once, so that a limit that restarted would never pass."""
        server = self.start_server("--introduction", "1", "--rate", "1000000")
        member = self.member(server)
        member.expect(WELCOME)
        give_up = time.monotonic() + 30
        line = ""
        while line != "* goodbye: you did not say who you are":
            self.assertIsNotNone(line, "the connection ended without a word")
            self.assertLess(time.monotonic(), give_up, "30 s with a limit of 1")
            member.say("no name!")
            line = member.line()

    def test_the_system_checks_whether_members_are_still_there(self):
        server = self.start_server()
        alice = self.member(server, "alice")
        ends = [f"{port:04X}" for port in (server.port, alice.sock.getsockname()[1])]

        def timer():
            """Which timer runs for the server's end: proc_net_tcp(5)."""
            for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
                _, near, far, _, _, running = line.split()[:6]
                if [near.split(":")[1], far.split(":")[1]] == ends:
                    return running[:2]
            return None

        wait_until(lambda: timer() == "02", "its timer is that of a keep-alive")


class Crowds(chat_support.Case):
    def test_too_many_members_are_turned_away(self):
        server = self.start_server("--members-max", "2")
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        for _ in range(3):
            self.assertEqual(self.member(server).rest(), [FULL])
        talking = self.member(server)
        talking.say(*["I will not be stopped"] * 1000)
        self.assertEqual(talking.rest(), [FULL])
        bob.say("/quit")
        self.assertEqual(len(bob.rest()), 1)
        bob.sock.close()
        begin = time.monotonic()
        wait_until(lambda: self.is_served(server), "the place is free")
        if not support.is_sanitized():
            self.assertLess(time.monotonic() - begin, 0.9)  # It lingers for at most a second.
        alice.say("hello")
        alice.expect("* bob has left lobby", "[lobby] alice: hello")

    def is_served(self, server):
        with Member(server) as member:
            return member.line() == WELCOME

    def test_members_that_come_and_go_leave_nothing_behind(self):
        server = self.start_server()
        alice = self.member(server, "alice", "lobby")
        before = descriptor_count(server.pid)
        for turn in range(20):
            crowd = [self.member(server, f"m{number}", "lobby") for number in range(20)]
            for each in crowd[::2]:
                support.reset(each.sock)
            for each in crowd[1::2]:
                each.sock.close()
            wait_until(lambda: descriptor_count(server.pid) == before, "they are closed")
        self.assertEqual(len([line for line in alice.fence() if " has left " in line]), 400)


if __name__ == "__main__":
    support.main()
