#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The seven programs of the pages for asyncio, Asio and Go users, seen from outside.

Each case runs the example of ringlet, and the asyncio program beside it. SEVEN_PROGRAMS names a
folder with built programs of the same names, Asio's or Go's, which then run instead of both:

    $ (cd examples/others/go && go build -o /tmp/go/ ./...)
    $ SEVEN_PROGRAMS=/tmp/go tests/outside/seven_programs.py build

usage: seven_programs.py BUILD_ROOT [TEST...]
"""

import http.server
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import support
from support import DEADLINE, descriptor_count, receive_all, receive_exactly, reset, wait_until

OTHERS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "others"
BUILT = os.environ.get("SEVEN_PROGRAMS")


class Programs(support.Case):
    """Starts a program of one of the libraries, by name."""

    def command(self, name):
        if BUILT:
            return [pathlib.Path(BUILT) / name]
        return [support.program_path(name)]

    @property
    def is_ringlet(self):
        return not BUILT

    def begin(self, name, *arguments, before=(), **options):
        made = support.Program(*before, *self.command(name), *arguments, **options)
        self.addCleanup(made.end)
        return made

    def serve(self, name, *arguments, before=(), **options):
        made = support.Server(*before, *self.command(name), "127.0.0.1:0", *arguments, **options)
        self.addCleanup(made.end)
        return made

    def connect(self, server, **options):
        made = server.connect(**options)
        self.addCleanup(made.close)
        return made

    def check_end(self, server, complaints=r""):
        """It still runs, ends on SIGINT, and has printed only `complaints` on standard error."""
        self.assertTrue(server.is_running(), server.stderr)
        server.signal(signal.SIGINT)
        status = server.wait()
        if self.is_ringlet:
            self.assertEqual(status, 130)
            self.assertRegex(server.stderr, rf"\A{complaints}\Z")


class Asyncio(Programs):
    """The same cases for the asyncio programs."""

    is_ringlet = False

    def setUp(self):
        if BUILT:
            self.skipTest("SEVEN_PROGRAMS names other programs")
        if sys.version_info < (3, 11):
            self.skipTest("asyncio has no TaskGroup before Python 3.11")
        super().setUp()

    def command(self, name):
        return [sys.executable, "-B", OTHERS / "asyncio" / f"{name}.py"]


class KeyValueServer(Programs):
    def ask(self, sock, text):
        sock.sendall(text.encode() + b"\n")
        return self.answer(sock)

    def answer(self, sock):
        line = b""
        while not line.endswith(b"\n"):
            part = sock.recv(1)
            if not part:
                return line.decode()
            line += part
        return line.decode().removesuffix("\n")

    def test_values_are_set_read_and_deleted_by_any_client(self):
        server = self.serve("key_value_server")
        one, two = self.connect(server), self.connect(server)
        self.assertEqual(self.ask(one, "GET pet"), "NONE")
        self.assertEqual(self.ask(one, "SET pet a black cat"), "OK")
        self.assertEqual(self.ask(two, "GET pet"), "VALUE a black cat")
        self.assertEqual(self.ask(two, "DEL pet"), "OK")
        self.assertEqual(self.ask(one, "DEL pet"), "NONE")
        for wrong in ("", "SET", "GET a b", "HELLO", "get pet"):
            self.assertEqual(self.ask(one, wrong), "ERROR unknown command")
        self.check_end(server)

    def test_commands_are_found_however_they_are_cut(self):
        server = self.serve("key_value_server")
        sock = self.connect(server)
        for byte in b"SET a 1\r\nGET":
            sock.sendall(bytes([byte]))
        sock.sendall(b" a\nGET b\nSET a 2")
        sock.shutdown(socket.SHUT_WR)
        lines = receive_all(sock).decode().split("\n")
        if self.is_ringlet:  # half a command at the end is not executed
            self.assertEqual(lines, ["OK", "VALUE 1", "NONE", ""])
            self.assertEqual(self.ask(self.connect(server), "GET a"), "VALUE 1")
        else:
            self.assertEqual(lines[:3], ["OK", "VALUE 1", "NONE"])
        self.check_end(server)

    def test_netcat_is_answered(self):
        support.skip_unless_installed("nc")
        server = self.serve("key_value_server")
        done = subprocess.run(["nc", "-N", "127.0.0.1", str(server.port)],
                              input=b"SET pet cat\nGET pet\nGET car\n", capture_output=True,
                              timeout=DEADLINE)  # fmt: skip
        self.assertEqual(done.stdout, b"OK\nVALUE cat\nNONE\n")
        self.check_end(server)

    def test_an_overlong_line_is_refused(self):
        server = self.serve("key_value_server")
        sock = self.connect(server)
        sock.sendall(b"SET a " + b"x" * 4096)
        self.assertEqual(self.answer(sock), "ERROR line too long")
        if self.is_ringlet:  # the other programs hang up
            sock.sendall(b"xx\nSET a 1\n")
            self.assertEqual(self.answer(sock), "OK")
        self.check_end(server)

    def test_clients_that_vanish_or_do_not_read_harm_only_themselves(self):
        server = self.serve("key_value_server")
        self.ask(self.connect(server), "SET big " + "x" * 4000)
        greedy = self.connect(server, receive_buffer=4096)
        greedy.setblocking(False)
        try:
            while True:
                greedy.send(b"GET big\n" * 1000)
        except BlockingIOError:
            pass  # The server waits until it reads.
        reset(self.connect(server))
        sock = self.connect(server)
        sock.sendall(b"GET big\n" * 10)
        reset(sock)
        self.assertEqual(self.ask(self.connect(server), "GET nothing"), "NONE")
        self.check_end(server)

    def test_new_clients_wait_while_descriptors_are_short(self):
        if self.is_ringlet and "undefined" in support.build_options()["b_sanitize"]:
            self.skipTest("UndefinedBehaviorSanitizer makes pipes to look at virtual tables")
        server = self.serve(
            "key_value_server",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
        )
        clients = [self.connect(server) for _ in range(60)]
        self.assertEqual(self.ask(clients[0], "SET a 1"), "OK")
        for sock in clients[:30]:
            sock.close()
        for sock in clients[30:]:
            self.assertEqual(self.ask(sock, "GET a"), "VALUE 1")
        self.check_end(server, r"(ringlet: .*\n)?")


class Proxy(Programs):
    def start_proxy(self):
        self.listen()
        return self.serve("proxy", f"127.0.0.1:{self.port}")

    def both_ends(self, proxy):
        client = self.connect(proxy)
        return client, self.accept()

    def assert_reset(self, sock):
        with self.assertRaises(ConnectionError):
            while sock.recv(65536):
                pass
            raise AssertionError("the stream has ended as if it were whole")

    def test_each_direction_is_passed_on_and_ends_alone(self):
        proxy = self.start_proxy()
        client, server = self.both_ends(proxy)
        sent = os.urandom(8 << 20)
        sender = threading.Thread(target=lambda: (client.sendall(sent),
                                                  client.shutdown(socket.SHUT_WR)))  # fmt: skip
        sender.start()
        self.assertEqual(receive_all(server), sent)
        sender.join()
        answer = sent[: 1 << 20]
        sender = threading.Thread(target=lambda: (server.sendall(answer), server.close()))
        sender.start()
        self.assertEqual(receive_all(client), answer)
        sender.join()
        self.check_end(proxy)

    def test_the_server_may_have_a_name(self):
        support.skip_unless_localhost()
        if not self.is_ringlet:
            self.skipTest("names are a part of ringlet's example only")
        self.listen()
        proxy = self.serve("proxy", f"localhost:{self.port}")
        client, server = self.both_ends(proxy)
        client.sendall(b"some")
        self.assertEqual(receive_exactly(server, 4), b"some")
        self.check_end(proxy)

    def test_a_reset_is_passed_on(self):
        proxy = self.start_proxy()
        client, server = self.both_ends(proxy)
        client.sendall(b"some")
        self.assertEqual(receive_exactly(server, 4), b"some")
        reset(client)
        self.assert_reset(server)
        client, server = self.both_ends(proxy)
        server.sendall(b"some")
        self.assertEqual(receive_exactly(client, 4), b"some")
        reset(server)
        self.assert_reset(client)
        self.check_end(proxy)

    def test_without_a_server_the_client_is_reset(self):
        with socket.create_server(("127.0.0.1", 0)) as unused:
            target = "127.0.0.1:%d" % unused.getsockname()[1]
        proxy = self.serve("proxy", target)
        for _ in range(2):
            with self.assertRaises(ConnectionError):  # perhaps already from connect()
                if receive_all(self.connect(proxy)) == b"":
                    self.fail("the stream has ended as if it were whole")
        self.check_end(proxy, r"(ringlet: fiber .* failed: connect.*\n)+")

    def test_the_end_of_the_proxy_is_no_end_of_a_stream(self):
        proxy = self.start_proxy()
        client, server = self.both_ends(proxy)
        client.sendall(b"some")
        self.assertEqual(receive_exactly(server, 4), b"some")
        self.check_end(proxy)
        if self.is_ringlet:
            self.assert_reset(client)
            self.assert_reset(server)


class Site(http.server.ThreadingHTTPServer):
    """Serves `pages`, and counts how many requests are made of it, and of all sites, at once."""

    daemon_threads = True
    lock = threading.Lock()
    everywhere = [0, 0]  # now, and at most

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.here = [0, 0]
        self.pages = {}
        self.ended = threading.Event()
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever).start()

    def count(self, change):
        with self.lock:
            for counts in (self.here, self.everywhere):
                counts[0] += change
                counts[1] = max(counts)

    def stop(self):
        self.ended.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.count(1)
        page = self.server.pages.get(self.path)
        if page is None:
            self.server.ended.wait()  # a page that hangs
            return
        time.sleep(0.005)  # Makes requests overlap.
        self.server.count(-1)
        self.send_response(200 if page else 404)
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_):
        pass


class Crawler(Programs):
    def setUp(self):
        super().setUp()
        Site.everywhere = [0, 0]
        self.sites = [Site(), Site()]
        for site in self.sites:
            self.addCleanup(site.stop)

    def crawl(self, *arguments):
        program = self.begin("crawler", *arguments)
        output = program.process.stdout.read().decode()
        status = program.wait()
        if self.is_ringlet:
            self.assertEqual(program.stderr, "")
        return status, output.splitlines()

    def test_every_page_is_fetched_once_within_the_limits(self):
        one, two = self.sites
        links = [f"{site.url}/{i}" for site in self.sites for i in range(30)]
        for i in range(30):
            one.pages[f"/{i}"] = f'<a href="{one.url}/">home</a>'
            two.pages[f"/{i}"] = f"see {one.url}/ and {two.url}/0"
        one.pages["/"] = "\n".join(f'<a href="{link}">' for link in links)
        status, lines = self.crawl(4, 3, 5, f"{one.url}/")
        self.assertEqual(status, 0)
        self.assertEqual(lines[-1], "61 pages, 0 failed")
        self.assertEqual(len(set(lines)), 62)
        self.assertEqual(sorted(line.rpartition(": ")[0] for line in lines[1:-1]), sorted(links))
        self.assertLessEqual(max(one.here[1], two.here[1]), 3)
        self.assertLessEqual(Site.everywhere[1], 4)
        self.assertGreater(Site.everywhere[1], 1)

    def test_pages_that_fail_or_hang_do_not_stop_the_rest(self):
        one, two = self.sites
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead = "http://127.0.0.1:%d/" % unused.getsockname()[1]
        one.pages["/"] = f"{one.url}/none {two.url}/hangs {dead} {one.url}/good http://x/ http://"
        one.pages["/none"] = ""
        one.pages["/good"] = "good"
        status, lines = self.crawl(8, 2, 1, f"{one.url}/")
        self.assertEqual(status, 1)
        self.assertEqual(lines[-1], "2 pages, 5 failed")
        self.assertIn(f"{one.url}/none: 404", lines)
        self.assertIn(f"{one.url}/good: 4 bytes", lines)
        if self.is_ringlet:
            self.assertIn(f"{two.url}/hangs: timed out", [line.lower() for line in lines])
            self.assertIn(f"{dead}: Connection refused", lines)

    def test_ctrl_c_ends_a_crawl(self):
        one = self.sites[0]
        program = self.begin("crawler", 8, 2, 100, f"{one.url}/hangs")
        wait_until(lambda: one.here[0] == 1, "the request has arrived")
        program.signal(signal.SIGINT)
        status = program.wait()
        self.assertNotEqual(status, 0)
        if self.is_ringlet:
            self.assertEqual((status, program.stderr), (130, ""))


class PublishSubscribe(Programs):
    def join(self, server, role, **options):
        sock = self.connect(server, **options)
        sock.sendall(role.encode() + b"\n")
        return sock

    def subscribe_all(self, server, publisher, *subscribers):
        """Returns when the server has noted each of them: they get a line."""
        for sock in subscribers:
            sock.settimeout(0.05)
            while True:
                publisher.sendall(b"are you there?\n")
                try:
                    if sock.recv(1):
                        break
                except TimeoutError:
                    pass
            sock.settimeout(DEADLINE)
        publisher.sendall(b"begin\n")
        for sock in subscribers:
            text = b""
            while not text.endswith(b"\nbegin\n"):
                text += sock.recv(1)

    def test_all_subscribers_receive_all_lines_in_order(self):
        server = self.serve("publish_subscribe", "10")
        publisher = self.join(server, "PUBLISH")
        subscribers = [self.join(server, "SUBSCRIBE") for _ in range(5)]
        self.subscribe_all(server, publisher, *subscribers)
        text = b"".join(b"line %d\n" % number for number in range(1000))
        publisher.sendall(text)
        for sock in subscribers:
            self.assertEqual(receive_exactly(sock, len(text)), text)
        self.check_end(server)

    def test_a_burst_reaches_subscribers_that_keep_up(self):
        if not self.is_ringlet:
            self.skipTest("the other programs drop lines of a burst")
        server = self.serve("publish_subscribe", "10")
        publisher = self.join(server, "PUBLISH")
        # The kernel must have room for the whole burst: they are read one after the other.
        subscribers = [self.join(server, "SUBSCRIBE", receive_buffer=1 << 18) for _ in range(3)]
        self.subscribe_all(server, publisher, *subscribers)
        text = b"".join(b"line %d\n" % number for number in range(5000))
        publisher.sendall(text)
        for sock in subscribers:
            self.assertEqual(receive_exactly(sock, len(text)), text)
        self.check_end(server)

    def test_a_slow_subscriber_is_told_what_it_missed_and_slows_no_other(self):
        server = self.serve("publish_subscribe", "30")
        publisher = self.join(server, "PUBLISH")
        fast = self.join(server, "SUBSCRIBE")
        slow = self.join(server, "SUBSCRIBE", receive_buffer=65536)
        self.subscribe_all(server, publisher, fast, slow)
        rounds, each = 12, 500
        for start in range(0, rounds * each, each):
            text = b"".join(b"%4000d\n" % (start + i) for i in range(each))
            publisher.sendall(text)
            self.assertEqual(receive_exactly(fast, len(text)), text)
        publisher.sendall(b"end\n")
        received = b""
        while not received.endswith(b"\nend\n"):
            received += slow.recv(1 << 20)
        lines = received.decode().splitlines()
        missed = [int(found[1]) for found in map(re.compile(r"\((\d+) lines missed\)").match, lines)
                  if found]  # fmt: skip
        numbers = [int(line) for line in lines if re.fullmatch(r" *\d+", line)]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(len(numbers) + sum(missed), rounds * each)
        self.assertTrue(missed)
        self.check_end(server)

    def test_a_subscriber_that_takes_nothing_is_disconnected(self):
        server = self.serve("publish_subscribe", "1")
        publisher = self.join(server, "PUBLISH")
        stuck = self.join(server, "SUBSCRIBE", receive_buffer=4096)
        self.subscribe_all(server, publisher, stuck)
        before = descriptor_count(server.pid)
        for _ in range(12):
            publisher.sendall(b"".join(b"%4000d\n" % i for i in range(500)))
        wait_until(lambda: descriptor_count(server.pid) < before, "it is disconnected")
        self.check_end(server, r"ringlet: fiber .* failed: write_all: .*timed out.*\n")

    def test_subscribers_that_leave_are_noticed_while_nothing_is_published(self):
        server = self.serve("publish_subscribe", "10")
        publisher = self.join(server, "PUBLISH")
        closes, resets, stays = (self.join(server, "SUBSCRIBE") for _ in range(3))
        self.subscribe_all(server, publisher, closes, resets, stays)
        before = descriptor_count(server.pid)
        stays.sendall(b"what a subscriber says is ignored\n")
        closes.close()
        reset(resets)
        wait_until(lambda: descriptor_count(server.pid) == before - 2, "two are gone")
        publisher.sendall(b"hello\n")
        self.assertEqual(receive_exactly(stays, 6), b"hello\n")
        self.check_end(server)

    def test_another_role_is_refused(self):
        server = self.serve("publish_subscribe", "10")
        sock = self.join(server, "LISTEN")
        self.assertEqual(receive_all(sock), b"PUBLISH or SUBSCRIBE?\n")
        self.check_end(server)


class HealthCheck(Programs):
    def listen_at(self, port=0):
        made = socket.create_server(("127.0.0.1", port), backlog=1000)
        self.addCleanup(made.close)
        return made

    def next_line(self, program, pattern):
        while True:
            line = program.process.stdout.readline().decode()
            self.assertTrue(line, f"no line {pattern!r}, standard error: {program.stderr}")
            if re.fullmatch(pattern, line.rstrip()):
                return line

    def test_changes_are_told_and_a_signal_ends_it_after_a_round(self):
        one, two = self.listen_at(), self.listen_at()
        names = ["127.0.0.1:%d" % sock.getsockname()[1] for sock in (one, two)]
        program = self.begin("health_check", 50, 2, *names, stdout=subprocess.PIPE)
        self.next_line(program, f"{names[0]} is up")
        self.next_line(program, f"{names[1]} is up")
        self.next_line(program, "round 1: 2 of 2 up")
        two.close()
        self.next_line(program, f"{names[1]} is down")
        self.next_line(program, r"round \d+: 1 of 2 up.*")
        self.listen_at(int(names[1].rpartition(":")[2]))
        self.next_line(program, f"{names[1]} is up")
        program.signal(signal.SIGINT)
        self.next_line(program, r"stopped after \d+ rounds")
        self.assertEqual(program.wait(), 0)

    def test_missed_rounds_are_counted_and_not_made_up_for(self):
        one = self.listen_at()
        name = "127.0.0.1:%d" % one.getsockname()[1]
        program = self.begin("health_check", 50, 1, name)
        self.next_line(program, r"round \d+: 1 of 1 up")
        program.signal(signal.SIGSTOP)
        time.sleep(0.3)  # What the program has to count.
        program.signal(signal.SIGCONT)
        line = self.next_line(program, r"round \d+: 1 of 1 up, \d+ rounds missed")
        self.assertGreaterEqual(int(line.split(", ")[1].split()[0]), 4)
        program.signal(signal.SIGTERM)
        self.next_line(program, r"stopped after \d+ rounds")
        self.assertEqual(program.wait(), 0)


class TwoThreads(Programs):
    def test_words_of_all_clients_are_counted_once_each(self):
        server = self.serve("two_threads")
        answers = []

        def send_words():
            with server.connect() as sock:
                sock.sendall(b"tea\n" * 100 + b"coffee\n")
                sock.shutdown(socket.SHUT_WR)
                answers.extend(receive_all(sock).decode().splitlines())

        threads = [threading.Thread(target=send_words) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = [f"tea: {i}" for i in range(1, 1001)] + [f"coffee: {i}" for i in range(1, 11)]
        self.assertEqual(sorted(answers), sorted(expected))
        self.check_end(server)

    def test_a_signal_ends_both_threads_while_clients_talk(self):
        server = self.serve("two_threads")
        for _ in range(10):
            sock = self.connect(server)
            sock.sendall(b"word\n" * 10_000)
        self.assertTrue(sock.recv(1))
        self.check_end(server)

    def test_clients_that_vanish_harm_no_other(self):
        server = self.serve("two_threads")
        for _ in range(20):
            sock = self.connect(server)
            sock.sendall(b"word\n" * 100)
            reset(sock)
        sock = self.connect(server)
        sock.sendall(b"last\n")
        self.assertEqual(receive_exactly(sock, 8), b"last: 1\n")
        self.check_end(server)


class LineServer:
    """Answers lines, `each` per connection, which it then closes. Notes what clients do. Its first
    answer can be cut, with the connection closed, or be followed by bytes that belong to none."""

    def __init__(self, each, first_is_cut=False, after_first=b""):
        self.each = each
        self.first_is_cut = first_is_cut
        self.after_first = after_first
        self.lock = threading.Lock()
        self.now = self.most = self.answered = 0
        self.times = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.name = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[sock], daemon=True).start()

    def serve(self, sock):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        with sock, sock.makefile("rb") as lines:
            for _ in range(self.each):
                line = lines.readline()
                if not line:
                    break
                with self.lock:
                    self.times.append(time.monotonic())
                    self.answered += 1
                    is_first = self.answered == 1
                if is_first and self.first_is_cut:
                    sock.sendall(b"answer")
                    break
                sock.sendall(b"answer to " + line + (self.after_first if is_first else b""))
            with self.lock:
                self.now -= 1


class PooledClient(Programs):
    def ask(self, *arguments):
        program = self.begin("pooled_client", *arguments)
        output = program.process.stdout.read().decode()
        if self.is_ringlet:
            self.assertEqual(program.stderr, "")
        return program.wait(), output

    def test_connections_are_kept_and_the_rate_is_not_exceeded(self):
        server = LineServer(each=1_000_000)
        self.addCleanup(server.listener.close)
        status, output = self.ask(200, 3, 100, server.name)
        self.assertEqual(status, 0)
        end = re.fullmatch(
            r"100 of 100 requests answered, ([123]) connections made, 0 requests repeated\n", output
        )
        self.assertTrue(end, output)
        self.assertLessEqual(server.most, 3)
        # One permit at first and one each 5 ms. What is read late comes closer to what follows.
        self.assertGreater(server.times[-1] - server.times[0], 99 * 0.005 * 0.9)

    def test_connections_that_the_server_closes_are_replaced(self):
        server = LineServer(each=3)
        self.addCleanup(server.listener.close)
        status, output = self.ask(500, 3, 60, server.name)
        self.assertEqual(status, 0, output)
        self.assertIn("60 of 60 requests answered", output)
        self.assertEqual(server.answered, 60)

    def test_an_answer_that_is_cut_is_asked_for_again(self):
        server = LineServer(each=1_000_000, first_is_cut=True)
        self.addCleanup(server.listener.close)
        status, output = self.ask(500, 1, 20, server.name)
        self.assertEqual(status, 0, output)
        self.assertEqual(server.answered, 21)
        if self.is_ringlet:
            self.assertEqual(
                output, "20 of 20 requests answered, 2 connections made, 1 requests repeated\n"
            )

    def test_a_connection_with_more_than_an_answer_is_not_used_again(self):
        if not self.is_ringlet:
            self.skipTest("the other programs keep such a connection")
        server = LineServer(each=1_000_000, after_first=b"left over\n")
        self.addCleanup(server.listener.close)
        status, output = self.ask(500, 1, 20, server.name)
        self.assertEqual(status, 0, output)
        self.assertEqual(server.answered, 20)
        self.assertEqual(
            output, "20 of 20 requests answered, 2 connections made, 0 requests repeated\n"
        )

    def test_without_a_server_each_request_fails(self):
        with socket.create_server(("127.0.0.1", 0)) as unused:
            name = "127.0.0.1:%d" % unused.getsockname()[1]
        status, output = self.ask(1000, 2, 5, name)
        self.assertEqual(status, 1)
        self.assertEqual(len(re.findall(r"^request \d: ", output, re.M)), 5)
        self.assertIn("0 of 5 requests answered, 0 connections made, 10 requests repeated", output)

    def test_it_asks_the_key_value_server(self):
        server = self.serve("key_value_server")
        status, output = self.ask(1000, 4, 200, f"127.0.0.1:{server.port}")
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"200 of 200 requests answered, [1-4] connections made, 0 ")
        self.check_end(server)


class Usage(Programs):
    def test_wrong_arguments_are_refused(self):
        if not self.is_ringlet:
            self.skipTest("only the examples of ringlet check their arguments")
        wrong = {
            "crawler": ["1 1 1", "0 1 1 http://127.0.0.1:1/", "1 1 1 127.0.0.1:1", "x 1 1 http://"],
            "health_check": ["", "50 1", "0 1 127.0.0.1:1", "50 x 127.0.0.1:1"],
            "key_value_server": ["", "127.0.0.1:0 more"],
            "pooled_client": ["", "1 1 1", "0 1 1 127.0.0.1:1", "1 1 x 127.0.0.1:1"],
            "proxy": ["", "127.0.0.1:0"],
            "publish_subscribe": ["", "127.0.0.1:0", "127.0.0.1:0 0"],
            "two_threads": ["", "127.0.0.1:0 more"],
        }
        for name, lines in wrong.items():
            for line in lines:
                program = self.begin(name, *line.split())
                self.assertEqual(program.wait(), 2, f"{name} {line}")
                self.assertTrue(program.stderr.startswith(f"usage: {name} "), program.stderr)

    def test_addresses_that_make_no_sense_or_are_in_use_are_errors(self):
        if not self.is_ringlet:
            self.skipTest("only the examples of ringlet print one line for it")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            used = "127.0.0.1:%d" % taken.getsockname()[1]
            for where in ("localhost:1", used):
                more_of = {"key_value_server": [], "proxy": ["127.0.0.1:1"],
                           "publish_subscribe": ["1"], "two_threads": []}  # fmt: skip
                for name, more in more_of.items():
                    program = self.begin(name, where, *more)
                    self.assertEqual(program.wait(), 1, name)
                    self.assertEqual(program.stderr.count("\n"), 1, program.stderr)


# The same cases for the asyncio programs.
for case in (KeyValueServer, Proxy, Crawler, PublishSubscribe, HealthCheck, TwoThreads,
             PooledClient):  # fmt: skip
    name = f"Asyncio{case.__name__}"
    globals()[name] = type(name, (Asyncio, case), {"__module__": __name__})
del case


if __name__ == "__main__":
    support.main()
