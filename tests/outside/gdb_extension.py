#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/ringlet.gdb.py shows the fibers of a process and of a core file, and says what is missing
where it cannot. The program is gdb_extension.cpp.

usage: gdb_extension.py BUILD_ROOT [TEST...]
"""

import pathlib
import subprocess
import tempfile

import debugger
import support

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "ringlet.gdb.py"
AGE = r", for \d+\.\d{3} s"
# clang adds the type and the namespace.
NAME = r"(task<\w*> \(anonymous namespace\)::)?"
AT = r"at \S*gdb_extension\.cpp:\d+"
SPAWNED = rf"spawned {AT}"


def gdb(*arguments, commands):
    return debugger.gdb(*arguments, commands=[f"source {SCRIPT}", *commands])


class GdbExtension(support.Case):
    def start_inspected(self, path=None):
        made = support.Program(path or support.build_root / "tests" / "inspected")
        self.addCleanup(made.end)
        self.assertEqual(made.process.stdout.readline(), b"ready\n", made.stderr)
        return made

    def scratch(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return pathlib.Path(made.name)

    def assert_lists_fibers(self, said, age):
        self.assertRegex(said, r'\nscheduler "first" [^\n]*, 5 fibers\n')
        self.assertRegex(said, rf"\n  fiber 1: sleep{age}, {AT} in {NAME}first\(\), {SPAWNED}\n")
        self.assertRegex(said, rf'\n  fiber 2 "sleeper": sleep{age}, {AT} in {NAME}innermost\(\), '
                               rf"{SPAWNED} by fiber 1\n")  # fmt: skip
        self.assertRegex(said, rf"\n  fiber 3: join \S[^,]*{age}, {AT} in {NAME}join_it")
        self.assertRegex(said, rf"\n  fiber 4: accept \S[^,]*{age}, {AT} in {NAME}accept_one")
        self.assertRegex(said, rf"\n  fiber 5: receive \S[^,]*{age}, {AT} in {NAME}receive_one")
        self.assertRegex(said, r'\nscheduler "second" [^\n]*, 2 fibers\n')
        self.assertRegex(said, rf"\n  fiber 1: running, {AT} in {NAME}block\(\), {SPAWNED}\n")
        self.assertRegex(said, rf"\n  fiber 2: [^\n]*has not begun, {SPAWNED} by fiber 1\n")

    def assert_shows_chain(self, said, age):
        self.assertRegex(
            said,
            rf'\nfiber 2 "sleeper": sleep{age}\n'
            rf"#0  {NAME}innermost\(\) {AT}\n#1  {NAME}middle\(int\) {AT}\n"
            rf"#2  {NAME}outermost\(\) {AT}\n"
            rf"    {SPAWNED} by fiber 1\n",
        )

    def test_a_running_process(self):
        program = self.start_inspected()
        said = gdb("-p", program.pid, commands=[
            "ringlet fibers", "ringlet bt 2", "ringlet bt 77", "ringlet bt x", "detach",
        ])  # fmt: skip
        self.assert_lists_fibers(said, AGE)
        self.assert_shows_chain(said, AGE)
        self.assertIn("there is no fiber 77", said)
        self.assertIn("usage: ringlet bt ID", said)
        self.assertNotIn("Python Exception", said)
        self.assertNotIn("warning: RTTI", said)
        self.assertTrue(program.is_running())

    def test_a_core_file(self):
        if support.is_sanitized():
            self.skipTest("the core of a sanitized program has terabytes of shadow memory")
        program = self.start_inspected()
        core = self.scratch() / "core"
        gdb("-p", program.pid, commands=[f"generate-core-file {core}", "detach"])
        program.end()
        said = gdb(support.build_root / "tests" / "inspected", core,
                   commands=["ringlet fibers", "ringlet bt all"])  # fmt: skip
        # How old a core file is, is not known.
        age = r"(, for at least \d+\.\d{3} s)?"
        self.assert_lists_fibers(said, age)
        self.assert_shows_chain(said, age)

    def test_a_program_without_debug_information(self):
        support.skip_unless_installed("strip")
        path = self.scratch() / "stripped"
        whole = support.build_root / "tests" / "inspected"
        subprocess.run(["strip", "-g", "-o", path, whole], check=True)
        program = self.start_inspected(path)
        said = gdb("-p", program.pid, commands=["ringlet fibers", "detach"])
        self.assertIn("the debug information of ringlet is missing", said)

    def test_a_damaged_fiber_does_not_hide_the_others(self):
        program = self.start_inspected()
        damage = ("python f = [f for s in schedulers() for f in s.fibers() if f.name()][0]; "
                  "gdb.execute(f'set {{long}} {int(f.wait[\"at\"]) + 8} = 16')")
        said = gdb("-p", program.pid, commands=[damage, "ringlet fibers", "kill"])
        self.assertIn("\n  fiber 2: its records are damaged: Cannot access memory", said)
        self.assertRegex(said, r"\n  fiber 3: join ")

    def test_a_process_without_ringlet(self):
        program = support.Program("sleep", "60")
        self.addCleanup(program.end)
        said = gdb("-p", program.pid, commands=["ringlet fibers", "ringlet bt 1", "detach"])
        self.assertEqual(said.count("there is no ringlet in this program"), 2, said)

    def test_a_program_that_has_not_called_run(self):
        path = support.build_root / "tests" / "inspected"
        said = gdb(path, commands=["ringlet fibers", "break main", "run", "ringlet fibers", "kill"])
        self.assertIn("no process or core file", said)
        self.assertIn("no scheduler is running", said)


if __name__ == "__main__":
    support.main()
