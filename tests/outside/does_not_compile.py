#!/usr/bin/env python3
"""Misuse that the compiler refuses: its first error is a sentence of ringlet that names the cure.

Each case is compiled as the tests of sched are, without making code.

usage: does_not_compile.py BUILD_ROOT [TEST...]
"""

import json
import re
import shlex
import subprocess
import tempfile

import support

PROLOGUE = """
#include <ringlet/blocking.hpp>
#include <ringlet/remote.hpp>
#include <ringlet/run.hpp>
#include <ringlet/sleep.hpp>
using namespace ringlet;
using namespace std::chrono_literals;
"""


def syntax_check():
    """The command that checks a source, and the folder to run it in: that of a test, with its
    includes and language, but none of its outputs and precompiled headers."""
    for unit in json.loads((support.build_root / "compile_commands.json").read_text()):
        if unit["file"].endswith("sched/remote_test.cpp"):
            words = shlex.split(unit["command"])
            kept = [w for w in words if re.match(r"-I|-std=|-D_|-pthread|-stdlib|-isystem", w)]
            tools = words[: next(i for i, w in enumerate(words) if w.startswith("-"))]
            return tools + kept + ["-fsyntax-only", "-x", "c++", "-"], unit["directory"]
    raise LookupError("the tests of sched are not built here")


class DoesNotCompile(support.Case):
    def first_error(self, body):
        command, folder = syntax_check()
        done = subprocess.run(command, cwd=folder, input=PROLOGUE + body, text=True,
                              capture_output=True, timeout=support.DEADLINE * 4)
        errors = [line for line in done.stderr.splitlines() if "error:" in line]
        return errors[0] if errors else ""

    def test_correct_code_compiles(self):
        """Or nothing below would prove anything."""
        self.assertEqual(self.first_error("""
            task<> work() { co_return; }
            task<> right(remote here) {
              here.post([] { spawn(work()); });
              auto f = [] { return 1; };
              co_await blocking(f);
            }"""), "")

    def test_post_of_a_coroutine(self):
        error = self.first_error("""
            void wrong(remote here) { here.post([]() -> task<> { co_return; }); }""")
        self.assertIn("post a function that calls spawn()", error)

    def test_post_of_a_wait(self):
        error = self.first_error("""
            void wrong(remote here) { here.post([] { return sleep(1s); }); }""")
        self.assertIn("post a function that calls spawn()", error)

    def test_blocking_call_of_a_coroutine(self):
        error = self.first_error("""
            task<> wrong() {
              auto f = []() -> task<int> { co_return 1; };
              (void)co_await blocking(f);
            }""")
        self.assertIn("await that in this fiber, or call run() in the function", error)


if __name__ == "__main__":
    support.main()
