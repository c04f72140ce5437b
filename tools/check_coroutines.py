#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finds expressions in C++ sources that compile and are wrong in coroutines.

usage: check_coroutines.py FILE_OR_FOLDER...

Prints one line per finding, `file:line: what is wrong: what to write instead`, and exits with 1
when there are any. A line with the comment `// check_coroutines: off` is skipped.

What it finds:
  choice      `?:` beside co_await in one expression: g++ before 13 destroys the chosen temporary or
              task twice.
  throw       co_await in the expression of a `throw`: the same compiler loses the exception object.
  capture     a lambda that captures by value, as a temporary beside co_await: the same compiler
              destroys it twice.
  braces      `T{...}` or `{...}` with a variable in it, as an argument beside co_await: the same
              compiler destroys a class without constructors twice. Named types of std:: are
              accepted, because they have constructors.
  condition   a coroutine without variables whose co_await are all in conditions of `if`, `while` or
              `switch`: the same compiler gives it a wrong frame, and ringlet aborts.
  dropped     a statement that awaits lock(), lock_shared() or reserve(), or acquire() of a name
              that the same file declares as a semaphore, and drops what it gets: the lock or permit
              goes back at once. Also acquire() with a count and a limit, whose bool or permit tells
              whether it came. clang warns of both; g++ does not.
  dangling    a lambda with captures that is a coroutine and is called where it is written, as in
              spawn([x]() -> task<> { ... }()): the captures die with the expression, before the
              coroutine reads them. Wrong with every compiler, unless the call is awaited, or passed
              to run(), in the same expression.

It reads text, not C++: it knows no types and expands no macros. So it reports choices between
values without a destructor, such as numbers, beside co_await; and it does not find braced
temporaries of literals only, the contents of macros, or a task that outlives its arguments.
"""

import pathlib
import re
import sys

SUFFIXES = (".cpp", ".hpp", ".cc", ".cxx", ".hh", ".h")
OFF = "check_coroutines: off"
NAME_FIRST = "g++ before 13 destroys it twice: give it a name before the expression"

# Comments, and literals, whose contents do not count.
NOT_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | R"(?P<tag>[^()\s\\]*)\(.*?\)(?P=tag)"
      | "(?:\\.|[^"\\\n])*" | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'""", re.X | re.S)
LAMBDA = re.compile(  # not the names that a structured binding declares
    r"(?<![\w\])>])(?<!auto )(?<!auto& )(?<!auto&& )\[(?![\[\]])(?P<captures>[^\[\]{};]*)\]"
    r"|(?<![\w\])>])\[\]")
CLOSES = {"(": ")", "[": "]", "{": "}"}


def blank(match):
    """The same number of characters and lines."""
    return re.sub(r"[^\n]", " ", match.group())


def end_of_group(text, start):
    """The offset after the bracket that closes the one at `start`, or the end."""
    open_brackets = []
    for i in range(start, len(text)):
        if text[i] in CLOSES:
            open_brackets.append(CLOSES[text[i]])
        elif text[i] in ")]}":
            if not open_brackets or open_brackets.pop() != text[i]:
                return len(text)
            if not open_brackets:
                return i + 1
    return len(text)


class Lambda:
    """From `start` to `end`; the body, with its braces, begins at `body`."""

    def __init__(self, text, match):
        self.start = match.start()
        self.captures = (match.group("captures") or "").strip()
        place = match.end()
        while place < len(text) and text[place].isspace():
            place += 1
        if place < len(text) and text[place] == "(":
            place = end_of_group(text, place)
        self.body = text.find("{", place)
        if self.body < 0 or re.search(r"[;)}]", re.sub(r"\([^()]*\)", "", text[place:self.body])):
            self.body = -1
            return
        self.returns = text[place:self.body]
        self.end = end_of_group(text, self.body)

    def is_one(self):
        return self.body >= 0

    def owns(self):
        """Whether it captures by value, so that it may have a destructor."""
        return any(c and not c.startswith("&") and c not in ("this", "*this")
                   for c in (part.strip() for part in self.captures.split(",")))


