"""Finds the sentences of a Markdown file, and those of docstrings, comments and errors in Python.

Other text is replaced by blanks of the same length.  An offset in the blanked text is therefore an
offset in the original, and a line number can be given.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCSTRING, COMMENT, MESSAGE = "docstring", "comment", "message"

SHORTEST = 3
"""A text of fewer words is a label and not a sentence."""

MESSAGE_CALLS = re.compile(
    r"(?:Error|Exception|Warning|Refused|Exit|make_report|_report|problem|refuse|fail|warn|die"
    r"|_say|_wrong|^note|^error|Finding|^Wrong|Facts)$",
    re.IGNORECASE,
)
"""Names of functions and classes whose string arguments a user reads."""

MESSAGE_KEYWORDS = {"help", "epilog", "message", "description", "fix", "remedy", "stops"}
"""Names of arguments whose strings a user reads in every function."""

MESSAGE_NAMES = re.compile(r"^(?:message|problem|reason|fix|hint|advice|why|late|REMEDY|STOPS)$")
"""Names of variables whose strings a user reads."""

MESSAGE_FUNCTIONS = re.compile(r"problem|message|reason|_fix|_hint|_why|advice")
"""Names of functions that return strings for a user."""


@dataclass(frozen=True)
class Sentence:
    """A sentence, as a reader sees it."""

    part: str
    """``text`` in Markdown; in Python one of DOCSTRING, COMMENT and MESSAGE."""
    line: int
    text: str
    plain: str
    """The text with inline code, link targets and emphasis taken out."""

    @property
    def words(self) -> int:
        """Count words; inline code is one word."""
        return len(re.findall(r"[^\s]*\w[^\s]*", self.plain))


def of_markdown(source: str) -> list[Sentence]:
    """Return the sentences of paragraphs, list items and quotations.

    Headings, tables, code blocks, comments and inline code are not prose.
    """
    text = re.sub(r"<!--.*?-->|^```.*?^```", _blank, source, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(?:#|\||    ?\S*\|).*$", _blank, text, flags=re.MULTILINE)
    text = re.sub(r"^\[[^\]]+\]: .*$", _blank, text, flags=re.MULTILINE)
    text = re.sub(r"^> ?", _blank, text, flags=re.MULTILINE)
    return list(_sentences("text", source, text, 1))


def of_python(source: str) -> list[Sentence]:
    """Return the sentences of docstrings, comments and error messages.

    Raises:
        SyntaxError: *source* is not Python.
    """
    tree = ast.parse(source)
    found = [*_docstrings(tree), *_comments(source), *_messages(tree)]
    return sorted(found, key=lambda sentence: sentence.line)


def _docstrings(tree: ast.AST) -> Iterator[Sentence]:
    """A string that is a statement documents a module, class, function or variable."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            text = node.value.value
            blanked = re.sub(r"^ *(?:>>>|\.\.\. |\$ |\|).*$", _blank, text, flags=re.MULTILINE)
            # Text behind a colon that is indented further is a literal block; "===" makes a table.
            blanked = re.sub(r"(?<=:\n)\n(?: {4,}\S.*\n)+", _blank, blanked)
            blanked = re.sub(r"^ *===(?:.+\n)+", _blank, blanked, flags=re.MULTILINE)
            # So do cells with three spaces between them.
            blanked = re.sub(r"^ +\S.*\S {3,}\S.*$", _blank, blanked, flags=re.MULTILINE)
            # "Args:" and the like are headings, and "name: text" is an item of such a list.
            blanked = re.sub(r"^ *[A-Z]\w+:$", _blank, blanked, flags=re.MULTILINE)
            blanked = re.sub(r"^ +\*?\w+: ", _as_item, blanked, flags=re.MULTILINE)
            yield from _sentences(DOCSTRING, text, blanked, node.lineno)


