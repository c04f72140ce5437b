# SPDX-License-Identifier: MIT
"""Reads the headers for authors of programs: their declarations, comments, fields and examples.

Knows the form that clang-format gives to this project's headers, not all of C++.

    Declaration   what a program can name in namespace ringlet, with the comment above it
    Field         `/// Errors    text`: a part of a comment with a name of its own
    Example       code in a comment, four columns further right than its text
"""

import dataclasses
import re

# The fields that every comment has in this order, after those of its own.
FIELDS = ["Errors", "Cancellation", "Lifetime", "Thread", "Memory", "Kernel"]
FIELD_COLUMN = 10  # of the text of a field, and of its further lines
EXAMPLE_COLUMN = 4

FIELD = re.compile(r"(?P<name>[A-Z]\w*)(?P<gap>  +)(?P<text>\S.*)")
TEMPLATE = re.compile(r"template\s*<")
WORDS_BEFORE_CLASS = r"(?:\[\[.*?\]\]\s*|final\b\s*|alignas\(.*?\)\s*)*"


@dataclasses.dataclass
class Declaration:
    kind: str  # class, struct, enum, enumerator, function, variable, alias, concept, macro
    name: str
    line: int
    head: str  # its text without comments, up to its body
    comment: list  # lines without slashes and the space behind them; empty if there is none
    comment_line: int = 0
    outer: "Declaration | None" = None
    members: list = dataclasses.field(default_factory=list)  # public ones
    hidden: list = dataclasses.field(default_factory=list)  # heads of all other members
    body: str = ""

    def full_name(self):
        return f"{self.outer.full_name()}::{self.name}" if self.outer else self.name

    def bases(self):
        """The names of its bases, with their namespaces, without template arguments."""
        _, _, after = self.head.partition(" : ")
        while re.search(r"<[^<>]*>", after):
            after = re.sub(r"<[^<>]*>", "", after)
        return re.findall(r"(?:public|private|protected|,|^)\s*(?!public|private)([\w:]+)", after)


@dataclasses.dataclass
class Example:
    line: int
    code: list  # lines


def comment_text(line):
    """The text of a line of comment, without its slashes; None for other lines."""
    match = re.match(r"\s*///?(?!/|<)(?: (.*)|$)", line)
    return None if match is None else (match[1] or "")


def fields_of(comment):
    """(name, index of the line) of each field."""
    found = []
    for index, line in enumerate(comment):
        match = FIELD.match(line)
        if match:
            found.append((match["name"], index))
    return found


def blocks_of(lines, first_line):
    """The examples in the text of a comment. Empty lines divide one only if text follows."""
    block, empty = None, 0
    for index, line in enumerate([*lines, "end"]):
        indent = len(line) - len(line.lstrip())
        begins = block is None and indent >= EXAMPLE_COLUMN and not lines[index - 1].strip()
        if begins and index > 0:
            block, column, empty = Example(first_line + index, []), indent, 0
        if block is None:
            continue
        if not line.strip():
            empty += 1
        elif indent >= column:
            block.code += [""] * empty + [line[column:]]
            empty = 0
        else:
            yield block
            block = None


def head_comment(lines):
    """The lines of the comment at the beginning of a file, without slashes and the license."""
    texts = []
    for line in lines:
        text = comment_text(line)
        if text is None or text.startswith("SPDX-"):
            break
        texts.append(text)
    return texts


def examples_of(text):
    """All examples of a header, in its order."""
    lines = text.split("\n")
    head = head_comment(lines)
    yield from blocks_of(head, 1)
    block, first = [], 0
    for number, line in enumerate(lines[len(head) :] + [""], len(head) + 1):
        shown = comment_text(line) if re.match(r"\s*///", line) else None
        if shown is None:
            yield from blocks_of(block, first)
            block = []
        else:
            first = first if block else number
            block.append(shown)


