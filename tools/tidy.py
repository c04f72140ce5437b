#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the house rules that a program can check, and says how to fix each violation.

usage: tidy.py SOURCE_ROOT

A rule is a function that takes the tree of sources and yields (path, line, message). Only FOLDERS
and the files beside them are read, so scratch files elsewhere do no harm.
"""

import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys

LAYERS = ["core", "sched", "net"]  # Lowest first.
# The components of the layers, and what each is built on: it may include the headers of these
# components, and of those below them, only.
BUILT_ON = {
    "core/base": [],
    "core/coro": ["core/base"],
    "core/engine": ["core/base"],
    "sched/scheduler": ["core/coro", "core/engine"],
    "sched/fibers": ["sched/scheduler"],
    "sched/sync": ["sched/scheduler"],
    "sched/threads": ["sched/scheduler"],
    "net/names": ["sched/fibers", "sched/threads"],
    "net/stream": ["net/names", "sched/fibers"],
    "net/socket": ["net/stream", "sched/sync"],
    "net/server": ["net/socket"],
    "net": ["net/server", "sched/fibers", "sched/sync", "sched/threads"],  # the umbrella
}
FOLDERS = [*LAYERS, "docs", "examples", "bench", "tests", "tools", ".ci"]
LICENCE = "SPDX-License-Identifier: MIT"
LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
CODE_LINES_MAX = 3  # of code in a page that no example and no test has

# Public headers without a test file of their own, and why.
UNTESTED_HEADERS = {
    "cancelled.hpp": "context_test.cpp throws it, and every test of a kill",
    "generator_exit.hpp": "an empty class, which two_way_generator_test.cpp throws",
    "greenlet_exit.hpp": "an empty class, which greenlet_errors_test.cpp throws",
    "join_options.hpp": "a plain struct, which joinall_test.cpp fills",
    "outcome.hpp": "two enums, which fiber_test.cpp reads",
    "ringlet.hpp": "nothing but includes, and the header test compiles it",
    "runtime_options.hpp": "a plain struct, which runtime_test.cpp fills",
    "standard_descriptors.hpp": "unique_fd_test.cpp calls it where descriptors are missing",
    "version.hpp": "three numbers, compared with meson.build below",
}

# The only files of the library that may ask the kernel about descriptors, time and chance.
DOORS = [
    "core/base/standard_descriptors.cpp",
    "core/base/unique_fd*",
    "core/engine/*engine*.cpp",
    "core/engine/blocking*.cpp",
    "core/engine/direct_call.cpp",
    "core/engine/attempt.cpp",
    "core/engine/nonblocking.hpp",
    "core/engine/uring_*.cpp",
    "net/server/listening_descriptors.cpp",  # before there is an engine
    "sched/scheduler/now.cpp",  # for where there is no engine
]

LIBRARY = ("core/*", "sched/*", "net/*")
HEADERS = ("core/*.hpp", "sched/*.hpp", "net/*.hpp")
PUBLIC = tuple(f"{component}/ringlet/*" for component in BUILT_ON)

# Banned patterns, where they are banned, and the remedy. Comments and literals do not count.
CALLS_ON_DESCRIPTORS = (
    "accept4? bind close connect dup[23]? epoll_\\w+ eventfd fcntl fstat ftruncate getpeername"
    " getsockname getsockopt ioctl listen open openat p?poll pipe2? p?readv? p?writev? recv"
    " recvfrom recvmsg select send sendfile sendmsg sendto setsockopt shutdown signalfd socket"
    " socketpair splice timerfd_\\w+"
).replace(" ", "|")
BANNED = [
    (r"\busing\s+namespace\b", HEADERS, "write full names: users may not want all of ours"),
    (r"\bstd::(cout|cerr|clog)\b|#include <iostream>", LIBRARY, "use fmt::print in a .cpp file"),
    (r"#include <(liburing|fmt/)", PUBLIC, "include it in the .cpp file, forward-declare here"),
]
BANNED_OUTSIDE_DOORS = [
    (rf"(?<![\w>])::({CALLS_ON_DESCRIPTORS})\s*\(", "a system call: give the engine an operation"),
    (r"_clock::now\b|\b(clock_gettime|gettimeofday)\b", "reads a clock: ask the engine, its now()"),
    (r"\bstd::(random_device|mt19937)|\bgetrandom\b|\bs?rand\(", "draws a number: ask the engine"),
]

# Functions that a wait may declare although a base does: see
# sched/scheduler/ringlet/extend/wait.hpp.
WAIT_HOOKS = (
    "await_ready await_resume await_suspend describe holder lingers on_cancel pass_on take"
    " try_now unwatch watch"
).split()


# Retired names, and their replacements. Searched for everywhere except in the conversion of old
# programs.
RETIRED = [
    (r"\bcarrier(_|\b)", "engine"),
    (r"\b(hopes_|\w+_hope)\b", "external wait"),
    (r"\bscheduler_guest\b|\b(add_)?guests?_\b", "shutdown_hook"),
    (r"\b(add_starved|starved_tag)\b", "descriptor_waiter"),
    (r"\b(ring_bell|bells?_\w*)\b", "notify(), or wakeup_fd"),
    (r"\bunborn\b", "unstarted"),
    (r"\b(bury|burial)\b", "free_finished"),
    (r"\b[Dd]uplex(es)?\b", "two_way_generator"),
    (r"\bcut_short\b", "partial_transfer"),
    (r"\bgrace( time)?\b", "shutdown_timeout"),
    (r"\bunobserved\w*|\bon_unobserved\b", "unhandled_error"),
    (r"\b(outcome|errc)::exited\b", "outcome::cancelled, errc::fiber_cancelled"),
    (r"\buntil::|\buntil limit\b|`until`", "time_limit timeout"),
    (r"\bremote::|`remote`|\bclass remote\b", "scheduler_handle"),
    (r"\bclass group\b|<ringlet/group\.hpp>", "fiber_set"),
    (r"\bepoll_attempt\b", "attempt"),
]
KEEP_RETIRED = {
    "CHANGELOG.md",
    "docs/renames.sed",
    "tests/outside/renames.py",
    "tools/tidy.py",
}


class Tree:
    """The texts of the project by their path from its root."""

    def __init__(self, root):
        self.root = root
        paths = [path for path in root.iterdir() if path.is_file()]
        for folder in FOLDERS:
            paths += [path for path in (root / folder).rglob("*") if path.is_file()]
        kinds = {".hpp", ".cpp", ".py", ".md", ".build", ".txt", ".in"}
        self.texts = {
            str(path.relative_to(root)): path.read_text()
            for path in sorted(paths)
            if path.suffix in kinds or path.name in {"dev", "run"}
        }

    def named(self, *patterns):
        return [path for path in self.texts if any(fnmatch.fnmatch(path, p) for p in patterns)]

    def text(self, path):
        return self.texts.get(path, "")

    def headers_of_components(self):
        """(path, component, name below ringlet/) of each."""
        for path in self.named(*PUBLIC):
            component, name = path.split("/ringlet/")
            yield path, component, name

    def public_headers(self):
        """The same without those in extend/ and detail/: the headers for programs."""
        return (found for found in self.headers_of_components() if "/" not in found[2])


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def code_of(text):
    """The text with comments and literals blanked; line numbers do not change."""
    text = re.sub(r"\b\d[\w']*", lambda number: number[0].replace("'", "_"), text)
    literal = r'R"(\w*)\(.*?\)\1"|"(\\.|[^"\\\n])*"|' + r"'(\\.|[^'\\\n])+'"
    return re.sub(rf"//[^\n]*|/\*.*?\*/|{literal}", blanked, text, flags=re.S)


def blanked(match):
    return re.sub(r"[^\n]", " ", match[0])


def plain_text(tree):
    unfinished = re.compile(r"\bFIX" + r"ME\b")
    pages = tree.named("*.md")
    for path, text in tree.texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > LINE_COLUMNS_MAX and path not in pages:
                yield path, number, f"{len(line)} columns: break the line at {LINE_COLUMNS_MAX}"
            if "\t" in line:
                yield path, number, "a tab: use spaces"
            if line != line.rstrip():
                yield path, number, "trailing blanks: remove them"
            if unfinished.search(line):
                yield path, number, "left unfinished: do it now, or open an issue"


def beginnings(tree):
    openings = {".hpp": "//", ".cpp": "//", ".py": ("#", '"""'), ".build": "#"}
    for path, text in tree.texts.items():
        opening = openings.get(pathlib.PurePath(path).suffix)
        if opening and not text.startswith(opening):
            yield path, 1, "start the file with a comment that says what it is"
        if path.endswith(".hpp") and not re.search(r"^#pragma once$", text, re.M):
            yield path, 1, "a header without guard: put #pragma once below its head comment"
    for path, _, name in tree.public_headers():
        stem = name.removesuffix(".hpp")
        if not re.match(rf"// [^:]*\b{stem}[^:]*: ", tree.texts[path]):
            yield path, 1, f"begin the header with what it declares: '// {stem}: what it is'"


