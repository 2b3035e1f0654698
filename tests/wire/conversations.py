"""Conversations by what they mean, and all the forms in which the four dialects can write them.

A conversation is a list of `Said`, `Asked` and `Got`. `entry` writes one as the JSON value that a
dialect sends, `spelled` a JSON value as bytes; both choose among equal forms by a source of chance:
a string or blocks, null or nothing, cache marks or none, the order of keys, space and escapes.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from budgetd.wire.history import Fields

DIALECTS = {
    "chat": Fields(),
    "anthropic": Fields(system="system"),
    "responses": Fields("input", "instructions"),
    "gemini": Fields("contents", "systemInstruction"),
}
_SPACES = ("", "", " ", "\n", " \r\n\t")


@dataclass(frozen=True)
class Said:
    """Words of the user or the assistant."""

    role: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A call of a tool, with words before it or none."""

    id: str
    name: str
    arguments: dict[str, Any]
    words: str = ""


@dataclass(frozen=True)
class Got:
    """What a tool answered."""

    id: str
    name: str
    text: str
    failed: bool = False


Piece = Said | Asked | Got


def _text(kind: str | None, text: str, chance: random.Random) -> dict[str, Any]:
    part: dict[str, Any] = {"text": text} if kind is None else {"type": kind, "text": text}
    if kind == "text" and chance.random() < 0.3:
        part["cache_control"] = {"type": "ephemeral"}
    if chance.random() < 0.2:
        part["annotations"] = []
    return part


def _content(texts: tuple[str, ...], kind: str, chance: random.Random) -> Any:
    """Words as a string, if it is one, or as blocks; and what stands for no words."""
    texts = tuple(text for text in texts if text)
    if not texts:
        return chance.choice([None, "", [], [_text(kind, "", chance)]])
    if len(texts) == 1 and chance.random() < 0.5:
        return texts[0]
    parts: list[Any] = [_text(kind, text, chance) for text in texts]
    return parts + ([_text(kind, "", chance)] if chance.random() < 0.2 else [])


def entry(piece: Piece, dialect: str, chance: random.Random) -> dict[str, Any]:
    """A piece as one entry of a history."""
    return {"chat": _chat, "anthropic": _anthropic, "responses": _responses, "gemini": _gemini}[
        dialect
    ](piece, chance)


def _chat(piece: Piece, chance: random.Random) -> dict[str, Any]:
    match piece:
        case Said(role, texts):
            return {"role": role, "content": _content(texts, "text", chance)}
        case Asked(at, name, arguments, words):
            function = {"name": name, "arguments": json.dumps(arguments)}
            call = {"id": at, "type": "function", "function": function}
            content = _content((words,), "text", chance)
            return {"role": "assistant", "content": content, "tool_calls": [call]}
        case Got(at, _, text):
            return {
                "role": "tool",
                "tool_call_id": at,
                "content": _content((text,), "text", chance),
            }


def _anthropic(piece: Piece, chance: random.Random) -> dict[str, Any]:
    match piece:
        case Said(role, texts):
            return {"role": role, "content": _content(texts, "text", chance)}
        case Asked(at, name, arguments, words):
            call = {"type": "tool_use", "id": at, "name": name, "input": arguments}
            return {
                "role": "assistant",
                "content": [*([_text("text", words, chance)] if words else []), call],
            }
        case Got(at, _, text, failed):
            content = _content((text,), "text", chance)
            result = {"type": "tool_result", "tool_use_id": at, "content": content}
            if failed or chance.random() < 0.3:
                result["is_error"] = failed
            return {"role": "user", "content": [result]}


def _responses(piece: Piece, chance: random.Random) -> dict[str, Any]:
    match piece:
        case Said(role, texts):
            kind = "output_text" if role == "assistant" else "input_text"
            message = {"role": role, "content": _content(texts, kind, chance)}
            return {"type": "message", **message} if chance.random() < 0.5 else message
        case Asked(at, name, arguments):
            return {
                "type": "function_call",
                "call_id": at,
                "name": name,
                "arguments": json.dumps(arguments),
            }
        case Got(at, _, text):
            return {
                "type": "function_call_output",
                "call_id": at,
                "output": _content((text,), "input_text", chance),
            }


def _gemini(piece: Piece, chance: random.Random) -> dict[str, Any]:
    match piece:
        case Said(role, texts):
            role = "model" if role == "assistant" else role
            return {"role": role, "parts": [_text(None, text, chance) for text in texts]}
        case Asked(at, name, arguments, words):
            call = {"functionCall": {"id": at, "name": name, "args": arguments}}
            return {"role": "model", "parts": [*([{"text": words}] if words else []), call]}
        case Got(at, name, text, failed):
            response = {"error" if failed else "output": text}
            answer = {"functionResponse": {"id": at, "name": name, "response": response}}
            return {"role": "user", "parts": [answer]}


def spelled(value: Any, chance: random.Random) -> str:
    """A JSON value as text, in one of its many forms."""

    def space() -> str:
        return chance.choice(_SPACES)

    if isinstance(value, dict):
        members = list(value.items())
        chance.shuffle(members)
        told = [f"{spelled(n, chance)}{space()}:{space()}{spelled(v, chance)}" for n, v in members]
        return "{" + space() + f"{space()},{space()}".join(told) + space() + "}"
    if isinstance(value, list):
        told = [spelled(member, chance) for member in value]
        return "[" + space() + f"{space()},{space()}".join(told) + space() + "]"
    if isinstance(value, str):
        return '"' + "".join(_letter(letter, chance) for letter in value) + '"'
    return json.dumps(value)


def _letter(letter: str, chance: random.Random) -> str:
    if chance.random() < 0.2 or "\ud800" <= letter <= "\udfff":
        return json.dumps(letter)[1:-1] if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"
    return json.dumps(letter, ensure_ascii=False)[1:-1]


def request(values: list[Any], dialect: str, chance: random.Random | None = None) -> bytes:
    """A body with this history, and nothing else."""
    name = DIALECTS[dialect].history
    chance = chance or random.Random(0)
    return ('{"' + name + '":' + spelled(values, chance) + "}").encode("utf-8", "surrogatepass")


WORDS = st.text(
    st.one_of(st.sampled_from('ab \n\t"\\é漢\U0001f600'), st.characters(codec="utf-8")), max_size=12
)
IDS = st.text("abcdef0123456789_", min_size=1, max_size=6)
NAMES = st.sampled_from(["read_file", "Bash", "write"])
ARGUMENTS = st.dictionaries(
    st.sampled_from(["path", "command", "n"]),
    st.one_of(WORDS, st.integers(), st.lists(st.booleans(), max_size=2), st.none()),
    max_size=2,
)


def pieces() -> st.SearchStrategy[Piece]:
    """One piece of a conversation."""
    return st.one_of(
        st.builds(
            Said,
            st.sampled_from(["user", "assistant"]),
            st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Asked, IDS, NAMES, ARGUMENTS, WORDS),
        st.builds(Got, IDS, NAMES, WORDS, st.booleans()),
    )


def conversations(most: int = 8) -> st.SearchStrategy[list[Piece]]:
    """A conversation of some pieces."""
    return st.lists(pieces(), min_size=1, max_size=most)
