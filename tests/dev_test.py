#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `dev` does to a machine: it names the packages before it installs them, and removes only its
own folders. The test replaces every program that is slow or changes something by a stand-in.

usage: dev_test.py SOURCE_ROOT [TEST...]
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

# Shell scripts; MISSING is a package that is not installed, FAILING a program that fails.
STAND_INS = {
    "apt-get": 'echo "apt-get $*" >&2',
    "doxygen": "ls build-docs/headers/ringlet",
    "dpkg-query": '[ "$4" = "$MISSING" ] || echo installed',
    "id": "echo 0",
    "meson": 'mkdir -p "$2" && [ "$FAILING" != meson ] && : >"$2/build.ninja"',
    "ninja": ":",
}
source = None


class Dev(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.build = self.root / "build"
        (self.root / "tools").mkdir()
        for name in ("dev", "tools/dev.py"):
            shutil.copy(source / name, self.root / name)
        (self.root / "bin").mkdir()
        for name, text in STAND_INS.items():
            path = self.root / "bin" / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)

    def run_dev(self, *arguments, **environment):
        """The exit status and the output."""
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        settings = {"MISSING": "", "FAILING": "", "CXX": "g++", **environment}
        done = subprocess.run(
            [self.root / "dev", *arguments], text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, **settings},
        )  # fmt: skip
        return done.returncode, done.stdout

    def assert_builds(self, **environment):
        status, said = self.run_dev("build", **environment)
        self.assertEqual(status, 0, said)
        self.assertTrue((self.build / "build.ninja").exists())

    def test_dev_says_which_packages_are_missing_before_it_installs_them(self):
        status, said = self.run_dev("build", MISSING="libfmt-dev")
        self.assertEqual(status, 0, said)
        first, *others = said.splitlines()
        self.assertEqual(first, "missing packages: libfmt-dev")
        self.assertIn("apt-get install -y --no-install-recommends libfmt-dev", others)

    def test_the_demo_installs_no_gnuplot(self):
        bench = self.root / "bench"
        bench.mkdir()
        (bench / "compare.py").touch()
        self.assertEqual(self.run_dev("demo", MISSING="gnuplot-nox"), (0, ""))

    def test_the_peers_of_micro_are_not_installed(self):
        bench = self.root / "bench"
        bench.mkdir()
        (bench / "micro_peers.py").write_text("import sys\nprint(*sys.argv[1:])\n")
        for package in ("golang-go", "librust-tokio-dev", "python3-gevent"):
            self.assertEqual(
                self.run_dev("bench", "micro", "--peers", "--rounds", "9", MISSING=package),
                (0, "--build build --rounds 9\n"))

    def test_dev_keeps_a_folder_that_is_not_a_build_folder(self):
        self.build.mkdir()
        notes = self.build / "notes.txt"
        notes.touch()
        status, said = self.run_dev("build")
        self.assertEqual(status, 1)
        self.assertIn("build is in the way and was not made by dev: move it", said)
        self.assertTrue(notes.exists())

    def test_docs_are_made_of_the_headers_for_programs(self):
        for path in ("core/coro/ringlet/task.hpp", "core/coro/ringlet/extend/context.hpp",
                     "net/ringlet/ringlet.hpp"):  # fmt: skip
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()
        for _ in range(2):
            self.assertEqual(
                self.run_dev("docs"), (0, "ringlet.hpp\ntask.hpp\nbuild-docs/index.html\n"))

    def test_docs_do_not_replace_a_folder_that_dev_did_not_make(self):
        notes = self.root / "build-docs" / "notes.txt"
        notes.parent.mkdir()
        notes.touch()
        status, said = self.run_dev("docs")
        self.assertEqual(status, 1)
        self.assertIn("build-docs is in the way and was not made by dev: move it", said)
        self.assertTrue(notes.exists())

    def test_dev_uses_a_build_folder_that_was_set_up_by_hand(self):
        self.build.mkdir()
        (self.build / "build.ninja").write_text("by hand")
        self.assert_builds()
        self.assert_builds(CXX="clang++")
        self.assertEqual((self.build / "build.ninja").read_text(), "by hand")

    def test_dev_sets_its_own_folder_up_anew_when_the_compiler_changes(self):
        self.build.mkdir()
        self.assert_builds()
        result = self.build / "result.json"
        result.touch()
        self.assert_builds()
        self.assertTrue(result.exists())
        self.assert_builds(CXX="clang++")
        self.assertFalse(result.exists())

    def test_dev_sets_up_anew_a_folder_that_it_could_not_finish(self):
        self.assertEqual(self.run_dev("build", FAILING="meson")[0], 1)
        self.assertTrue(self.build.exists())
        self.assert_builds()


if __name__ == "__main__":
    source = pathlib.Path(sys.argv.pop(1))
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, verbosity=2))
