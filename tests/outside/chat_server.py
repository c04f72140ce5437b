#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chat server from its members' view: every command, every error, every way to leave.

usage: chat_server.py BUILD_ROOT [TEST...]
"""

import re
import signal
import socket
import subprocess
import sys

import chat_support
import support
from chat_support import SHUT_DOWN, WELCOME
from support import DEADLINE, reset, wait_until

HELLO = "/join ROOM lets you talk, /help lists the commands"


class OtherPrograms(chat_support.Case):
    """Generic clients, such as nc."""

    TALK = ["alice", "/join lobby", "hello", "/quit"]
    ANSWERS = [
        WELCOME,
        f"* hello, alice: {HELLO}",
        "* you are in lobby with 0 others",
        "[lobby] alice: hello",
    ]

    def run_client(self, *command, text):
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=DEADLINE)
        return done.stdout.decode().splitlines()

    def check(self, command):
        """With /quit, without it, and with the line ends of other systems."""
        for end in ("\n", "\r\n"):
            text = "".join(line + end for line in self.TALK)
            *lines, last = self.run_client(*command(self.start_server().port), text=text)
            self.assertEqual(lines, self.ANSWERS)
            self.assertTrue(last.startswith("* goodbye"), last)
        text = "\n".join(self.TALK[:-1])  # The last line has no line end.
        lines = self.run_client(*command(self.start_server().port), text=text)
        self.assertEqual(lines, self.ANSWERS)

    def test_netcat_can_chat(self):
        support.skip_unless_installed("nc")
        self.check(lambda port: ["nc", "-N", "127.0.0.1", str(port)])

    def test_socat_can_chat(self):
        support.skip_unless_installed("socat")
        # -t: how long it waits for answers after the end of its input.
        self.check(lambda port: ["socat", "-t", "30", "-", f"TCP:127.0.0.1:{port}"])

    def test_netcat_can_chat_line_by_line(self):
        support.skip_unless_installed("nc")
        server = self.start_server()
        command = ["nc", "127.0.0.1", str(server.port)]
        with support.Program(*command, stdin=subprocess.PIPE) as nc:
            for line, answer in zip([None, *self.TALK], self.ANSWERS):
                if line:
                    nc.process.stdin.write(f"{line}\n".encode())
                    nc.process.stdin.flush()
                self.assertEqual(nc.process.stdout.readline().decode(), f"{answer}\n")


class Names(chat_support.Case):
    GOOD = [
        "a",
        "alice",
        "x" * 32,
        "a/b*c",
        "[bob]",
        "Zoë",
        "Zoe\u0308",  # With a combining diaeresis.
        "日本語",
        "名" * 32,
        "🐙",
        "#1",
    ]
    BAD = [
        ("", "it is empty"),
        ("x" * 33, "it has more than 32 characters"),
        ("名" * 33, "it has more than 32 characters"),
        ("/me", "it begins with / or *"),
        ("/join", "it begins with / or *"),
        ("*", "it begins with / or *"),
        ("a:", "it ends with a colon"),
        ("a b", "it has a blank"),
        (" a", "it has a blank"),
        ("a ", "it has a blank"),
        ("a\tb", "it has a blank"),
        ("a\u3000b", "it has a blank"),  # As wide as an ideograph.
        ("\ue000\uffff", "it has a character that cannot be printed"),
        ("a\u0378", "it has a character that cannot be printed"),  # Not assigned.
    ]

    def test_good_names_are_accepted(self):
        server = self.start_server()
        for name in self.GOOD:
            with self.subTest(name=name):
                self.member(server, name)

    def test_a_bad_name_can_be_replaced(self):
        server = self.start_server()
        member = self.member(server)
        member.expect(WELCOME)
        for name, fault in self.BAD:
            with self.subTest(name=name):
                member.say(name)
                member.expect(f"* invalid nickname: {fault}; try another one")
        member.introduce("alice")

    def test_no_break_spaces_are_blanks(self):
        """They all look the same, and a name of nothing else would be invisible."""
        member = self.member(self.start_server())
        member.expect(WELCOME)
        for blank in "\u00a0\u2007\u202f":
            with self.subTest(blank=f"{ord(blank):x}"):
                member.say(f"a{blank}b")
                member.expect("* invalid nickname: it has a blank; try another one")

    def test_invisible_characters_are_refused_in_names(self):
        """Otherwise a member could take a name that looks like another member's."""
        member = self.member(self.start_server(), "alice")
        for unseen in "\u00ad\u200b\u200f\u202e\u2060\u2066\ufeff\U000e0041":
            with self.subTest(unseen=f"{ord(unseen):x}"):
                member.say(f"/nick al{unseen}ice")
                fault = "it has a character that cannot be seen"
                member.expect(f"* invalid nickname: {fault}")

    def test_control_characters_are_refused(self):
        member = self.member(self.start_server())
        member.expect(WELCOME)
        for text in ("a\x1b[31m", "a\x07", "\x00", "a\x7f", "a\u0085b", "a\rb"):
            with self.subTest(text=text):
                member.say(text)
                member.expect("* your line has control characters, and was thrown away")
        member.introduce("alice")

    def test_taken_names_are_refused(self):
        server = self.start_server()
        alice = self.member(server, "alice")
        other = self.member(server)
        other.expect(WELCOME)
        other.say("alice")
        other.expect("* that nickname is taken; try another one")
        other.introduce("Alice")  # Not the same.
        alice.say("/nick Alice")
        alice.expect("* that nickname is taken")
        alice.say("/nick carol")
        alice.expect("* alice is now carol")
        other.say("/nick alice")
        other.expect("* Alice is now alice")

    def test_a_room_is_told_of_new_names(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        outside = self.member(server, "outside")
        alice.say("/nick carol", "hello")
        for each in (alice, bob):
            each.expect("* alice is now carol", "[lobby] carol: hello")
        self.assertEqual(outside.fence(), [])
        bob.say("/msg carol psst")
        carol = alice
        carol.expect("(private) bob: psst")
        bob.expect("(private) to carol: psst")
        for name, fault in self.BAD[1:4]:
            bob.say(f"/nick {name}")
            bob.expect(f"* invalid nickname: {fault}")
        bob.say("/nick bob")
        bob.expect("* that nickname is taken")
        self.assertEqual(carol.fence(), [])


class Rooms(chat_support.Case):
    def test_a_line_reaches_its_room_and_no_other_member(self):
        server = self.start_server()
        inside = self.room_of(server, "lobby", "alice", "bob", "carol")
        elsewhere = self.member(server, "dave", "kitchen")
        nowhere = self.member(server, "eve")
        inside[1].say("hello", "//join is a command", "/", "", "  two blanks ", "tab\there", "äöü")
        inside[1].expect(
            "[lobby] bob: hello",
            "[lobby] bob: /join is a command",
            "* no such command: /; /help lists the commands",
        )
        for each in (inside[0], inside[2]):
            each.expect("[lobby] bob: hello", "[lobby] bob: /join is a command")
        for each in inside:
            each.expect(
                "[lobby] bob:   two blanks ", "[lobby] bob: tab\there", "[lobby] bob: äöü"
            )
        for each in (*inside, elsewhere, nowhere):
            self.assertEqual(each.fence(), [])

    def test_a_room_is_told_of_joining_and_leaving(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        bob.say("/leave")
        bob.expect("* you have left lobby")
        alice.expect("* bob has left lobby")
        bob.say("/join lobby")
        bob.expect("* you are in lobby with 1 others")
        alice.expect("* bob has joined lobby")
        bob.say("/join #2")  # Leaves the other room.
        bob.expect("* you are in #2 with 0 others")
        alice.expect("* bob has left lobby")
        alice.say("/join #2", "/join #2")
        bob.expect("* alice has joined #2")
        alice.expect("* you are in #2 with 1 others", "* you are there already")
        for each in (alice, bob):
            self.assertEqual(each.fence(), [])

    def test_room_names_follow_rules(self):
        member = self.member(self.start_server(), "alice")
        for name, fault in Names.BAD[1:]:
            if name.strip() == name:
                member.say(f"/join {name}")
                member.expect(f"* invalid room name: {fault}")
        member.say("/join")
        member.expect("* invalid room name: it is empty")
        for name in (*Names.GOOD, "#lobby"):
            self.assertEqual(member.join(name), [])

    def test_blanks_around_the_words_of_a_command_do_not_matter(self):
        member = self.member(self.start_server(), "alice")
        member.say("/join  \t lobby \t")
        member.expect("* you are in lobby with 0 others")
        member.say("/nick bob ", "/time  off ", "/history  1 ", "/leave ")
        member.expect("* alice is now bob", "* lines come without the time")
        member.expect("* that was the end of what is kept of lobby", "* you have left lobby")

    def test_a_member_in_no_room_can_say_nothing(self):
        member = self.member(self.start_server(), "alice")
        member.say("hello", "//hello", "/leave", "/who", "/history")
        member.expect(*["* you are in no room: /join ROOM first"] * 5)

    def test_who_and_rooms_list_members(self):
        server = self.start_server()
        alice = self.member(server, "alice")
        alice.say("/rooms")
        alice.expect("* no room has members")
        self.room_of(server, "lobby", "bob", "carol")
        alice.join("kitchen")
        alice.say("/rooms", "/who", "/join lobby", "/who", "/rooms")
        alice.expect(
            "* rooms: kitchen (1), lobby (2)",
            "* in kitchen: alice",
            "* you are in lobby with 2 others",
            "* in lobby: bob, carol, alice",
            "* rooms: lobby (3)",
        )

    def test_long_lists_take_several_lines(self):
        server = self.start_server("--rate", "10000")
        names = [f"{number:032}" for number in range(100)]
        for number, name in enumerate(names):
            self.member(server, name, "lobby" if number < 50 else name)
        alice = self.member(server, "alice", "lobby")
        for command, before, expected in [
            ("/who", "* in lobby: ", [*names[:50], "alice"]),
            ("/rooms", "* rooms: ", [*(f"{name} (1)" for name in names[50:]), "lobby (51)"]),
        ]:
            alice.say(command)
            lines = alice.fence()
            self.assertGreater(len(lines), 1)
            listed = []
            for line in lines:
                self.assertTrue(line.startswith(before), line)
                self.assertLess(len(line), 4096)
                listed += line.removeprefix(before).split(", ")
            self.assertEqual(listed, expected)

    def test_an_empty_room_makes_place_for_another(self):
        server = self.start_server("--rooms-max", "2")
        alice, bob, carol = (self.member(server, name) for name in ("alice", "bob", "carol"))
        alice.join("one")
        bob.join("two")
        carol.say("/join three")
        carol.expect("* there are too many rooms: join one that /rooms lists")
        bob.say("/leave")
        bob.expect("* you have left two")
        self.assertEqual(carol.join("three"), [])
        bob.say("/join two")
        bob.expect("* there are too many rooms: join one that /rooms lists")
        self.assertEqual(bob.join("one"), [])
        alice.expect("* bob has joined one")

    def test_the_last_member_of_a_room_makes_place_by_leaving_it(self):
        server = self.start_server("--rooms-max", "1")
        alice = self.member(server, "alice", "one")
        self.assertEqual(alice.join("two"), [])
        bob = self.member(server, "bob", "two")
        alice.expect("* bob has joined two")
        bob.say("/join three")  # This would be the second room.
        bob.expect("* there are too many rooms: join one that /rooms lists")
        self.assertEqual(alice.fence(), [])


class History(chat_support.Case):
    def test_newcomers_get_the_last_lines_of_the_room(self):
        server = self.start_server("--history", "3")
        alice = self.member(server, "alice", "lobby")
        alice.say("one", "two", "/nick carol", "three", "four")
        alice.expect("[lobby] alice: one", "[lobby] alice: two", "* alice is now carol")
        alice.expect("[lobby] carol: three", "[lobby] carol: four")
        kept = ["[lobby] alice: two", "[lobby] carol: three", "[lobby] carol: four"]
        bob = self.member(server, "bob")
        self.assertEqual(bob.join("lobby"), kept)
        self.assertEqual(self.member(server, "dave").join("kitchen"), [])

    def test_the_history_stays_when_all_have_left(self):
        server = self.start_server()
        alice = self.member(server, "alice", "lobby")
        alice.say("is anybody there?", "/quit")
        self.assertEqual(alice.line(), "[lobby] alice: is anybody there?")
        alice.rest()
        bob = self.member(server, "bob")
        self.assertEqual(bob.join("lobby"), ["[lobby] alice: is anybody there?"])

    def test_the_history_goes_with_its_room(self):
        server = self.start_server("--rooms-max", "1")
        alice = self.member(server, "alice", "one")
        alice.say("a secret", "/leave")
        alice.expect("[one] alice: a secret", "* you have left one")
        for room in ("two", "one"):
            self.assertEqual(alice.join(room), [])
            alice.say("/leave")
            alice.expect(f"* you have left {room}")

    def test_the_history_is_repeated_on_request(self):
        server = self.start_server("--history", "3")
        alice = self.member(server, "alice", "lobby")
        said = [f"[lobby] alice: {number}" for number in range(5)]
        alice.say(*(str(number) for number in range(5)))
        alice.expect(*said)
        for command, count in [
            ("/history", 3), ("/history 2", 2), ("/history 0", 0), ("/history 100", 3)
        ]:  # fmt: skip
            alice.say(command)
            alice.expect(*said[len(said) - count :])
            alice.expect("* that was the end of what is kept of lobby")
        for wrong in ("x", "1x", "-1", "1 2", "99999999999999999999999"):
            alice.say(f"/history {wrong}")
            alice.expect("* say /history, or /history and a number")

    def test_there_is_no_history_when_none_is_kept(self):
        server = self.start_server("--history", "0")
        alice = self.member(server, "alice", "lobby")
        alice.say("hello")
        alice.expect("[lobby] alice: hello")
        self.assertEqual(self.member(server, "bob").join("lobby"), [])
        alice.expect("* bob has joined lobby")

    def test_a_long_history_leaves_room_for_later_lines(self):
        """More than a member's queue accepts, which is limited in lines and in bytes."""
        for count, text in [(1500, "x"), (300, "x" * 4000)]:
            with self.subTest(lines=count):
                server = self.start_server("--history", "1000", "--rate", "100000")
                alice = self.member(server, "alice", "lobby")
                said = [f"[lobby] alice: {number} {text}" for number in range(count)]
                for number in range(count):
                    alice.say(f"{number} {text}")
                    alice.expect(said[number])
                bob = self.member(server, "bob")
                got = bob.join("lobby")
                self.assertGreater(len(got), 20)
                self.assertTrue(got == said[-len(got) :], "not the last ones")


class Commands(chat_support.Case):
    def test_private_lines_reach_one_member(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        carol = self.member(server, "carol")
        carol.say("/msg alice  two words ", "/msg nobody hello", "/msg alice", "/msg")
        carol.say("/msg carol I")
        carol.expect(
            "(private) to alice: two words",
            "* there is no nobody",
            "* say /msg NICK TEXT",
            "* say /msg NICK TEXT",
            "(private) carol: I",
            "(private) to carol: I",
        )
        alice.expect("(private) carol: two words")
        for each in (alice, bob, carol):
            self.assertEqual(each.fence(), [])

    def test_lines_carry_the_time_on_request(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        alice.say("/time on", "hello", "/who")
        texts = ["* lines come with the time", "[lobby] alice: hello", "* in lobby: alice, bob"]
        for text in texts:
            time, _, line = alice.line().partition(" ")
            self.assertRegex(time, r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$")
            self.assertEqual(line, text)
        alice.say("/time off", "bye", "/time", "/time maybe")
        alice.expect("* lines come without the time", "[lobby] alice: bye")
        alice.expect(*["* say /time on or /time off"] * 2)
        bob.expect("[lobby] alice: hello", "[lobby] alice: bye")

    def test_help_names_every_command(self):
        member = self.member(self.start_server(), "alice")
        member.say("/help")
        lines = member.fence()
        self.assertTrue(all(line.startswith("* ") for line in lines))
        self.assertEqual(
            re.findall(r"^\* (/\w+)", "\n".join(lines), re.M),
            "/join /leave /who /rooms /msg /nick /history /time /quit /help".split(),
        )

    def test_unknown_commands_are_refused(self):
        member = self.member(self.start_server(), "alice")
        for command in ("/x", "/JOIN lobby", "/joinlobby", "/who?", "/é", "/ join"):
            member.say(command)
            word = command.split()[0]
            member.expect(f"* no such command: {word}; /help lists the commands")

    def test_senseless_options_are_refused(self):
        for words in (["--rooms-max", "0"], ["--members-max", "-1"], ["--idle", "x"],
                      ["--history", "-1"], ["--rate", "0"], ["--port", "65536"]):  # fmt: skip
            with self.subTest(words=words):
                program = self.start("chat_server", *words)
                self.assertNotIn(program.wait(), (0, -6, -11))
                self.assertIn(words[0], program.stderr)

    def test_text_that_is_no_address_is_refused(self):
        program = self.start("chat_server", "--host", "nowhere", "--port", "0")
        self.assertEqual(program.wait(), 1)
        self.assertEqual(program.stderr.count("\n"), 1, program.stderr)

    def test_a_port_in_use_is_refused(self):
        server = self.start_server()
        program = self.start("chat_server", "--port", server.port)
        self.assertEqual(program.wait(), 1)
        self.assertIn("Address already in use", program.stderr)


class Packets(chat_support.Case):
    """The boundaries of packets have no meaning."""

    TALK = "alïce\r\n/join lobby\nhellö 日本\r\n/leave\n".encode()
    ANSWERS = [
        WELCOME,
        f"* hello, alïce: {HELLO}",
        "* you are in lobby with 0 others",
        "[lobby] alïce: hellö 日本",
        "* you have left lobby",
    ]

    def test_a_talk_in_one_packet_is_understood(self):
        member = self.member(self.start_server())
        member.send(self.TALK)
        member.expect(*self.ANSWERS)

    def test_a_talk_byte_by_byte_is_understood(self):
        server = self.start_server()
        member, other = self.member(server), self.member(server, "other")
        for byte in self.TALK:
            member.send(bytes([byte]))
            # When this answer arrives, the server has read that byte alone.
            self.assertEqual(other.fence(), [])
        member.expect(*self.ANSWERS)

    def test_many_lines_at_once_are_all_said(self):
        server = self.start_server("--rate", "100000")
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        alice.say(*(str(number) for number in range(3000)))
        for each in (alice, bob):
            each.expect(*(f"[lobby] alice: {number}" for number in range(3000)))

    def test_the_last_line_needs_no_end(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        alice.send(b"my last words")
        alice.sock.shutdown(socket.SHUT_WR)
        bob.expect("[lobby] alice: my last words", "* alice has left lobby")
        self.assertEqual(alice.rest(), ["[lobby] alice: my last words"])


class Leaving(chat_support.Case):
    """However a member leaves, the room is notified once, and the name becomes free."""

    def setUp(self):
        super().setUp()
        self.server = self.start_server()
        self.alice, self.bob = self.room_of(self.server, "lobby", "alice", "bob")

    def check_left(self):
        self.bob.expect("* alice has left lobby")
        self.member(self.server, "alice")
        self.assertEqual(self.bob.fence(), [])

    def test_quit_is_seen_by_the_room(self):
        self.alice.say("/quit", "and what comes after it is never read", "/quit")
        *lines, last = self.alice.rest()
        self.assertEqual(lines, [])
        self.assertTrue(last.startswith("* goodbye"), last)
        self.check_left()

    def test_a_half_close_is_seen_by_the_room(self):
        self.alice.say("bye")
        self.alice.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(self.alice.rest(), ["[lobby] alice: bye"])
        self.bob.expect("[lobby] alice: bye")
        self.check_left()

    def test_a_close_is_seen_by_the_room(self):
        self.alice.say("bye")
        self.alice.line()  # Otherwise closing would send a reset.
        self.alice.sock.close()
        self.bob.expect("[lobby] alice: bye")
        self.check_left()

    def test_a_close_with_unread_bytes_is_seen_by_the_room(self):
        self.bob.say("hello")
        self.bob.line()
        wait_until(lambda: self.alice.sock.recv(1, socket.MSG_PEEK), "the line has come")
        self.alice.sock.close()
        self.check_left()

    def test_a_reset_is_seen_by_the_room(self):
        reset(self.alice.sock)
        self.check_left()

    def test_a_reset_before_the_name_is_seen_by_no_room(self):
        reset(self.member(self.server).sock)
        self.assertEqual(self.bob.fence(), [])

    def test_a_killed_client_is_seen_by_the_room(self):
        program = f"""
import socket, time
sock = socket.create_connection(("127.0.0.1", {self.server.port}))
sock.sendall(b"carol\\n/join lobby\\n")
time.sleep(1000)
"""
        with support.Program(sys.executable, "-c", program) as client:
            self.bob.expect("* carol has joined lobby")
            client.signal(signal.SIGKILL)
            self.bob.expect("* carol has left lobby")
        self.member(self.server, "carol")

    def test_a_member_may_leave_midway_through_a_line(self):
        self.alice.send(b"half a li")
        self.assertEqual(self.bob.fence(), [])
        reset(self.alice.sock)
        self.check_left()

    def test_members_in_no_room_leave_unnoticed(self):
        """No room is notified of members that were in none."""
        for steps in ([], ["carol"], ["carol", "/join lobby2", "/leave"]):
            for way in (reset, socket.socket.close):
                other = self.member(self.server)
                other.say(*steps)
                while other.line() not in (
                    WELCOME if not steps else f"* hello, carol: {HELLO}", "* you have left lobby2"
                ):  # fmt: skip
                    pass
                way(other.sock)
                wait_until(lambda: self.is_free("carol"), "the name is free")
        self.assertEqual(self.bob.fence(), [])

    def is_free(self, name):
        self.bob.say(f"/msg {name} are you there?")
        return self.bob.line() == f"* there is no {name}"

    def test_many_members_may_leave_at_once(self):
        """Half of them leave by a reset while the other half send lines."""
        names = [f"m{number}" for number in range(200)]
        crowd = [self.member(self.server, name, "lobby") for name in names]
        self.bob.expect(*(f"* {name} has joined lobby" for name in names))
        for number, each in enumerate(crowd):
            if number % 2:
                reset(each.sock)
            else:
                each.say("bye", "/quit")
        left, said = [], []
        while len(left) < len(names):
            line = self.bob.line()
            (left if line.endswith(" has left lobby") else said).append(line)
        self.assertCountEqual(left, [f"* {name} has left lobby" for name in names])
        self.assertCountEqual(said, [f"[lobby] {name}: bye" for name in names[::2]])
        for name in names:
            self.member(self.server, name)
        self.bob.say("/who")
        self.bob.expect("* in lobby: alice, bob")


class Ending(chat_support.Case):
    """The server ends: every member is notified, and receives its queue."""

    def assert_ends(self, server, status):
        self.assertEqual(server.wait(), status, server.stderr)
        self.assertEqual(server.stderr, "")

    def check(self, number):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        outside, nameless = self.member(server, "outside"), self.member(server)
        nameless.expect(WELCOME)
        silent = self.member(server, "silent")
        silent.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(silent.rest(), [])
        server.signal(number)
        for each in (alice, bob, outside, nameless):
            self.assertEqual(each.rest(), [SHUT_DOWN])
            each.sock.close()
        self.assert_ends(server, 0)

    def test_sigint_ends_the_server(self):
        self.check(signal.SIGINT)

    def test_sigterm_ends_the_server(self):
        self.check(signal.SIGTERM)

    def test_a_server_without_members_ends(self):
        server = self.start_server()
        server.signal(signal.SIGINT)
        self.assert_ends(server, 0)

    def test_members_that_neither_read_nor_close_do_not_hold_the_server(self):
        server = self.start_server()
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        server.signal(signal.SIGINT)
        self.assert_ends(server, 0)
        for each in (alice, bob):
            self.assertEqual(each.line(), SHUT_DOWN)

    def test_queued_lines_are_delivered(self):
        server = self.start_server("--rate", "100000")
        alice, bob = self.room_of(server, "lobby", "alice", "bob")
        text = "x" * 1000
        for number in range(1000):
            alice.say(f"{number} {text}")
            alice.expect(f"[lobby] alice: {number} {text}")
        server.signal(signal.SIGINT)
        self.assertEqual(alice.rest(), [SHUT_DOWN])
        expected = [f"[lobby] alice: {number} {text}" for number in range(1000)]
        self.assertEqual(bob.rest(), [*expected, SHUT_DOWN])
        self.assert_ends(server, 0)

    def test_newcomers_do_not_hold_the_server(self):
        """Served or not, they cause no error and do not delay the end."""
        server = self.start_server()
        alice = self.member(server, "alice")
        for number in (signal.SIGSTOP, signal.SIGINT):
            server.signal(number)
        wait_until(lambda: support.process_state(server.pid) == "T", "the server has stopped")
        newcomers = [self.member(server) for _ in range(50)]
        for each in newcomers:
            each.say("name", "/join lobby", "hello")
        server.signal(signal.SIGCONT)
        self.assertEqual(alice.rest(), [SHUT_DOWN])
        alice.sock.close()
        for each in newcomers:
            try:
                each.rest()
            except ConnectionResetError:
                pass  # It was never accepted.
            each.sock.close()
        self.assert_ends(server, 0)

    def test_a_crowd_without_names_does_not_hold_the_server(self):
        server = self.start_server()
        crowd = [self.member(server) for _ in range(300)]
        server.signal(signal.SIGINT)
        for each in crowd:
            try:
                lines = each.rest()
                self.assertIn(lines, ([], [WELCOME, SHUT_DOWN]))
            except ConnectionResetError:
                pass  # It was never accepted.
            each.sock.close()
        self.assert_ends(server, 0)

    def test_a_second_signal_ends_the_server_at_once(self):
        server = self.start_server()
        self.room_of(server, "lobby", "alice", "bob")
        for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            server.signal(number)
        self.assertIn(server.wait(), (130, 143))
        self.assertEqual(server.stderr, "")


if __name__ == "__main__":
    support.main()