def _comments(source: str) -> Iterator[Sentence]:
    """Comments in lines that follow each other are one text."""
    block: list[str] = []
    first = last = column = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, at = token.start
        alone = not token.line[:at].strip()
        if block and not (alone and line == last + 1 and at == column):
            yield from _sentences(COMMENT, "\n".join(block), "\n".join(block), first)
            block = []
        if not block:
            first, column = line, at
        block.append(_comment_text(token.string))
        last = line
    yield from _sentences(COMMENT, "\n".join(block), "\n".join(block), first)


def _comment_text(comment: str) -> str:
    """Remove the part for a tool; the reason behind it stays."""
    text = comment.lstrip("#!: ").rstrip()
    text = re.sub(r"^(?:noqa|type|pragma|fmt|ruff|mypy)\b[^-#]*(?:[-#] *|$)", "", text)
    return re.sub(r"# noqa.*", "", text)


def _messages(tree: ast.AST) -> Iterator[Sentence]:
    """Yield the sentences in arguments, variables and returned values with known names."""
    values: dict[int, ast.expr] = {}
    for node in ast.walk(tree):
        found: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found = [keyword.value for keyword in node.keywords if keyword.arg in MESSAGE_KEYWORDS]
            found += node.args if MESSAGE_CALLS.search(name) else []
        elif isinstance(node, ast.Assign):
            named = [t.id for t in node.targets if isinstance(t, ast.Name)]
            found = [node.value] if any(map(MESSAGE_NAMES.match, named)) else []
        elif isinstance(node, ast.FunctionDef) and MESSAGE_FUNCTIONS.search(node.name):
            returns = (part for part in ast.walk(node) if isinstance(part, ast.Return))
            found = [part.value for part in returns if part.value is not None]
        # A string in a variable that a call takes, or in a call in a call, counts once.
        values.update((id(part), part) for value in found for part in _parts(value))
    for value in values.values():
        text = _string(value)
        if text is not None:
            yield from _sentences(MESSAGE, text, text, value.lineno)


def _parts(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the strings of a list, of a conditional expression, or the value itself."""
    if isinstance(value, ast.List | ast.Tuple):
        for item in value.elts:
            yield from _parts(item)
    elif isinstance(value, ast.IfExp):
        yield from (*_parts(value.body), *_parts(value.orelse))
    elif isinstance(value, ast.GeneratorExp):
        yield from _parts(value.elt)
    else:
        yield value


def _string(node: ast.expr) -> str | None:
    """Return the text of a string; an inserted value is one word of code."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "`value`" for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _string(node.left), _string(node.right)
        return (left or "`value`") + (right or "`value`")
    return None


_ITEM = re.compile(r"^[ \t]*(?:[-*+]|\d+[.)]) +", re.MULTILINE)
_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)(?<!\.\.)[.!?][)\"'*_]*(?=\s|$)")


def _sentences(part: str, original: str, text: str, first_line: int) -> Iterator[Sentence]:
    text = re.sub(r"`+[^`]+?`+", lambda code: _fill(code[0], "X"), text)
    text = re.sub(r"!?\[", _blank, text)
    text = re.sub(r"\]\([^)]*\)|\]\[[^\]]*\]|\]", _blank, text)
    text = re.sub(r"\*\*|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", _blank, text)
    text = _ITEM.sub(lambda item: _fill(item[0], "\0"), text)
    for block in re.finditer(r"[^\0\s](?:(?!\n[ \t]*\n)[^\0])*", text):
        start = block.start()
        for end in [*(found.end() for found in _END.finditer(block[0])), len(block[0])]:
            piece = slice(start, block.start() + end)
            start = block.start() + end
            sentence = Sentence(
                part,
                first_line + original[: piece.stop - len(text[piece].lstrip())].count("\n"),
                " ".join(original[piece].split()).lstrip("*_ "),
                " ".join(text[piece].split()),
            )
            if sentence.words >= SHORTEST:
                yield sentence


def _blank(found: re.Match[str]) -> str:
    return _fill(found[0], " ")


def _as_item(found: re.Match[str]) -> str:
    return _fill(found[0], "\0")


def _fill(text: str, character: str) -> str:
    """Replace all but line ends."""
    return re.sub(r"[^\n]", character, text)
