"""Documents: YAML text as plain data that remembers its lines.

Reads YAML 1.2 from the parser's events, so that a scalar keeps its own text (`22:00`, `on` and `no`
are words, 2.50 stays the decimal 2.50), and keys are always text. Refused: duplicate keys, tags,
merge keys, several documents, and whatever is too large, too deep or multiplied by aliases. Knows
nothing of what the settings mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from budgetd.config.problems import ConfigError, Path, Problem, did_you_mean, shown

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000  # with aliases multiplied out

INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
DECIMAL = re.compile(r"[-+]?([0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})")
WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip  # a table of the YAML 1.2 core schema reads best in rows


@dataclass(slots=True)
class Node:
    """A piece of the document: a scalar, a list or a map. `weight` counts the nodes below, aliases
    multiplied out.
    """

    line: int
    scalar: Any = None
    items: list[Node] | None = None
    entries: dict[str, tuple[int, Node]] | None = None
    weight: int = 1
    pending: tuple[int, str] | None = field(
        default=None, repr=False
    )  # a key that waits for its value
    anchor: str | None = None

    def plain(self) -> Any:
        """The data without its lines."""
        if self.entries is not None:
            return {name: node.plain() for name, (_, node) in self.entries.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.scalar


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `name` is what errors call it."""

    name: str
    root: Node

    def data(self) -> Any:
        """Dicts, lists, text, integers, Decimals, booleans and None; an empty file is a map."""
        data = self.root.plain()
        return {} if data is None else data

    def line(self, path: Path) -> int | None:
        """The line of a setting, or of the nearest thing around it that the file has. None: not in
        this file at all.
        """
        node, line = self.root, None
        for part in path:
            if node.entries is not None and str(part) in node.entries:
                line, node = node.entries[str(part)]
            elif node.items is not None and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
                line = node.line
        return line


class _Broken(Exception):
    """Stops the reading of a document."""

    def __init__(self, line: int | None, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


def parse(content: bytes | str, name: str) -> Document:
    """Read YAML 1.2. Raises ConfigError with the line; an empty document is an empty map."""
    problems: list[Problem] = []
    try:
        root = _compose(_events(_text(content)), name, problems)
    except _Broken as broken:
        problem = Problem("", broken.line, broken.message, broken.hint, name)
        raise ConfigError((*problems, problem)) from None
    if problems:
        raise ConfigError(problems)
    return Document(name, root)


def _text(content: bytes | str) -> str:
    if len(content) > MAX_BYTES:
        raise _Broken(None, "the file is larger than 1 MiB; this cannot be a configuration")
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Broken(content[: error.start].count(b"\n") + 1, "not UTF-8 text") from None


def _events(text: str) -> Iterator[Event]:
    reader = YAML(typ="safe", pure=True)
    try:
        yield from reader.parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = re.sub(
            r"(['\"])(?!<)[^'\"\s]{9,}\1", "(hidden)", str(error.problem or "cannot be read")
        )
        hint = "indent with spaces, not tabs" if "\\t" in what else ""
        raise _Broken(mark.line + 1 if mark else None, f"not valid YAML: {what}", hint) from None
    except YAMLError:
        raise _Broken(
            None, "not valid YAML: it has a character that no YAML text may have"
        ) from None
    except (ValueError, IndexError, AttributeError, AssertionError, NotImplementedError):
        # The parser's own accidents on broken input: still the owner's text, no traceback.
        raise _Broken(None, "not valid YAML") from None


class _Composer:
    """Builds the tree from events on a stack of its own: depth is a limit here, not the
    interpreter's.
    """

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.name, self.problems = name, problems
        self.stack: list[Node] = []
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None

    def open(self, node: Node) -> None:
        """A list or map begins."""
        if len(self.stack) >= MAX_DEPTH:
            raise _Broken(node.line, f"nested deeper than {MAX_DEPTH} levels")
        self.stack.append(node)

    def close(self) -> None:
        """The innermost list or map ends."""
        node = self.stack.pop()
        if node.anchor:
            self.anchors[node.anchor] = node
        self.add(node)

    def add(self, node: Node) -> None:
        """A finished node goes into what is open, as an item, a key or a value."""
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if parent.items is not None:
            parent.items.append(node)
        elif parent.pending is None:
            raise _Broken(node.line, "a key must be a word, not a list or a map")
        else:
            assert parent.entries is not None
            line, key = parent.pending
            parent.pending = None
            if key in parent.entries:
                first = parent.entries[key][0]
                message = f"{shown(key)} is written twice, here and on line {first}"
                self.problems.append(Problem("", line, message, "keep one of them", self.name))
            parent.entries[key] = (line, node)
        parent.weight += node.weight
        if parent.weight > MAX_NODES:
            raise _Broken(node.line, "too many values (aliases multiply)")

    def key(self, line: int, text: str) -> bool:
        """Take a scalar as the next key, if a key is due."""
        parent = self.stack[-1] if self.stack else None
        if parent is None or parent.entries is None or parent.pending is not None:
            return False
        if text == "<<":
            raise _Broken(
                line,
                "merge keys (<<) are not part of YAML 1.2",
                "repeat the lines, or use a key pattern",
            )
        parent.pending = (line, text)
        return True

    def alias(self, line: int, anchor: str) -> None:
        """A reference to a finished node."""
        node = self.anchors.get(anchor)
        if node is None:
            raise _Broken(
                line,
                f"*{shown(anchor)} has no &{shown(anchor)} before it",
                did_you_mean(anchor, self.anchors),
            )
        self.add(node)


def _compose(events: Iterator[Event], name: str, problems: list[Problem]) -> Node:
    composer = _Composer(name, problems)
    documents = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Broken(
                    line, "a second document begins here (---)", "one file holds one configuration"
                )
        elif isinstance(event, AliasEvent):
            composer.alias(line, str(event.anchor))
        elif isinstance(event, NodeEvent):
            _node(composer, event, line)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            composer.close()
    return composer.root or Node(1, entries={})


def _node(composer: _Composer, event: NodeEvent, line: int) -> None:
    if getattr(event, "tag", None):
        raise _Broken(line, "tags (!...) are not used in a configuration")
    anchor = str(event.anchor) if event.anchor else None
    if isinstance(event, MappingStartEvent):
        composer.open(Node(line, entries={}, anchor=anchor))
    elif isinstance(event, SequenceStartEvent):
        composer.open(Node(line, items=[], anchor=anchor))
    elif isinstance(event, ScalarEvent):
        if composer.key(line, event.value):
            return
        value = event.value if event.style in ("'", '"', "|", ">") else scalar(event.value)
        node = Node(line, scalar=value, anchor=anchor)
        if anchor:
            composer.anchors[anchor] = node
        composer.add(node)


def scalar(text: str) -> str | int | Decimal | bool | None:
    """What an unquoted scalar means: YAML 1.2's core schema, with decimals exact and without
    exponents, infinities or hex.
    """
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text):
        return Decimal(text)
    return text