def paths_named(tree):
    """Comments and pages name files by their path or the end of it, and those files exist."""
    file_name = r"(?<![\w/<.*])(?:\w+/)*[a-z]\w*\.(?:hpp|cpp|py|md)\b"
    ends = set()
    for path in tree.texts:
        parts = path.split("/")
        ends.update("/".join(parts[at:]) for at in range(len(parts)))
    for path in tree.named("*.hpp", "*.cpp", "*.py", "*.build", "*.md"):
        comment = r"^.*$" if path.endswith(".md") else r"(//|#).*$"
        for match in re.finditer(comment, tree.texts[path], re.M):
            if match[0].startswith("#include"):
                continue
            for name in re.findall(file_name, match[0]):
                if name.removeprefix("ringlet/") not in ends:
                    line = line_of(tree.texts[path], match.start())
                    yield path, line, f"there is no file {name}: correct its name"


def banned_words(tree):
    outside_doors = set(tree.named(*LIBRARY)) - set(tree.named(*DOORS))
    for path in tree.named("*.hpp", "*.cpp"):
        code = code_of(tree.texts[path])
        rules = [(pattern, remedy) for pattern, places, remedy in BANNED
                 if any(fnmatch.fnmatch(path, place) for place in places)]  # fmt: skip
        rules += BANNED_OUTSIDE_DOORS if path in outside_doors else []
        for pattern, remedy in rules:
            for match in re.finditer(pattern, code):
                yield path, line_of(code, match.start()), f"{match[0].strip()}: {remedy}"