def lambdas_in(text):
    found = (Lambda(text, match) for match in LAMBDA.finditer(text))
    return [one for one in found if one.is_one()]


def statements(text):
    """(offset, code) of each full expression. The bodies of lambdas are blank in the statement
    around them, because their contents are separate statements."""
    bodies = [(one.body, one.end) for one in lambdas_in(text)]
    starts = {start: end for start, end in bodies}

    def split(start, end):
        place, code = start, []
        depth = 0
        i = start
        while i < end:
            if i in starts:
                stop = min(starts[i], end)
                yield from split(i + 1, stop - 1)
                code.append(re.sub(r"[^\n]", " ", text[i:stop]))
                i = stop
                continue
            c = text[i]
            depth += (c in "([") - (c in ")]")
            if c in ";{}" and depth <= 0:
                yield place, "".join(code)
                place, code, depth = i + 1, [], 0
            else:
                code.append(c)
            i += 1
        yield place, "".join(code)

    yield from split(0, len(text))


# What may own memory: a name that is not a designator, a type or a qualified constant.
OWNER = re.compile(r"(?<![\w.:])(?!true\b|false\b|nullptr\b)[A-Za-z_]\w*\b(?!\s*(?:::|\w))")


def braced_temporaries(code):
    """The offsets of braced lists in the arguments of a full expression, not its declarations."""
    for match in re.finditer(r"\{", code):
        before = code[:match.start()].rstrip()
        inside = code[match.start():end_of_group(code, match.start())][1:-1]
        named = re.search(r"((?:\w+::)*\w+)(?:<[^<>()]*>)*$", before)
        is_argument = named or before.endswith(("(", ",", "{"))
        if is_argument and OWNER.search(inside) and not (named and named[1].startswith("std::")):
            yield match.start()


# A statement that is nothing but an awaited call of one of these functions.
TAKES = re.compile(
    r"\s*co_await\s+(?P<of>[\w.:>\-\s()\[\]*]*?)(?:\.|->)"
    r"(?P<call>lock|lock_shared|reserve|acquire)\s*(?=\()")
SEMAPHORE = r"semaphore\s*[&*]?\s+(?:\w+,\s*)*%s\b"


def drops_what_it_takes(code, text):
    """The name of the call whose guard or permit the statement drops, or None."""
    match = TAKES.match(code)
    if not match:
        return None
    end = end_of_group(code, match.end())
    if code[end:].strip():
        return None
    call = match["call"]
    if call != "acquire" or has_two_arguments(code[match.end() + 1:end - 1]):
        return call
    name = re.search(r"(\w+)\s*$", match["of"])
    return call if name and re.search(SEMAPHORE % re.escape(name[1]), text) else None


def has_two_arguments(arguments):
    depth = 0
    for c in arguments:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            return True
    return False


HEAD = re.compile(r"\b(?:if|while|switch)\s*(?=\()")
VARIABLE = re.compile(
    r"(?:^|[;{}()])\s*(?!(?:break|case|co_await|co_return|co_yield|continue|default|delete|else"
    r"|goto|return|throw|using)\b)"
    r"(?:(?:const|static|constexpr)\s+)*[A-Za-z_][\w:]*(?:<[^;{}]*?>)?(?:\s+|\s*[&*]+\s*)"
    r"(?:[A-Za-z_]\w*\s*[=;{(,:\[]|\[\w, ]+\]\s*=)")


