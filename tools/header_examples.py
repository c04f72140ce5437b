#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes one header of all examples in the headers of components, so that a test can run them.

usage: header_examples.py SOURCE_ROOT OUTPUT DEPFILE COMPONENT...

The examples of mutex.hpp are in the namespaces example_mutex, example_mutex_2, ... in their order.
Each sees ringlet, std::chrono_literals and the namespace around_mutex, in which the test declares
before what the example leaves to the reader.

An example that defines functions or classes is put into its namespace as it stands. What follows
the last definition, or all of an example without any, becomes the body of `task<> example()`.
Includes are left out. Errors of the compiler name the line of the example in its header.
"""

import pathlib
import re
import sys

import headers

NO_TYPE = r"if|for|while|switch|try|do|return|co_\w+|else|catch|throw|const auto"
DEFINITION = re.compile(
    r"(template|class|struct|enum|namespace|using)\b"
    rf"|(?!({NO_TYPE})\b)[\w:<>,&* ]+[ &*>][\w:~]+\([^;{{}}[]*\)[^;={{}}[]*\{{",
    re.S,
)
WARNINGS = ["unused-variable", "unused-but-set-variable", "unused-function", "shadow"]


def items_of(code):
    """(first line, lines) of each statement or definition at the outermost level."""
    plain = headers.without_comments("\n".join(code)).split("\n")
    depth, begin = 0, None
    for index, line in enumerate(plain):
        if begin is None and line.strip():
            begin = index
        depth += sum({"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(c, 0) for c in line)
        if begin is not None and depth == 0 and line.rstrip().endswith((";", "}")):
            yield begin, plain[begin : index + 1]
            begin = None
    if begin is not None:
        yield begin, plain[begin:]


def parts_of(code):
    """How many lines go into the namespace; the rest is the body of a coroutine."""
    end = 0
    for begin, lines in items_of(code):
        if DEFINITION.match("\n".join(lines).strip()):
            end = begin + len(lines)
    return end


def example_in(namespace, path, example):
    """The text of one example in its namespace."""
    code = ["" if line.startswith("#include") else line for line in example.code]
    end = parts_of(code)
    stem = pathlib.PurePath(path).stem
    yield f"namespace around_{stem} {{}}"
    yield f"namespace {namespace} {{"
    for used in ("ringlet", "std::chrono_literals", f"around_{stem}"):
        yield f"using namespace {used};"
    if end != 0:
        yield f'#line {example.line} "{path}"'
        yield from code[:end]
    if any(line.strip() for line in code[end:]):
        yield "inline task<> example() {"
        yield f'#line {example.line + end} "{path}"'
        yield from code[end:]
        yield "co_return;"
        yield "}"
    yield f"}}  // namespace {namespace}"


def header_of(root, components):
    paths = [path for one in components for path in sorted(root.glob(f"{one}/ringlet/*.hpp"))]
    lines = ["// The examples in the headers, made by tools/header_examples.py.", "#pragma once"]
    lines += [f"#include <ringlet/{path.name}>" for path in paths]
    lines += ["#include <chrono>", "#pragma GCC diagnostic push"]
    lines += [f'#pragma GCC diagnostic ignored "-W{warning}"' for warning in WARNINGS]
    for path in paths:
        for number, example in enumerate(headers.examples_of(path.read_text()), 1):
            namespace = f"example_{path.stem}" + (f"_{number}" if number > 1 else "")
            lines += example_in(namespace, str(path.relative_to(root)), example)
    lines += ["#pragma GCC diagnostic pop"]
    return "\n".join(lines) + "\n", paths


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__.split("\n")[2])
    root, output, depfile = (pathlib.Path(path) for path in sys.argv[1:4])
    text, paths = header_of(root, sys.argv[4:])
    output.write_text(text)
    read = [*paths, *(pathlib.Path(__file__).parent / name for name in ("headers.py", __file__))]
    depfile.write_text(f"{output}: {' '.join(str(path) for path in read)}\n")


if __name__ == "__main__":
    main()