def component_of(path):
    """The component to which a file of a layer, or of its tests, belongs; its layer if it belongs
    to no component; None elsewhere."""
    parts = path.removeprefix("tests/").split("/")[:-1]
    return next((part for part in ("/".join(parts[:2]), *parts[:1]) if part in BUILT_ON
                 or part in LAYERS), None)  # fmt: skip


def seen_from(component):
    """The component, and everything that it is built on."""
    below = [seen_from(one) for one in BUILT_ON.get(component, BUILT_ON)]
    return {component}.union(*below)


def licences(tree):
    """The line is the last of the comment at the head of a file."""
    for path, text in tree.texts.items():
        lines = text.split("\n")
        is_script = path.endswith((".py", "meson.build")) or path in ("dev", ".ci/run")
        if not is_script and not path.endswith((".cpp", ".hpp")):
            continue
        mark = "#" if is_script else "//"
        number = next((i for i, line in enumerate(lines) if not line.startswith(mark)), 0)
        if lines[max(number, 1) - 1] != f"{mark} {LICENCE}":
            yield path, number, f"write `{mark} {LICENCE}` as the last line of the comment here"


def retired_names(tree):
    for path, text in tree.texts.items():
        for pattern, word in RETIRED if path not in KEEP_RETIRED else []:
            for match in re.finditer(pattern, text):
                yield path, line_of(text, match.start()), f"{match[0]} is retired: write {word}"


