"""One entry of a history, in any dialect: bytes to a `core.transcript.Item`.

Whatever form the same content comes in, its digest is the same: order of keys, escapes and space
between, words as a string or as blocks, members that say nothing (null, false, empty), and cache
marks, which clients move about. What can become tokens is in the digest or counted in `moving`:
goose's clock (`<info-msg>`), which stands in another message each time. An entry that nobody can
read is somebody's words, so many bytes long. Which field holds the history is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xxhash import xxh3_64, xxh3_64_intdigest, xxh3_128, xxh3_128_digest

from budgetd.core.transcript import Author, Item, ToolCall, ToolResult
from budgetd.wire.content import (
    LONGEST_NAME,
    MOST_CALLS,
    UnreadableError,
    arguments_of,
    canonical,
    check_names,
    decoded,
    is_nothing,
    is_plain,
    kind_of,
    parts_of,
    squeezed,
    words_of,
)
from budgetd.wire.figures import members, text
from budgetd.wire.tools import is_failure, looks_up

_AUTHORS: dict[str, Author] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_THOUGHTS = frozenset({"reasoning", "compaction", "compaction_summary"})
_IDS = ("call_id", "tool_call_id", "tool_use_id", "id")
_ARGUMENTS = ("arguments", "input", "args", "action", "operation")
_ANSWERS = ("output", "result", "content")  # where a result given as an object has its words
_CALL, _OUTPUT = "_call", "_output"  # how types of entries end that are a call or its result
_MOVES, _MOVED = "<info-msg>", "</info-msg>"
_REMINDER = re.compile(r"\s*<([\w-]+)>.*</\1>\s*", re.DOTALL)  # in a tag: no person writes so


@dataclass(frozen=True, slots=True)
class Entry:
    """An item as it was read. `marked`: it carries a cache mark. `loose`: nothing is in it but
    parts that move, so that it is no item of its own.
    """

    item: Item
    marked: bool = False
    loose: bool = False


def read_entry(raw: memoryview, seed: int) -> Entry:
    """An entry of a history, whatever it is."""
    try:
        value = decoded(raw)
        check_names(bytes(raw), value)
        return _read(value, raw.nbytes, seed)
    except (UnreadableError, RecursionError):
        return Entry(opaque(raw, seed))


def opaque(raw: memoryview, seed: int) -> Item:
    """Bytes that nobody can read: somebody's words."""
    return Item("user", xxh3_128_digest(raw, seed), raw.nbytes)


