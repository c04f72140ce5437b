# SPDX-License-Identifier: MIT
"""usage: join_tests.py OUTPUT TEST.cpp...: one unit that includes those test files, given by their
paths in this folder, each in a namespace of its own.

Compilers spend most of their time on templates that all tests instantiate, so one unit of several
files takes half as long as the files one by one. The includes come first, outside of the
namespaces; where a file repeats them, they have no effect.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent


def includes(test):
    """What that file includes, as seen from this folder."""
    for line in (HERE / test).read_text().split("\n"):
        if not line.startswith("#include"):
            continue
        beside = re.match(r'#include "([^"]+)"', line)
        if beside and (HERE / test).parent.joinpath(beside[1]).exists():
            line = f'#include "{pathlib.Path(test).parent / beside[1]}"'
        yield line


def unit(tests):
    yield from sorted({line for test in tests for line in includes(test)})
    for test in tests:
        name = re.sub(r"\W", "_", test.removesuffix(".cpp"))
        yield f'namespace {name} {{\n#include "{test}"\n}}  // namespace {name}'


def main():
    output, *tests = sys.argv[1:]
    pathlib.Path(output).write_text("\n".join(unit(tests)) + "\n")


main()