def includes(tree):
    component_with = {}
    for _, component, name in tree.headers_of_components():
        component_with[f"ringlet/{name}"] = component
    for path in tree.named("*.hpp", "*.cpp"):
        folder = path.rsplit("/", 1)[0]
        # Tests see the private headers of their layer, and tests/support.
        layer = next((part for part in path.split("/")[:2] if part in LAYERS), None)
        layers = [one for one in BUILT_ON if layer and one.startswith(layer)]
        places = [folder, "tests", *layers] if path.startswith("tests/") else [folder]
        places = [] if fnmatch.fnmatch(path, "*/ringlet/*") else places
        mine = component_of(path)
        # Tests of a component may use all of their layer.
        above = LAYERS.index(layer) if layer and path.startswith("tests/") else None
        text = tree.texts[path]
        for match in re.finditer(r'^#include ([<"])([^>"]+)', text, re.M):
            quote, name = match.groups()
            owner = component_with.get(name)
            line = line_of(text, match.start())
            if quote == '"' and not any(f"{place}/{name}" in tree.texts for place in places):
                yield path, line, f'"{name}" is not a private header of this folder: write <...>'
            private = not owner and any(f"{one}/{name}" in tree.texts for one in BUILT_ON)
            if quote == "<" and private:
                yield path, line, f'<{name}> is private: write "{name}", in its own folder only'
            if owner and above is not None:
                if LAYERS.index(owner.split("/")[0]) > above:
                    yield path, line, f"<{name}> belongs to {owner}, above {layer}"
            elif owner and mine and owner not in seen_from(mine):
                yield path, line, f"<{name}> belongs to {owner}, which {mine} is not built on"


def function_lengths(tree):
    """A function is a brace after a parameter list and qualifiers, outside any other function."""
    qualifier = r"\s|&|const|noexcept(\(.*\))?|override|final|mutable|requires.*|->.*|:.*"
    heading = re.compile(rf"\)({qualifier})*$", re.S)
    for path in tree.named("*.hpp", "*.cpp"):
        code = re.sub(r"^#(.*\\\n)*.*", blanked, code_of(tree.texts[path]), flags=re.M)
        depth, depth_of_function, begin, end = 0, 0, 0, 0
        for match in re.finditer(r"[{};]", code):
            depth += {"{": 1, "}": -1, ";": 0}[match[0]]
            head = code[end : match.start()]
            if match[0] == "{" and depth_of_function == 0 and heading.search(head):
                depth_of_function = depth
                begin = line_of(code, end + len(head) - len(head.lstrip()))
            elif match[0] == "}" and depth < depth_of_function:
                depth_of_function = 0
                lines = line_of(code, match.start()) - begin + 1
                if lines > FUNCTION_LINES_MAX:
                    remedy = f"split it, the limit is {FUNCTION_LINES_MAX}"
                    yield path, begin, f"a function of {lines} lines: {remedy}"
            end = match.end()


def classes_of(code):
    """(name, words of its bases, body, offset) of each class, nested ones too."""
    name = r"(?:\w+(?:<[^<>{};]*>)?::)*(\w+)(?:<[^<>{};]*>)?"
    heading = rf"\b(?:class|struct)\s+(?:\[\[\w+\]\]\s*)?{name}(?:\s+final)?\s*(?::([^{{}};]*))?\{{"
    for match in re.finditer(heading, code):
        depth, end = 1, match.end()
        while depth != 0 and end < len(code):
            depth += {"{": 1, "}": -1}.get(code[end], 0)
            end += 1
        bases = set(re.findall(r"\w+", match[2] or "")) - {match[1]}
        yield match[1], bases, code[match.end() : end - 1], match.start()


