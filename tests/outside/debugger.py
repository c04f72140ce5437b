#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ringlet_dump() can be called from gdb in a program that uses run_main(): in a running one, in one
that gdb has started, and also where the linker drops unused functions.

usage: debugger.py BUILD_ROOT [TEST...]
"""

import pathlib
import subprocess
import tempfile

import support

DUMP = "call (void)ringlet_dump()"
REFUSALS = ("ptrace: Operation not permitted", "Could not trace the inferior process")

PROGRAM = """
#include <ringlet/run.hpp>
ringlet::task<> nothing() { co_return; }
int main() { return ringlet::run_main(nothing()); }
"""


def gdb(*arguments, commands):
    """The output of gdb, with these commands, and of the program that it runs."""
    support.skip_unless_installed("gdb")
    words = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(words + [str(word) for word in arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=support.DEADLINE * 2)
    for refusal in REFUSALS:
        if refusal in done.stdout:
            raise support.unittest.SkipTest(f"gdb may not trace here: {refusal}")
    return done.stdout


class Debugger(support.Case):
    def test_a_running_server_prints_its_fibers(self):
        support.skip_unless_installed("gdb")
        server = self.start_server(complaints=r"scheduler: (?s:.*)")
        with server.connect() as peer:
            self.assert_echoes(peer, b"hello")
            said = gdb("-p", server.pid, commands=[DUMP, "detach"])
            self.assertIn("fiber 1: accept fd", server.stderr, said)
            self.assertIn("fiber 2: receive", server.stderr, said)
            self.assert_echoes(peer, b"still there?")

    def test_a_program_that_gdb_started_prints_its_fibers(self):
        said = gdb(
            "--args", support.program_path("eat_and_play"),
            commands=["set breakpoint pending on", "break puts", "run", DUMP, "kill"],
        )  # fmt: skip
        self.assertRegex(said, r"\nscheduler: [^\n]*, 3 fibers\n")
        self.assertRegex(said, r"\nfiber 2: running\n")

    def test_linkers_that_drop_unused_functions_keep_ringlet_dump(self):
        """Each function has its own section, and run.cpp is the only part of the library: its
        references stay undefined, because nothing runs here."""
        command, folder = support.test_compiler()
        source = pathlib.Path(__file__).resolve().parents[2] / "sched" / "scheduler" / "run.cpp"
        with tempfile.TemporaryDirectory() as made:
            main = pathlib.Path(made) / "main.cpp"
            main.write_text(PROGRAM)
            linked = [
                "-nostdlib", "-static", "-Wl,--gc-sections", "-Wl,--unresolved-symbols=ignore-all",
                "-Wl,-e,main", "-o", f"{made}/program",
            ]  # fmt: skip
            subprocess.run(
                [*command, "-O1", "-ffunction-sections", "-fdata-sections", *linked, main, source],
                cwd=folder, check=True, timeout=support.DEADLINE * 4,
            )  # fmt: skip
            symbols = subprocess.check_output(["nm", f"{made}/program"], text=True)
        names = {line.split()[-1] for line in symbols.splitlines()}
        self.assertIn("main", names)
        self.assertIn("ringlet_dump", names)


if __name__ == "__main__":
    support.main()