def coroutine_bodies(text, known):
    """(start, code) of the body of each function and lambda that awaits; the bodies of lambdas in
    it are blank."""
    starts = [one.body for one in known]
    for match in re.finditer(r"\)(?:\s|const\b|noexcept\b|override\b|->[^;{}()]*)*\{", text):
        opening = match.start()
        depth = 0
        while opening > 0:
            depth += (text[opening] == ")") - (text[opening] == "(")
            if depth == 0:
                break
            opening -= 1
        word = re.search(r"(\w+|[\])>])\s*$", text[max(0, opening - 80):opening])
        if word and word[1] not in ("if", "while", "for", "switch", "catch", "]"):
            starts.append(match.end() - 1)
    for start in sorted(set(starts)):
        end = end_of_group(text, start)
        code = text[start:end]
        for one in known:
            if start < one.body and one.end <= end:
                inner = re.sub(r"[^\n]", " ", text[one.body:one.end])
                code = code[:one.body - start] + inner + code[one.end - start:]
        if "co_await" in code:
            yield start, code


def awaited_in_conditions_only(code):
    """The offset of the first co_await, if no variable and no other co_await exists; else None."""
    heads = [(h.end(), end_of_group(code, h.end())) for h in HEAD.finditer(code)]
    awaits = [match.start() for match in re.finditer(r"\bco_await\b", code)]
    if not all(any(start < place < end for start, end in heads) for place in awaits):
        return None
    return None if VARIABLE.search(code[1:]) else awaits[0]


def findings_in(source):
    """(line, message) of each finding."""
    text = NOT_CODE.sub(blank, source)
    lines = source.splitlines()
    found = set()

    def report(place, message):
        line = text.count("\n", 0, place) + 1
        if OFF not in lines[line - 1]:
            found.add((line, message))

    known = lambdas_in(text)
    for place, code in statements(text):
        awaited = re.search(r"\bco_await\b", code)
        if not awaited:
            continue
        dropped = drops_what_it_takes(code, text)
        if dropped:
            report(place + awaited.start(),
                   f"what {dropped}() returns is dropped: give the guard, permit or bool a name")
        for choice in re.finditer(r"\?", code):
            report(place + choice.start(), f"choice beside co_await: {NAME_FIRST}")
        for start in braced_temporaries(code):
            report(place + start, f"braced temporary beside co_await: {NAME_FIRST}")
        thrown = re.search(r"\bthrow\b", code)
        if thrown and thrown.start() < awaited.start():
            report(place + thrown.start(),
                   "throw of what co_await gives: g++ before 13 destroys it twice: name the value "
                   "first")
        for one in known:
            inside = place <= one.start < place + len(code) and code[one.start - place] == "["
            if inside and one.owns() and is_argument(text, one):
                report(one.start, f"lambda with captures beside co_await: {NAME_FIRST}")
    for start, code in coroutine_bodies(text, known):
        awaited = awaited_in_conditions_only(code)
        if awaited is not None:
            report(start + awaited,
                   "a coroutine without variables awaits in conditions only: g++ before 13 gives "
                   "it a wrong frame: name the value first")
    for one in known:
        if one.captures and is_called_for_later(text, one):
            report(one.start,
                   "a coroutine reads captures of a lambda that is gone: write f(...) with the "
                   "lambda itself, as in spawn([x]() -> task<> { ... }), or name the lambda")
    return sorted(found)


def is_argument(text, one):
    """Whether it is a temporary of the expression, not a value that is assigned to a name."""
    return not re.search(r"(?<![=!<>])=\s*$", text[max(0, one.start - 80):one.start])


def is_called_for_later(text, one):
    if not re.match(r"\s*\(", text[one.end:]):
        return False
    if not (re.search(r"->\s*(?:\w+::)*task\b", one.returns) or
            re.search(r"\bco_(await|return)\b", text[one.body:one.end])):
        return False
    before = text[max(0, one.start - 200):one.start]
    return not re.search(r"(\bco_await|\brun(_\w+)?\s*\()\s*\(*\s*$", before)


def sources(names):
    for name in map(pathlib.Path, names):
        if name.is_dir():
            yield from (f for f in sorted(name.rglob("*")) if f.suffix in SUFFIXES)
        else:
            yield name


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    status = 0
    for path in sources(sys.argv[1:]):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            print(f"{path}: cannot be read: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        for line, message in findings_in(text):
            print(f"{path}:{line}: {message}")
            status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