def functions_of(body):
    """The names of the functions that a class declares itself, without those that override."""
    while re.search(r"\{[^{}]*\}", body):
        body = re.sub(r"\{[^{}]*\}", ";", body)
    parameters = r"\btemplate\s*<[^<>]*(<[^<>]*>[^<>]*)*>"
    other = r"(?:operator|noexcept|requires|decltype|static_assert|explicit|alignas|void)\b"
    for declaration in re.sub(parameters, "", body).split(";"):
        name = re.search(rf"(?<![\w~])(?!{other})(\w+)\s*\(", declaration)
        if name and not re.search(r"\b(override|using|friend|operator)\b", declaration):
            yield name[1]


def hidden_names(tree):
    """If a wait redeclares a function of its base, some callers would call one, some the other."""
    bases, functions, places = {}, {}, []
    for path in tree.named("*.hpp", "*.cpp"):
        code = code_of(tree.texts[path])
        for alias in re.finditer(r"\busing\s+(\w+)\s*=([^;]*);", code):
            bases.setdefault(alias[1], set()).update(re.findall(r"\w+", alias[2]))
        for name, above, body, offset in classes_of(code):
            declared = set(functions_of(body)) - {name} - above
            bases.setdefault(name, set()).update(above)
            functions.setdefault(name, set()).update(declared)
            places.append((path, line_of(code, offset), name, above, declared - set(WAIT_HOOKS)))
    for path, line, name, above, declared in places:
        all_above, new = set(), above
        while new:
            all_above |= new
            new = set().union(*(bases.get(base, set()) for base in new)) - all_above - {name}
        if "wait_base" in all_above:
            for base in sorted(all_above):
                for function in sorted(declared & functions.get(base, set())):
                    remedy = "give it a name of its own, only hooks are declared again"
                    yield path, line, f"{name} hides {function}() of its base {base}: {remedy}"


def build_lists(tree):
    for path in tree.named("*.cpp"):
        if path.startswith(("examples/others/", "bench/peers/")):
            continue  # tests/outside/other_programs.py and bench/comparison/peers.py compile these
        folder = component_of(path) if path.startswith(tuple(LAYERS)) else path.split("/")[0]
        name = path.removeprefix(f"{folder}/")
        if f"'{name}'" not in tree.text(f"{folder}/meson.build"):
            yield path, 1, f"is not built: list '{name}' in {folder}/meson.build"
    for path in tree.named("*meson.build"):
        previous = ""
        for number, line in enumerate(tree.texts[path].split("\n"), 1):
            entry = re.fullmatch(r" *'([^']+)',", line)
            if entry and entry[1] < previous:
                yield path, number, f"'{entry[1]}' belongs before '{previous}': lists are sorted"
            previous = entry[1] if entry else ""


def public_headers(tree):
    umbrella = "net/ringlet/ringlet.hpp"
    for path, component, name in tree.headers_of_components():
        if f"'ringlet/{name}'" not in tree.text(f"{component}/meson.build"):
            yield path, 1, f"is not installed: list 'ringlet/{name}' in {component}/meson.build"
    seen = {}
    for path, component, name in tree.public_headers():
        if path != umbrella and f"#include <ringlet/{name}>\n" not in tree.text(umbrella):
            yield path, 1, f"is not in the umbrella: include <ringlet/{name}> in {umbrella}"
        test = f"tests/{component}/{name.removesuffix('.hpp')}_test.cpp"
        if name not in UNTESTED_HEADERS and test not in tree.texts:
            yield path, 1, f"has no test: write {test}, or give a reason in tools/tidy.py"
        if name in seen:
            yield path, 1, f"has the name of {seen[name]}: users see one folder, rename one"
        seen[name] = path