def without_comments(text):
    """The text with comments, literals and most directives blanked; all offsets are kept."""
    literal = r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|' + r"(?<!\w)'(?:\\.|[^'\\\n])+'"
    text = re.sub(rf"//[^\n]*|/\*.*?\*/|{literal}", blanked, text, flags=re.S)
    return re.sub(r"^#(?!define RINGLET_)(.*\\\n)*.*", blanked, text, flags=re.M)


def blanked(match):
    return re.sub(r"[^\n]", " ", match[0])


class Reader:
    """Walks through one header."""

    def __init__(self, text):
        self.lines = text.split("\n")
        self.code = without_comments(text)
        self.at = 0

    def line_at(self, offset):
        return self.code.count("\n", 0, offset) + 1

    def comment_above(self, line):
        """The /// lines directly above a line, and the number of the first."""
        first = line
        while first > 1 and re.match(r"\s*///(?!<)", self.lines[first - 2]):
            first -= 1
        return [comment_text(text) for text in self.lines[first - 1 : line - 1]], first

    def skip_group(self):
        """From an opening bracket to behind the one that closes it."""
        depth = 0
        while self.at < len(self.code):
            depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(self.code[self.at], 0)
            self.at += 1
            if depth == 0:
                return

    def next_head(self):
        """(text, offset, end) of the next declaration, up to its ; or {; end is also } or None."""
        while self.at < len(self.code) and self.code[self.at].isspace():
            self.at += 1
        begin = self.at
        if self.code.startswith("#define", begin):
            self.at = self.code.find("\n", begin)
            return self.code[begin : self.at], begin, ";"
        while self.at < len(self.code):
            char = self.code[self.at]
            head = self.code[begin : self.at]
            if char in "([":
                self.skip_group()
            elif char == "{" and re.search(r"=\s*$|\brequires\s*(\(.*\)\s*)?$|\w$", head) and (
                self.is_no_body(head)
            ):
                self.skip_group()
            elif char in "{};":
                return head, begin, char
            elif char == ":" and re.fullmatch(r"\s*(public|protected|private)\s*", head):
                self.at += 1
                return head.strip() + ":", begin, ":"
            else:
                self.at += 1
        return "", begin, None

    @staticmethod
    def is_no_body(head):
        """Whether a { behind this text begins a value or a requirement."""
        if re.search(r"=\s*$|\brequires\s*(\([^()]*\)\s*)?$", head):
            return True
        if re.search(r"\b(class|struct|enum|union|namespace)\b", re.sub(r"<[^<>]*>", "", head)):
            return False
        return "(" not in head and bool(re.search(r"\w\s+\w+$", head))

    def read(self):
        """The declarations in namespace ringlet."""
        found = []
        while True:
            head, begin, end = self.next_head()
            if end is None:
                return found
            namespace = re.match(r"\s*namespace\s+([\w:]+)", head)
            if namespace and end == "{":
                if namespace[1] == "ringlet":
                    self.at += 1
                    self.read_members(found, None)
                else:
                    self.skip_group()
            elif end == "{":
                self.skip_group()
            else:
                if head.startswith("#define"):
                    self.add(found, None, head, begin, "")
                self.at += 1

    def read_members(self, found, outer):
        """Everything up to the } that ends a namespace or a class."""
        public = outer is None or outer.kind in ("struct", "enum")
        while True:
            head, begin, end = self.next_head()
            if end in ("}", None):
                if head.strip() and outer is not None and outer.kind == "enum":
                    self.add(found, outer, head, begin, "")
                self.at += 1
                return
            if end == ":":
                public = head == "public:"
                continue
            members, body = [], ""
            opened = self.at
            if end == "{":
                kind = self.kind_of(head)
                if kind in ("class", "struct"):
                    inner = Declaration(kind, "", 0, head, [], outer=outer)
                    self.at += 1
                    self.read_members(inner.members, inner)
                    members, hidden = inner.members, inner.hidden
                elif kind == "enum":
                    self.at += 1
                    members = self.read_enumerators()
                else:
                    self.skip_group()
                # The rest of a list of initialisers.
                while kind == "function" and re.match(r"\s*[,{]", self.code[self.at :]):
                    self.next_head()
                    self.skip_group()
                body = self.code[opened : self.at]
                if kind not in ("function", "concept"):
                    self.next_head()
                    self.at += 1
            else:
                self.at += 1
            if not public:
                outer.hidden.append(head)
                continue
            made = self.add(found, outer, head, begin, body)
            if made is not None and members:
                for member in members:
                    member.outer = made
                made.members = members
                if made.kind in ("class", "struct"):
                    made.hidden = hidden
            elif made is not None and end == "{" and made.kind in ("class", "struct"):
                made.hidden = hidden

    def read_enumerators(self):
        members = []
        while self.code[self.at] != "}":
            match = re.compile(r"\s*(\w+)[^,{}]*,?\s*").match(self.code, self.at)
            if match is None:
                break
            line = self.line_at(match.start(1))
            comment, first = self.comment_above(line)
            members.append(Declaration("enumerator", match[1], line, match[1], comment, first))
            self.at = match.end()
        self.at += 1
        return members

    @staticmethod
    def kind_of(head):
        plain = without_template(head)
        match = re.match(rf"\s*(?:friend\s+)?(class|struct|enum|union)\b", plain)
        if match and "(" not in re.sub(r"\[\[.*?\]\]|alignas\(.*?\)|__\w+\(.*?\)", "", plain):
            return match[1]
        return "function"

    def add(self, found, outer, head, begin, body):
        declared = named(head)
        if declared is None:
            return None
        kind, name = declared
        line = self.line_at(begin)
        comment, first = self.comment_above(line)
        made = Declaration(kind, name, line, " ".join(head.split()), comment, first, outer)
        made.body = body
        found.append(made)
        return made


def without_template(head):
    """The head without `template <...>` and the requirements behind it."""
    plain = head.strip()
    while TEMPLATE.match(plain):
        depth, at = 0, plain.index("<")
        while at < len(plain):
            # What clang-format makes of `A<B> && C` counts, too.
            depth += {"<": 1, ">": -1}.get(plain[at], 0) if plain[at - 1 : at + 1] != "->" else 0
            at += 1
            if depth == 0:
                break
        plain = plain[at:].strip()
    return plain


def without_arguments(text):
    """The text without template arguments."""
    text = re.sub(r"operator\s*(<=>|<<|>>|->|<|>)", "operator_", text).replace("->", "")
    while re.search(r"<[^<>]*>", text):
        text = re.sub(r"<[^<>]*>", "", text)
    return text


def named(head):
    """(kind, name) of what is declared, or None if no program names it."""
    plain = without_template(" ".join(head.split()))
    if re.match(r"(static_assert|friend (class|struct)|using namespace|namespace|extern)\b", plain):
        return None
    short = re.match(r"(#define|concept|using) (\w+)( =|\b)", plain)
    if short and (short[1] != "using" or short[3] == " ="):
        return {"#define": "macro", "concept": "concept", "using": "alias"}[short[1]], short[2]
    if plain.startswith("using "):
        return None  # Declared, and described, where the name comes from.
    operator = re.search(r"\boperator\s*(\(\)|[^\s\w(]+|[^(]+?)\s*\(", plain)
    plain = without_arguments(plain)
    scope = re.match(rf"(class|struct|enum|union)(?: class)? {WORDS_BEFORE_CLASS}([\w:]+)", plain)
    if scope and Reader.kind_of(plain) != "function":
        return scope[1], scope[2]
    if operator:
        return "function", f"operator{' ' if operator[1][0].isalpha() else ''}{operator[1]}"
    keywords = "requires|noexcept|explicit|decltype|alignas|sizeof"
    function = re.search(rf"(?<![\w:])(?!(?:{keywords})\b)(~?[\w:]*~?\w+)\s*\(", plain)
    if function and "=" not in plain[: function.start()]:
        return "function", function[1]
    variable = re.search(r"([\w:]+)\s*(?:=.*|\[.*\]|\{.*\})?$", plain)
    return ("variable", variable[1]) if variable else None


def declarations(text):
    return Reader(text).read()