class _Pen:
    """Writes the content of an entry down in one form, and hashes it."""

    __slots__ = ("_beside", "_item", "_result", "_words", "calls", "marked", "moving", "results",
                 "spoke", "written")  # fmt: skip  # one a line is half a screen

    def __init__(self, seed: int) -> None:
        self._item = xxh3_128(seed=seed)
        self._words = xxh3_64()
        self._beside: xxh3_64 | None = None
        self._result: xxh3_64 | None = None
        self.calls: list[ToolCall] = []
        self.results: list[ToolResult] = []
        self.marked = self.spoke = False
        self.moving = self.written = 0  # bytes

    def put(self, kind: bytes, data: bytes) -> None:
        """Hash one piece of content."""
        head = kind + len(data).to_bytes(8, "little")
        self._item.update(head)
        self._item.update(data)
        if self._result is not None:
            self._result.update(head)
            self._result.update(data)
        self.written += len(data)

    def members(self, value: Mapping[str, Any], *without: str) -> dict[str, Any]:
        """The members of an object that say something; cache marks do not."""
        self.marked = self.marked or "cache_control" in value
        return {
            name: member
            for name, member in value.items()
            if name != "cache_control" and name not in without and not is_nothing(member)
        }

    def part(self, part: Any) -> None:
        """A part of any message: words as such, anything else as its members."""
        told = self.members(part) if isinstance(part, dict) else part
        if isinstance(told, str) or (isinstance(told, dict) and is_plain(told)):
            if words := words_of(told):
                self.put(b"t", words.encode("utf-8", "surrogatepass"))
        else:
            self.put(b"v", canonical(told))

    def speak(self, words: str) -> None:
        """Words that were said, rather than thought or answered by a tool."""
        if said := squeezed(words):
            self.spoke = True
            self._words.update(said)
            if not _REMINDER.fullmatch(words):
                self._beside = self._beside or xxh3_64()
                self._beside.update(said)

    def call(self, told: Mapping[str, Any], name: str, given: Any) -> None:
        """A tool that was asked for."""
        if len(self.calls) >= MOST_CALLS:
            return
        name, arguments = name[:LONGEST_NAME], arguments_of(given)
        digest = xxh3_64_intdigest(canonical(arguments)) >> 1
        at = _id(told, name, len(self.calls))
        self.calls.append(ToolCall(at, name, digest, looks_up(name, arguments)))

    def result(self, told: Mapping[str, Any], content: Any, *, head: Mapping[str, Any]) -> None:
        """What a tool answered. `head` is what stands with it, and is not part of what it says."""
        before = self.written
        if head:
            self.put(b"v", canonical(head))
        self._result = xxh3_64()
        for part in parts_of(content):
            self.part(part)
        says, self._result = self._result.intdigest() >> 1, None
        self.put(b"e", b"")
        at = _id(told, text(told.get("name")) or "", len(self.results))
        failed = told.get("is_error") is True or _is_failed(content)
        if len(self.results) < MOST_CALLS:
            self.results.append(ToolResult(at, says, self.written - before, failed))

    def finish(self, author: Author, size: int) -> Item:
        """What was written. Results share the entry's bytes by how much they hold."""
        shares = [
            replace(one, size=size * one.size // max(self.written, 1)) for one in self.results
        ]
        return Item(
            "tool" if shares and author == "user" else author,
            self._item.digest(),
            size,
            self._words.intdigest() >> 1 if self.spoke else 0,
            tuple(self.calls),
            tuple(shares),
            min(self.moving, size),
            self._beside.intdigest() >> 1 if self._beside is not None and shares else 0,
        )


def _read(value: Any, size: int, seed: int) -> Entry:
    if isinstance(value, str):
        value = {"role": "user", "content": value}
    if not isinstance(value, dict):
        raise UnreadableError
    pen = _Pen(seed)
    role, kind = value.get("role"), kind_of(value)
    author = _author(role, kind)
    place = _place_of_content(value, kind)
    head = pen.members(value, place)
    if kind == "message":
        del head["type"]  # as if it were not said
    pen.put(b"v", canonical(head))
    pen.written = 0  # what follows is shared among results
    content = value.get(place)
    if author == "tool":
        pen.result(value, content, head={})
    else:
        for part in parts_of(content):
            _read_part(pen, part, moves=role == "user")
    _read_calls(pen, value, kind)
    loose = pen.moving > 0 and not pen.written and head.keys() <= {"role"}
    return Entry(pen.finish(author, size), pen.marked, loose)


def _author(role: Any, kind: str) -> Author:
    if isinstance(role, str):
        return _AUTHORS.get(role, "user")
    if kind.endswith(_OUTPUT):
        return "tool"
    return "assistant" if kind.endswith(_CALL) or kind in _THOUGHTS else "user"


def _place_of_content(value: Mapping[str, Any], kind: str) -> str:
    if kind.endswith(_OUTPUT):
        return "output"
    return "parts" if "parts" in value and "content" not in value else "content"


def _read_part(pen: _Pen, part: Any, *, moves: bool) -> None:
    """A part of somebody's message: words, a call, a result, or anything else."""
    told = members(part)
    kind = kind_of(told)
    words = words_of(part)
    if kind == "tool_result":
        pen.result(told, told.get("content"), head=pen.members(told, "content"))
        return
    for name in ("functionResponse", "function_response"):
        if answer := members(told.get(name)):
            rest = {**pen.members(told, name), name: pen.members(answer, "response")}
            pen.result(answer, answer.get("response"), head=rest)
            return
    if moves and _MOVES in words:
        kept = _without_moving(words)
        pen.moving += len(canonical(words)) - len(canonical(kept))
        part = {**told, "text": kept} if told else kept
        words = kept
    pen.part(part)
    pen.speak(words)
    if kind == "tool_use":
        pen.call(told, text(told.get("name")) or "", told.get("input"))
    for name in ("functionCall", "function_call"):
        if call := members(told.get(name)):
            pen.call(call, text(call.get("name")) or "", call.get("args"))


def _read_calls(pen: _Pen, value: Mapping[str, Any], kind: str) -> None:
    """The calls that stand beside a message's content, or are an entry of their own."""
    for call in parts_of(value.get("tool_calls")):
        told = members(call)
        _read_call(pen, told, members(told.get("function")) or members(told.get("custom")))
    if old := members(value.get("function_call")):
        _read_call(pen, old, old)
    if kind.endswith(_CALL) and "call_id" in value:  # without one it runs at the provider
        _read_call(pen, value, {"name": kind.removesuffix(_CALL), **value})


def _read_call(pen: _Pen, told: Mapping[str, Any], what: Mapping[str, Any]) -> None:
    given = next((what[name] for name in _ARGUMENTS if name in what), None)
    pen.call(told, text(what.get("name")) or "", given)


def _id(told: Mapping[str, Any], name: str, position: int) -> str:
    """A call's id; where the dialect has none, its name and how many came before it."""
    given = (text(told.get(member)) for member in _IDS)
    return next((one[:LONGEST_NAME] for one in given if one), f"{name[:LONGEST_NAME]}#{position}")


def _is_failed(content: Any) -> bool:
    """Whether a tool's answer begins like an error, or is an object with one."""
    if isinstance(content, dict):
        if not is_nothing(content.get("error")):
            return True
        content = next((content[name] for name in _ANSWERS if name in content), None)
    first = next((words for part in parts_of(content) if (words := words_of(part))), "")
    return is_failure(first)


def _without_moving(words: str) -> str:
    """The words without the moving parts, and each without the line end that joined it to them."""
    kept: list[str] = []
    at = 0
    while (start := words.find(_MOVES, at)) >= 0 and (end := words.find(_MOVED, start)) >= 0:
        joined = start > at and words[start - 1] == "\n"
        if start - joined > at:
            kept.append(words[at : start - joined])
        at = end + len(_MOVED)
        if not joined and not kept and words.startswith("\n", at):
            at += 1
    return "".join([*kept, words[at:]])