def rows(tree):
    """Each row of the gevent table that works has a test, marked by a comment above it."""
    table_path, row = "docs/for_gevent_users.md", r"\b([A-Z]{1,2}-?)(\d\d?)\b"
    states, shown = {}, set()
    for number, line in enumerate(tree.text(table_path).split("\n"), 1):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and re.match(row, cells[1]):
            for name in rows_named(cells[1]):
                states[name] = (number, cells[3])
    for path in tree.named("tests/*.cpp", "tests/*.hpp", "tests/*.py"):
        for number, line in enumerate(tree.texts[path].split("\n"), 1):
            comment = re.fullmatch(r" *(?://|#) rows?: (.*)", line)
            for name in rows_named(comment[1]) if comment else []:
                shown.add(name)
                if name not in states:
                    yield path, number, f"row {name} is not in {table_path}: correct it"
            if re.search(rf'\b(TEST_CASE|SUBCASE)\( *"{row}[^"]*:', line):
                yield path, number, "the name begins with a row: write '// row: ...' above the test"
    for name, (number, state) in states.items():
        if re.match("works|surpassed", state) and name not in shown:
            yield table_path, number, f"row {name} has no test: write '// row: {name}' above it"


def rows_named(text):
    """The rows that a text names, such as W1 W2, W35-W39 or GR-01 - GR-04, one by one."""
    for match in re.finditer(r"\b([A-Z]{1,2}-?)(\d+)(?: ?- ?\1(\d+))?\b", text):
        kind, first, last = match[1], match[2], match[3] or match[2]
        for number in range(int(first), int(last) + 1):
            yield f"{kind}{number:0{len(first)}}"


def component_readmes(tree):
    """Each file of a component is named in its README, as `NAME`, `NAME.hpp` or `detail/NAME`."""
    for component in BUILT_ON:
        page = f"{component}/README.md"
        named = set(re.findall(r"`(?:\w+/)?(\w+)(?:\.[a-z]+)?`", tree.text(page)))
        for path in tree.named(f"{component}/*.hpp", f"{component}/*.cpp"):
            name = pathlib.PurePath(path).stem
            if component_of(path) == component and "/" in component and name not in named:
                yield page, 1, f"does not name {path}: describe it there"


def papers(tree):
    for path in tree.named("*.md"):
        prose = re.sub(r"^```.*?^```", blanked, tree.texts[path], flags=re.S | re.M)
        for number, line in enumerate(prose.split("\n"), 1):
            if len(line.rstrip()) > LINE_COLUMNS_MAX and not line.startswith("|"):
                yield path, number, f"{len(line)} columns: break the line at {LINE_COLUMNS_MAX}"
        titles = [line_of(prose, match.start()) for match in re.finditer(r"^# ", prose, re.M)]
        if len(titles) != 1:
            yield path, max(titles, default=1), f"{len(titles)} titles: a file has one '# ' line"
    programs = re.findall(r"^```cpp\n(.*?)^```", tree.text("README.md"), re.S | re.M)
    first = next((program for program in programs if "int main" in program), None)
    if first is None or without_head(first) != without_head(tree.text("examples/echo.cpp")):
        yield "README.md", 1, "its first program is not examples/echo.cpp: copy that file into it"


def worked_example(tree):
    """The page on waits shows all of countdown.hpp, and any parts of its tests."""
    page, parts = "docs/writing_a_wait.md", ["countdown.hpp", "writing_a_wait_test.cpp"]
    whole, tests = (unlicensed(tree.text(f"tests/sched/fibers/{part}")) for part in parts)
    shown = ""
    for match in re.finditer(r"^```cpp\n(.*?)^```", tree.text(page), re.S | re.M):
        if match[1] in whole:
            shown += match[1]
        elif match[1] not in tests:
            line = line_of(tree.text(page), match.start())
            yield page, line, f"this code is in none of {', '.join(parts)}: copy it from there"
    if re.sub(r"\n+", "\n", shown) != re.sub(r"\n+", "\n", whole):
        yield page, 1, f"it does not show all of tests/sched/fibers/{parts[0]}, in its order"


