#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of examples/others compile, where a compiler and the library are installed.

usage: other_programs.py BUILD_ROOT [TEST...]
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import support

OTHERS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "others"
NAMES = sorted(path.stem for path in (OTHERS / "asyncio").glob("*.py"))


class OtherPrograms(support.Case):
    def run_tool(self, *command, **options):
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_program_exists_for_each_library(self):
        self.assertEqual(len(NAMES), 7)
        for name in NAMES:
            for path in (f"../{name}.cpp", f"asio/{name}.cpp", f"go/{name}/main.go"):
                self.assertTrue((OTHERS / path).exists(), path)

    def test_the_python_programs_compile(self):
        if sys.version_info < (3, 11):
            self.skipTest("except* is a syntax error before Python 3.11")
        for path in OTHERS.glob("*/*.py"):
            compile(path.read_text(), path, "exec")

    def test_the_go_programs_pass_go_vet(self):
        support.skip_unless_installed("go")
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "GOCACHE": os.environ.get("GOCACHE", cache),
                           "GOFLAGS": "-mod=mod", "GOPROXY": "off"}  # fmt: skip
            self.run_tool("go", "vet", "./...", cwd=OTHERS / "go", env=environment)

    def test_the_asio_programs_compile(self):
        """As one unit, because the headers take longer than the programs."""
        support.skip_unless_installed("g++")
        texts = [(OTHERS / "asio" / f"{name}.cpp").read_text() for name in NAMES]
        include = re.compile(r"^#include <.*>\n", re.M)
        headers = sorted({line for text in texts for line in include.findall(text)})
        unit = "".join(headers) + "".join(
            f"namespace {name} {{\n{include.sub('', text)}\n}}\n"
            for name, text in zip(NAMES, texts)
        )
        command = ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-function",
                   "-x", "c++", "-"]  # fmt: skip
        probe = "#include <boost/asio/experimental/awaitable_operators.hpp>\n"
        probe += "#if BOOST_VERSION < 108100\n#error old\n#endif\n"
        found = subprocess.run([*command[:-3], "-E", "-x", "c++", "-"], input=probe, text=True,
                               capture_output=True, timeout=250)  # fmt: skip
        if found.returncode != 0:
            self.skipTest("Boost.Asio 1.81 (libboost1.81-dev) is not installed")
        self.run_tool(*command, input=unit)


if __name__ == "__main__":
    support.main()
