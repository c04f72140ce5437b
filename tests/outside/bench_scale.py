#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `./dev bench scale` runs, for as short a time as possible: the scripts and programs end well
and print what they promise. No figure is judged.

usage: bench_scale.py BUILD_ROOT [TEST...]
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import support

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
PATIENCE = 300.0  # Seconds, for a script.
ROWS = 6  # Of micro_threads, and two more where the threads can have a CPU each.

sys.path.insert(0, str(BENCH))
from comparison import peers  # noqa: E402


def said_by(*command):
    """Exit status, standard output and standard error."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


class BenchCase(support.Case):
    def program(self, name):
        path = support.build_root / "bench" / name
        if not path.exists():
            self.skipTest(f"bench/{name} was not built")
        return path


class Scale(BenchCase):
    def run_script(self, *arguments):
        """Exit status, output, and the raw results."""
        self.program("micro_threads")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "raw.json"
            status, said, complaints = said_by(
                sys.executable, BENCH / "scale.py", "--build", support.build_root,
                "--peers", "threads", "--json", path, *arguments)  # fmt: skip
            self.assertEqual((status, complaints), (0, ""), said)
            return said, json.loads(path.read_text())

    def test_servers_are_compared_on_one_and_two_threads(self):
        short = ["--pairs", "6", "--seconds", "0.2", "--warmup", "0"]
        said, raw = self.run_script("--only", "servers", "--connections", "5", *short)
        self.assertIn("nothing is pinned", said)
        for line in (r"5 x 64 B +\(\d+ rounds\)", "  ringlet, 1 thread ", "  ringlet, 2 threads ",
                     "  thread per connection ", "Where ringlet is behind",
                     r"  (PASS|FAIL)  5 x 64 B"):  # fmt: skip
            self.assertRegex(said, rf"(?m)^{line}")
        (series,) = raw["series"]
        self.assertGreaterEqual(len(series["rounds"]), 6)
        self.assertEqual(set(series["rounds"][0]), {"ringlet-1", "ringlet-2", "threads"})
        self.assertEqual(raw["goals"][0]["subject"], "ringlet-2")

    def test_a_wrong_peer_is_refused(self):
        status, _, complaints = said_by(sys.executable, BENCH / "scale.py", "--peers", "telepathy")
        self.assertEqual(status, 2)
        self.assertIn("no `telepathy`; known: tokio, go, asio, threads", complaints)

    def test_a_build_folder_without_programs_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            status, _, complaints = said_by(sys.executable, BENCH / "scale.py", "--build", folder)
        self.assertEqual(status, 1)
        self.assertRegex(complaints, r"\Ascale\.py: missing in .*: bench/load, .*meson compile")


class Load(BenchCase):
    def run_load(self, *arguments):
        load = self.program("load")
        server = self.start_server("--threads", "2")
        status, said, complaints = said_by(
            load, "--port", server.port, "--warmup", "0", "--duration", "0.2", "--json", "-",
            *arguments)  # fmt: skip
        self.assertEqual((status, complaints), (0, ""), said)
        return json.loads(said)

    def test_the_report_of_several_threads_is_that_of_all_connections(self):
        raw = self.run_load("--threads", "3", "--connections", "50")
        self.assertEqual((raw["threads"], raw["connections"]), (3, 50))
        self.assertGreater(raw["messages"], 0)

    def test_threads_without_a_connection_do_no_harm(self):
        self.assertGreater(self.run_load("--threads", "4", "--connections", "2")["messages"], 0)

    def test_a_server_that_is_gone_is_reported_by_every_thread(self):
        self.listen()
        self.listener.close()
        status, said, complaints = said_by(
            self.program("load"), "--port", self.port, "--threads", "2", "--connections", "4")
        self.assertEqual(status, 1, said)
        self.assertRegex(complaints, r"(?m)^  connect: .*refused.* \(4 times\)$")


class MicroThreads(BenchCase):
    def test_each_row_has_a_figure(self):
        status, said, complaints = said_by(self.program("micro_threads"), "--rounds", "1")
        self.assertEqual((status, complaints), (0, ""), said)
        rows = said.splitlines()[2:]
        pinned = 2 if len(os.sched_getaffinity(0)) > 1 else 0
        self.assertEqual(len(rows), ROWS + pinned, said)
        for row in rows:
            self.assertRegex(row, r"^.{34} +-?\d+\.\d +-?\d+\.\d$")

    def test_an_unknown_row_is_refused(self):
        status, _, complaints = said_by(self.program("micro_threads"), "--only", "telepathy")
        self.assertEqual(status, 2)
        self.assertIn("names no workload", complaints)


class Peers(unittest.TestCase):
    """Of a system on which nothing is installed."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(peers.ENVIRONMENT, PATH=str(self.folder)))
        self.enterContext(mock.patch.object(peers, "CRATES", self.folder))
        self.enterContext(mock.patch.object(peers, "BOOST", self.folder))

    def test_the_packages_of_a_peer_that_is_not_installed_are_named(self):
        for build, packages in (
            (peers.build_go, "golang-go"),
            (peers.build_tokio, "rustc cargo librust-tokio-dev"),
            (peers.build_asio, "g++ libboost1.81-dev"),
        ):
            made = build(self.folder, "echo")
            self.assertIsInstance(made, peers.Missing)
            self.assertEqual(peers.left_out("it", made),
                             f"it is left out: apt-get install {packages}")  # fmt: skip


if __name__ == "__main__":
    support.main()
