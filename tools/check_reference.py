#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Finds what the headers for authors of programs do not say, or say in another form.

usage: check_reference.py SOURCE_ROOT [COMPONENT...]

Prints one line per finding, `file:line: what is missing: what to write`, and exits with 1 if there
are any. It checks the headers of the named components, or of all.

What it asks for:
  head        a header begins with `// name: what it is.` and has an example, in the comment there
              or in that of a class or function: code that is four columns further right.
  comments    whatever a program can name has a comment of three slashes, or stands below an
              overload that has one. What the language or the standard library prescribes needs
              none: copying, comparing, an iterator's types, the protocol of a wait.
  fields      parts of a comment with a name: `/// Errors    text`. Those that most calls have come
              last and in this order: Errors, Cancellation, Lifetime, Thread, Memory, Kernel. Text
              begins ten columns right of the name, or two behind it; further lines begin there, at
              ten columns.
  Errors, Cancellation  of each function that waits: of its own, of an overload, or of its class.
  Lifetime, Thread      of each class that is not a value. A value can be copied without code of its
              own, and refers to nothing.

A class has the fields of its bases, and of the class that it is declared in, too.
"""

import pathlib
import re
import sys

import headers

STANDARD_FIELDS = set(headers.FIELDS)
OLD_FIELD = re.compile(rf"(?:^|[.)] )({'|'.join(headers.FIELDS)}|Overlap|Signals): ")
# Names and operators that are prescribed, so that a comment could only repeat the standard.
PRESCRIBED = {"promise_type", "value_type", "operator=", "operator==", "operator<=>"}
# Calls of these types wait. A deduced type counts if the body makes a task.
WAITS = re.compile(
    r"\b((borrowing_)?task|\w+_wait|wait|waiting|arrival|async_generator|invoke_result_t)\b")


class Header:
    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        self.declared = headers.declarations(text)

    def comments(self):
        """(lines without slashes, number of the first) of each comment."""
        head = headers.head_comment(self.lines)
        yield head, 1
        block, first = [], 0
        for number, line in enumerate(self.lines[len(head) :] + [""], len(head) + 1):
            text = headers.comment_text(line) if re.match(r"\s*///", line) else None
            if text is None:
                if block:
                    yield block, first
                block = []
            else:
                first = first if block else number
                block.append(text)


def all_declared(declared):
    for one in declared:
        yield one
        yield from all_declared(one.members)


class Reference:
    """All headers, and what is declared in them."""

    def __init__(self, files):
        self.headers = [Header(path, text) for path, text in files]
        self.classes = {}
        for header in self.headers:
            for one in all_declared(header.declared):
                if one.kind in ("class", "struct") and (one.comment or one.members):
                    self.classes.setdefault(one.name.split("::")[-1], one)
                    self.classes[one.full_name()] = one

    def fields(self, declared):
        """The names of the fields that are true of a class or function."""
        found = {name for name, _ in headers.fields_of(declared.comment)}
        if declared.kind in ("class", "struct"):
            for base in declared.bases():
                above = self.classes.get(base.split("::")[-1])
                if above is not None and above is not declared:
                    found |= self.fields(above)
            outer = self.classes.get(declared.name.rpartition("::")[0])
            if outer is not None:
                found |= self.fields(outer)
        if declared.outer is not None:
            found |= self.fields(declared.outer)
        return found

    def is_wait(self, declared):
        """Whether it is what a call returns to be awaited."""
        name = declared.name.split("::")[-1]
        if declared.kind not in ("class", "struct"):
            return declared.kind == "alias" and name.endswith("_wait")
        bases = [base.split("::")[-1] for base in declared.bases()]
        return bool(re.search(r"_wait$", name)) or any(
            re.search(r"wait$", base) or (base in self.classes and base != name
                                          and self.is_wait(self.classes[base]))
            for base in bases)  # fmt: skip


def findings_of(reference, header):
    yield from head_of(header)
    for comment, first in header.comments():
        yield from form_of(comment, first)
    yield from comments_of(reference, header.declared)
    yield from fields_of(reference, header.declared)


def head_of(header):
    stem = pathlib.PurePath(header.path).stem
    if not re.match(rf"// [^:\n]*\b{stem}[^:\n]*: \S", header.text):
        yield 1, f"begin with what the header declares: '// {stem}: what it is.'"
    if not any(headers.examples_of(header.text)):
        yield 1, "no example: write one, four columns further right than the text"


def form_of(comment, first):
    """The form of one comment."""
    order, column, before = [], 0, ""
    for number, line in enumerate(comment, first):
        indent = len(line) - len(line.lstrip())
        field = headers.FIELD.match(line)
        old = OLD_FIELD.search(line)
        if field:
            name = field["name"]
            column = max(headers.FIELD_COLUMN, len(name) + 2)
            if field.start("text") != column:
                yield number, f"the text of {name} begins in column {field.start('text')}: {column}"
            if name in order:
                yield number, f"{name} is there twice: write one field"
            after = [one for one in order if is_behind(one, name)]
            if after:
                yield number, f"{name} belongs before {after[0]}"
            order.append(name)
        elif old:
            yield number, f"'{old[1]}:' is not a field: write '{old[1]:<8}  text' in its own line"
        elif not line:
            column = 0
        elif column and indent < headers.FIELD_COLUMN:
            place = f"{indent}: {headers.FIELD_COLUMN}"
            yield number, f"a further line of {order[-1]} begins in column {place}"
        elif not before and 0 < indent < headers.EXAMPLE_COLUMN and not column:
            yield number, f"code begins in column {indent}: {headers.EXAMPLE_COLUMN}"
        before = line


def is_behind(name, other):
    places = {field: place for place, field in enumerate(headers.FIELDS)}
    return places.get(name, -1) > places.get(other, -1)


def comments_of(reference, declared, outer=None):
    """What has no comment."""
    known = set()  # classes that are described where they are defined
    if outer is None:
        known = {one.name for one in declared if one.comment}
    above, above_described = None, False
    for one in declared:
        group = {"operator->": "operator*"}.get(one.name, one.name)
        described = bool(one.comment) or (group == above and above_described)
        if not described and group != above and is_named(reference, one, outer, known):
            what = {"function": f"{one.name}()"}.get(one.kind, one.name)
            yield one.line, f"{what} has no comment: write what it is, or returns"
        above, above_described = group, described
        if one.members and not is_protocol(reference, one) and not is_specialised(one):
            yield from comments_of(reference, one.members, one)


def is_protocol(reference, one):
    """Whether the members of a class are those that the language prescribes."""
    is_iterator = any(member.name == "iterator_concept" for member in one.members)
    return is_iterator or reference.is_wait(one)


def is_named(reference, one, outer, known):
    """Whether a program names it, and no other comment describes it."""
    if one.name in PRESCRIBED or "= delete" in one.head or one.name.startswith("~"):
        return False
    if reference.is_wait(one) and one.kind == "alias":
        return False
    is_class = one.kind in ("class", "struct")
    if is_class and not one.body:  # Declared only: described where it is defined.
        defined = reference.classes.get(f"{one.outer.full_name()}::{one.name}" if outer else "")
        return outer is not None and not (
            defined is not None and (defined.comment or reference.is_wait(defined)))  # fmt: skip
    if "::" in one.name:
        return is_class and not reference.is_wait(one) and not reference.classes[one.name].comment
    if outer is not None and one.name == outer.name.split("::")[-1]:
        return not is_implicit_constructor(one)
    return True


def is_implicit_constructor(one):
    """Whether it constructs from nothing, or copies, or moves."""
    parameters = re.search(r"\((.*?)\)", one.head)[1]
    own = rf"(const )?{one.name}(<.*>)?&&?( \w+)?"
    return not parameters or bool(re.fullmatch(own, parameters))


def is_specialised(one):
    return bool(re.search(rf"\b{one.name}<", one.head.split(" : ")[0]))


def fields_of(reference, declared):
    for one in declared:
        fields = reference.fields(one)
        if one.kind in ("class", "struct"):
            if one.body and not reference.is_wait(one) and not is_value(one):
                for name in ("Lifetime", "Thread"):
                    if name not in fields:
                        yield one.line, f"{one.name} has no field {name}"
            if not reference.is_wait(one):
                yield from fields_of(reference, one.members)
        elif one.kind == "function" and waits(one):
            overloads = [other for other in declared if other.name == one.name]
            if next(other for other in overloads if waits(other)) is not one:
                continue
            fields = set().union(*(reference.fields(other) for other in overloads))
            for name in ("Errors", "Cancellation"):
                if name not in fields:
                    yield one.line, f"{one.name}() waits, and has no field {name}"


def waits(function):
    plain = headers.without_template(function.head)
    name = function.name
    is_constructor = function.outer is not None and function.outer.name.endswith(name)
    if "::" in name or "= delete" in plain or is_constructor or name.startswith("operator"):
        return False
    before, _, after = plain.partition(f"{name}(")
    trailing = re.search(r"->\s*([^{};]*)$", after)
    returned = trailing[1] if trailing else before
    made = re.search(r"\breturn (\w*task<|extend::\w+_wait)", function.body)
    return bool(WAITS.search(returned)) or ("auto" in before and not trailing and bool(made))


def is_value(one):
    """Whether it is copied without code of its own, and refers to nothing."""
    if any(base.startswith(("detail::", "extend::")) for base in one.bases()):
        return False
    for member in one.members:
        name = member.name
        if name.startswith("~") or name == "operator=":
            return False
        if name == one.name.split("::")[-1] and "(" in member.head and re.search(
            rf"\((const )?{name}(<.*>)?&&?[ )]", member.head
        ):
            return False
    return not any(re.search(r"\bunique_ptr\b|\w*owner\b", head) for head in one.hidden)


def public_headers(root):
    """(path, text) of each header for programs."""
    layers = ("core", "sched", "net")
    paths = [path for layer in layers for path in root.glob(f"{layer}/**/ringlet/*.hpp")]
    return [(str(path.relative_to(root)), path.read_text()) for path in sorted(paths)]


def component_of(path):
    return path.split("/ringlet/")[0]


def findings(files, components):
    reference = Reference(files)
    for header in reference.headers:
        if not components or component_of(header.path) in components:
            for line, message in sorted(findings_of(reference, header)):
                yield header.path, line, message


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.split("\n")[2])
    root = pathlib.Path(sys.argv[1]).resolve()
    count = 0
    for path, line, message in findings(public_headers(root), sys.argv[2:]):
        print(f"{path}:{line}: {message}")
        count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