def code_of_pages(tree):
    """Code in a page is compiled: it is a part of an example or a test, unless it is short."""
    compiled = [tree.texts[path] for path in tree.named("examples/*", "tests/*.?pp")]
    compiled += [path.read_text() for path in (tree.root / "examples").rglob("*.go")]
    compiled = [unindented(unlicensed(text)) for text in compiled]
    for path in tree.named("*.md"):
        blocks = r"^```(?:cpp|python|go)\n(.*?)^```"
        for match in re.finditer(blocks, tree.texts[path], re.S | re.M):
            code = unindented(match[1])
            if code.count("\n") > CODE_LINES_MAX and not any(code in text for text in compiled):
                line = line_of(tree.texts[path], match.start())
                yield path, line, "this code is in no example and no test: copy it from one"


def links(tree):
    """Links within the project lead to a file, and to a title in it."""
    for path in tree.named("*.md"):
        prose = re.sub(r"^```.*?^```", blanked, tree.texts[path], flags=re.S | re.M)
        for match in re.finditer(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", prose):
            name, title = match.groups()
            target = (tree.root / path).parent / name if name else tree.root / path
            line = line_of(prose, match.start())
            if not target.exists():
                yield path, line, f"the link leads to {name}, which does not exist: correct it"
            elif title and title not in titles_of(target.read_text()):
                yield path, line, f"{name or path} has no title #{title}: correct the link"


def titles_of(page):
    """The titles of a page, in the form that links use."""
    titles = re.findall(r"^#+ (.*)$", page, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def unindented(text):
    return re.sub(r"^[ \t]+", "", text, flags=re.M)


def unlicensed(program):
    """Pages leave the line out."""
    return program.replace(f"// {LICENCE}\n", "")


def without_head(program):
    """The README omits the head comment of a file, because its own text says the same."""
    return re.sub(r"\A(//.*\n)*\n*", "", program)


def versions(tree):
    header = "core/base/ringlet/version.hpp"
    macros = dict(re.findall(r"#define RINGLET_VERSION_(\w+) (\d+)", tree.text(header)))
    written = ".".join(macros.get(part, "?") for part in ("MAJOR", "MINOR", "PATCH"))
    built = re.search(r"version: '([^']+)'", tree.text("meson.build"))[1]
    if written != built:
        yield header, 1, f"says {written}, meson.build says {built}: make them agree"


def format_of_clang(tree):
    tools = [tool for tool in ("clang-format-14", "clang-format") if shutil.which(tool)]
    versions = {tool: subprocess.check_output([tool, "--version"], text=True) for tool in tools}
    tool = next((tool for tool, text in versions.items() if "version 14." in text), None)
    if tool is None:
        print("skipped: the format, because clang-format 14 is not installed")
        return
    command = [tool, "--dry-run", "--Werror", *tree.named("*.hpp", "*.cpp")]
    report = subprocess.run(command, cwd=tree.root, text=True, stderr=subprocess.PIPE).stderr
    seen = set()
    for path, line in re.findall(r"^(\S+?):(\d+):\d+: error:", report, re.M):
        if path not in seen:
            yield path, int(line), f"not formatted: run {tool} -i {path}"
        seen.add(path)


RULES = [
    plain_text,
    beginnings,
    paths_named,
    banned_words,
    licences,
    retired_names,
    includes,
    function_lengths,
    hidden_names,
    build_lists,
    public_headers,
    component_readmes,
    papers,
    rows,
    worked_example,
    code_of_pages,
    links,
    versions,
    format_of_clang,
]


def main():
    tree = Tree(pathlib.Path(sys.argv[1]))
    findings = sorted(finding for rule in RULES for finding in rule(tree))
    for path, line, message in findings:
        print(f"{path}:{line}: {message}")
    print(f"{len(findings)} findings in {len(tree.texts)} files")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
