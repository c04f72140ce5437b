#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What doxygen reads instead of a header or a page: the same lines, marked up.

Headers are written to be read in an editor. Here their fields become lists, their examples code,
and the comment at their head the description of the file. In pages, headings get the names that
links on GitHub use. A link to a header leads to its page, or to the call that it names, and a link
out of the reference becomes text.

usage: doxygen_filter.py FILE
"""

import pathlib
import re
import sys

from headers import EXAMPLE_COLUMN, FIELD

# Friends are no business of a reader, and doxygen takes those with qualified names for members.
FRIEND = re.compile(r"^ *(?:template <[^\n]*>\n *)?friend class [^;]*;$", re.M)
ROOT = pathlib.Path(__file__).resolve().parents[1]

# Private parts are not shown either, but doxygen makes links to the classes in them.
PRIVATE = re.compile(
    r"^(?P<indent> *) private:\n((?!(?P=indent)(\};| public:| protected:)).*\n)*", re.M)
NESTED = re.compile(
    r"^(?P<indent> +)(template <[^\n]*>\n +)?(class|struct) \w+"
    r"(;| [^;{]*\{(\n(?!(?P=indent)\}).*)*\n(?P=indent)\};|[^;{]*\{.*\};)$", re.M)

# What a class has to leave public for other parts of the library.
INTERNAL = re.compile(
    r"^ *// Not for programs\b.*\n((?! *(?:private|public|protected):).*\n)*", re.M)
# Calls from a base class that is not shown: one overload for each number of arguments.
INHERITED = re.compile(r"^(?P<before>.*\n)(?P<indent> *)using detail::\w+<\w+>::(?P<name>\w+);$",
                       re.M)


def blank(match):
    return "\n" * match[0].count("\n")


def declared(inherited):
    """A function with any number of arguments, in one line, with a comment."""
    call = f"template <class F, class... Args> auto {inherited['name']}(F&& f, Args&&... args);"
    if not inherited["before"].strip().startswith("///"):
        call += "  ///< The same for a call of `f(args...)`, like that of the free spawn()."
    return inherited["before"] + inherited["indent"] + call


def marked_up(lines):
    """The lines of one comment, without their slashes and the first space."""
    done, column, in_field, before = [], 0, False, ""
    for number, line in enumerate(lines):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        field = FIELD.fullmatch(line)
        if column and (indent >= column or (not stripped and goes_on(lines[number:], column))):
            done.append(line[column:])
            continue
        if column:
            done.append("@endcode")
            column = 0
            if not stripped:
                continue
        if not stripped:
            done.append("")
            in_field = False
        elif field:
            done.append(f"- **{field['name']}:** {field['text']}")
            in_field = True
        elif indent >= EXAMPLE_COLUMN and not before and not in_field:
            done[-1:] = ["@code{.cpp}"]  # in place of the empty line, to keep the lines' numbers
            column = indent
            done.append(line[column:])
        elif in_field:
            done.append("  " + stripped)
        else:
            done.append(line)
        before = stripped
    return done + ["@endcode"] * bool(column)


def goes_on(lines, column):
    """Whether code follows the empty lines at the beginning."""
    following = next((line for line in lines if line.strip()), "")
    return following.startswith(" " * column)


def header(path, text):
    """Comments with three slashes, and the one at the head of the file."""
    text = INHERITED.sub(declared, INTERNAL.sub(blank, text))
    text = PRIVATE.sub(lambda private: NESTED.sub(blank, private[0]), text)
    lines = [line for line in FRIEND.sub("", text).split("\n") if not line.startswith("// SPDX-")]
    head = next((i for i, line in enumerate(lines) if not line.startswith("//")), 0)
    lines[:head] = [line.replace("//", "///", 1) for line in lines[:head]]
    if head and lines[head : head + 2] == ["#pragma once", ""]:
        lines[head : head + 2] = ["///", "/// @file"]
        # The page has the name of the header above it.
        lines[0] = re.sub(r"^(/// )[^:]+: (.)", lambda m: m[1] + m[2].upper(), lines[0])
    shown = re.compile(rf"(class|struct) (\[\[\w+\]\] )?{path.stem}\b[^;]*$")
    done, block, prefix = [], [], ""
    for number, line in enumerate([*lines, ""]):
        comment = re.match(r"( *///)(?!<)(?: (.*)|$)", line)
        if comment:
            prefix = comment[1]
            block.append(comment[2] or "")
            continue
        done += [f"{prefix} {marked}".rstrip() for marked in marked_up(block)]
        if block and head and any(map(shown.match, lines[number : number + 3])):
            done.append(f"{prefix} @see {path.name}, which has an example.")
        block = []
        done.append(line)
    return "\n".join(done[:-1])


def slug(title):
    """The name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def page(path, text):
    folder = path.resolve().parent

    def link(match):
        words, target = match[1], match[2]
        if target.startswith(("http:", "https:", "#")):
            return match[0]
        file, _, anchor = target.partition("#")
        found = (folder / file).resolve()
        if found.suffix == ".hpp" and found.parent.name == "ringlet":
            words = words.strip("`")
            call = re.fullmatch(r"([\w:]+)\(\)", words)
            return f'@ref {"ringlet::" + call[1] if call else found.name} "{words}"'
        if found.suffix == ".svg" or found.parent == ROOT / "docs" and found.suffix == ".md":
            return match[0]
        if found == ROOT / "README.md":
            return f"[{words}](#{anchor})" if anchor else f"[{words}](@ref index)"
        return words  # In the repository, not in the reference.

    done, in_code = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            in_code = not in_code
        heading = re.match(r"(#{2,}) (.*)", line)
        if in_code:
            pass
        elif heading:
            line = f"{line} {{#{slug(heading[2])}}}"
        else:
            line = re.sub(r"\[([^]]*)\]\(([^)\s]+)\)", link, line)
            # Stars beside code are text to doxygen.
            line = re.sub(r"\*\*([^*]*`[^*]*)\*\*", r"<b>\1</b>", line)
        done.append(line)
    return "\n".join(done)


if __name__ == "__main__":
    given = pathlib.Path(sys.argv[1])
    content = given.read_text()
    sys.stdout.write(page(given, content) if given.suffix == ".md" else header(given, content))
