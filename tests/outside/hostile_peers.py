#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What peers may do to the echo_limits example without harm to others: be silent, vanish, close one
half, reset, flood, send single bytes, read slowly, or be many and idle.

usage: hostile_peers.py BUILD_ROOT [TEST...]

There are 30 of each kind, times RINGLET_TEST_SCALE, within the limit on descriptors. Two servers
run: the peers bother one of them, and a probe asks both in turn. So the load that the peers put on
the machine slows both, and the ratio of the two shows what a server does worse because of its own
peers. The latencies are only printed. Checked are the answers, the memory, and the stop.
"""

import heapq
import itertools
import os
import random
import resource
import selectors
import signal
import socket
import struct
import sys
import time

import support
from support import DEADLINE, descriptor_count, memory_bytes, program_path

SCALE = int(os.environ.get("RINGLET_TEST_SCALE", "1"))
OBSERVED = 1 if support.FAST else 3 if SCALE == 1 else 15  # Seconds.
FILLED = 0.5 if support.FAST else 3  # Seconds until the buffers of floods are full.
# A handler that waits for its peer to read holds the buffer that it received: 16 KiB.
BYTES_BOTHERED_MAX = 20 * 1024
BYTES_IDLE_MAX = 1500
FIXED_BYTES = 2 << 20  # Buffers, and tables that grow in steps.
PER_ADDRESS = 90  # The server allows 100.


class Peer:
    """One hostile peer. Subclasses say what it does when it is connected, due, or sent bytes."""

    again = 1.0  # Seconds, on average, until it connects once more.
    options = {}
    events = selectors.EVENT_READ

    def __init__(self, crowd, number):
        self.crowd, self.sock = crowd, None
        self.turn = 0  # Of what it has planned, only the last counts.
        number //= PER_ADDRESS
        self.source = f"127.1.{number // 250}.{number % 250 + 1}"

    def on_due(self):
        if self.sock is None:
            self.connect()
        else:
            self.act()

    def connect(self):
        made = socket.socket()
        for name, value in self.options.items():
            made.setsockopt(socket.SOL_SOCKET, name, value)
        made.settimeout(DEADLINE)
        made.bind((self.source, 0))
        try:
            made.connect(self.crowd.server)
        except OSError:
            made.close()
            return self.crowd.later(self, self.again)
        made.setblocking(False)
        self.sock = made
        if self.events:
            self.crowd.selector.register(made, self.events, self)
        try:
            self.begin()
        except OSError:
            self.close()

    def close(self):
        if self.events:
            self.crowd.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None
        self.crowd.later(self, self.again * random.uniform(0.5, 1.5))

    def begin(self):
        pass

    def act(self):
        pass

    def on_ready(self):
        if not self.sock.recv(65536):
            self.close()


class Silent(Peer):
    """Sends nothing."""


class Vanished(Peer):
    """Sends a request, and then nothing: what a server sees of a host that was switched off."""

    def begin(self):
        self.sock.send(b"x")


class HalfClosed(Peer):
    """Sends a request and the end of its half, and keeps the other half open."""

    def begin(self):
        self.sock.send(b"x" * 1000)
        self.sock.shutdown(socket.SHUT_WR)


class Resetting(Peer):
    """Resets the connection after its request."""

    def begin(self):
        self.sock.send(b"x")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Flooding(Peer):
    """Sends as much as the server takes, and reads nothing."""

    options = {socket.SO_RCVBUF: 4096, socket.SO_SNDBUF: 65536}
    events = selectors.EVENT_WRITE
    load = b"x" * 65536

    def on_ready(self):
        self.sock.send(self.load)


class OneByte(Peer):
    """Sends one byte a second."""

    def begin(self):
        self.act()

    def act(self):
        self.sock.send(b"x")
        self.crowd.later(self, 1)


class Slow(Peer):
    """Reads a large answer, 100 bytes a second."""

    options = {socket.SO_RCVBUF: 4096, socket.SO_SNDBUF: 65536}
    events = 0

    def begin(self):
        self.sock.send(b"x" * 65536)
        self.crowd.later(self, 1)

    def act(self):
        if not self.sock.recv(100):
            self.close()
        else:
            self.crowd.later(self, 1)


class Idle(Peer):
    """Has sent a byte, got it back, and is silent until the end."""

    def begin(self):
        self.sock.send(b"x")


KINDS = [Silent, Vanished, HalfClosed, Resetting, Flooding, OneByte, Slow]


class Crowd:
    def __init__(self, port, kinds, each):
        self.server = ("127.0.0.1", port)
        self.selector = selectors.DefaultSelector()
        self.due, self.order = [], itertools.count()
        numbers = itertools.count()
        self.peers = [kind(self, next(numbers)) for _ in range(each) for kind in kinds]

    def later(self, peer, seconds):
        peer.turn = next(self.order)
        heapq.heappush(self.due, (time.monotonic() + seconds, peer.turn, peer))

    def run(self):
        """Until the process is killed. Says so when all peers have connected."""
        for peer in self.peers:
            peer.connect()
            self.turn(0)
        print("connected", flush=True)
        while True:
            self.turn(max(0, self.due[0][0] - time.monotonic()) if self.due else None)

    def turn(self, timeout):
        for key, _ in self.selector.select(timeout):
            self.protected(key.data, key.data.on_ready)
        while self.due and self.due[0][0] <= time.monotonic():
            _, turn, peer = heapq.heappop(self.due)
            if turn == peer.turn:
                self.protected(peer, peer.on_due)

    def protected(self, peer, action):
        try:
            action()
        except BlockingIOError:
            pass
        except OSError:
            if peer.sock is not None:
                peer.close()


class Probe:
    """Connections to one server, and how long it took to answer on them."""

    def __init__(self, server, count=20):
        self.socks = [server.connect() for _ in range(count)]
        self.forget()

    def forget(self):
        self.taken = []

    def ask(self):
        sock = random.choice(self.socks)
        question = os.urandom(64)
        begin = time.perf_counter()
        sock.sendall(question)
        answer = support.receive_exactly(sock, len(question))
        self.taken.append(time.perf_counter() - begin)
        if answer != question:
            raise AssertionError(f"asked {question!r}, got {answer!r}")

    def percentile(self, share):
        """In microseconds."""
        return 1e6 * sorted(self.taken)[int(share * (len(self.taken) - 1))]

    def close(self):
        for sock in self.socks:
            sock.close()


class HostilePeers(support.Case):
    def start_limited(self):
        server = support.Server(program_path("echo_limits"), "127.0.0.1:0")
        self.addCleanup(server.end)
        return server

    def start_peers(self, server, kinds, each):
        names = ",".join(kind.__name__ for kind in kinds)
        made = support.Program(
            sys.executable, "-B", __file__, "--bother", server.port, names, each
        )  # fmt: skip
        self.addCleanup(made.end)
        self.assertEqual(made.process.stdout.readline(), b"connected\n", made.stderr)
        return made

    def measure(self, probes, seconds=OBSERVED):
        """Asks the servers in turn for a fixed time."""
        for probe in probes:
            probe.forget()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for probe in random.sample(probes, len(probes)):
                probe.ask()
            time.sleep(0.001)

    def check(self, what, kinds, each, memory_max):
        count = each * len(kinds)
        quiet, bothered = self.start_limited(), self.start_limited()
        probes = [Probe(quiet), Probe(bothered)]
        for probe in probes:
            self.addCleanup(probe.close)
        self.measure(probes)
        alone = probes[1].percentile(0.99)
        before = memory_bytes(bothered.pid)
        peers = self.start_peers(bothered, kinds, each)
        # At first peers that flood are served like others, until they do not read the answers.
        self.measure(probes, FILLED)
        filling = probes[1].percentile(0.99)
        used = support.cpu_seconds(bothered.pid)
        self.measure(probes)
        used = support.cpu_seconds(bothered.pid) - used
        self.assertTrue(peers.is_running(), peers.stderr)
        grown = memory_bytes(bothered.pid) - before
        beside, now = (probe.percentile(0.99) for probe in probes)
        print(
            f"{count} {what}: p50 {probes[1].percentile(0.5):.0f} us, p99 {now:.0f} us; "
            f"{now / beside:.2f} x the quiet server beside it ({beside:.0f} us), "
            f"{now / alone:.2f} x without them ({alone:.0f} us); "
            f"{filling:.0f} us in the first {FILLED} s; "
            f"{grown / count:.0f} bytes each, {descriptor_count(bothered.pid)} descriptors, "
            f"{100 * used / OBSERVED:.0f} % CPU"
        )
        self.assert_stops(bothered)
        if support.is_sanitized() or not support.is_optimised():
            self.skipTest("memory is only printed: the limit is for optimised builds")
        self.assertLess(grown, count * memory_max + FIXED_BYTES)

    def assert_stops(self, server):
        """In time: peers that do not end are cut off."""
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0, server.stderr)
        print(f"stopped after {time.monotonic() - begin:.3f} s")
        self.assertEqual(server.stderr, "")
        report = server.process.stdout.readline().decode()
        self.assertRegex(report, r"^served \d+, refused \d+, timed out \d+, cut off \d+$")
        print(report, end="")

    def room(self, wanted, why):
        """That many peers, or as many as the limit on descriptors allows."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard == resource.RLIM_INFINITY:
            return wanted
        allowed = hard - min(hard // 8, 1000) - 100
        if allowed < wanted:
            print(f"{allowed} {why} instead of {wanted}: the limit on descriptors")
        return min(wanted, allowed)

    def test_hostile_peers_do_not_slow_others_down(self):
        each = self.room(30 * SCALE * len(KINDS), "peers") // len(KINDS)
        self.check("hostile peers", KINDS, each, BYTES_BOTHERED_MAX)

    def test_idle_connections_degrade_nothing(self):
        count = self.room(300 * SCALE, "connections")
        self.check("idle connections", [Idle], count, BYTES_IDLE_MAX)


def bother(port, names, each):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = [kind for kind in [*KINDS, Idle] if kind.__name__ in names.split(",")]
    Crowd(int(port), kinds, int(each)).run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bother"]:
        bother(*sys.argv[2:])
    else:
        support.main()
