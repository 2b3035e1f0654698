"""Requests as bytes: a transcript in the form of one wire protocol, as a given client writes it.

A `Writer` remembers what it has written, as clients do: an entry that has not changed is the same
bytes again. Anthropic's cache marks stand on the last two entries, and so move.
"""

from __future__ import annotations

import json
from typing import Any

from tests.estimation.prompts import Tool
from tests.estimation.tasks import (
    Call,
    Habits,
    Outcome,
    Part,
    Picture,
    Request,
    Said,
    Text,
    Thought,
)

FIELDS = {"anthropic": "messages", "chat": "messages", "responses": "input", "gemini": "contents"}
MARK = {"cache_control": {"type": "ephemeral"}}
SETTINGS: dict[str, dict[str, Any]] = {
    "anthropic": {"max_tokens": 32_000, "stream": True},
    "chat": {"stream": True, "stream_options": {"include_usage": True}},
    "responses": {"stream": True, "store": False},
    "gemini": {},
}
THINKING: dict[str, dict[str, Any]] = {
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 8_000}},
    "chat": {"reasoning_effort": "high"},
    "responses": {"reasoning": {"effort": "high"}},
    "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
}


def given(call: Call, habits: Habits) -> str:
    """A call's arguments where they travel as JSON in a string."""
    separators = None if habits.roomy else (",", ":")
    return json.dumps(call.arguments, ensure_ascii=False, separators=separators)


class Writer:
    """Writes the requests of one task."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, object], bytes] = {}

    def alone(self, said: Said, habits: Habits) -> bytes:
        """A body with one entry and nothing else."""
        return b'{"%s":[%s]}' % (FIELDS[habits.wire].encode(), self._entry(said, habits))

    def body(self, request: Request) -> bytes:
        """The body of a request."""
        habits = request.habits
        wire = habits.wire
        entries = [self._entry(said, habits) for said in request.entries]
        if habits.marks:
            entries[-2:] = [
                self._dumped(_anthropic(said, habits, marked=True), habits)
                for said in request.entries[-2:]
            ]
        head = dict(SETTINGS[wire])
        if habits.thinks and not habits.calm:
            head |= THINKING[wire]
        if wire != "gemini":
            head["model"] = "gpt-x"
        if wire == "chat":
            entries.insert(0, self._system(request.head.system, habits))
        else:
            head |= _system(request.head.system, habits)
        comma, colon = (b", ", b": ") if habits.spaced else (b",", b":")
        fields = [(name, self._dumped(value, habits)) for name, value in head.items()]
        fields.insert(1, (FIELDS[wire], b"[" + comma.join(entries) + b"]"))
        fields.append(("tools", self._tools(request.head.tools, habits)))
        return (
            b"{"
            + comma.join(b'"%s"%s%s' % (name.encode(), colon, raw) for name, raw in fields)
            + b"}"
        )

    def _entry(self, said: Said, habits: Habits) -> bytes:
        raw = self._kept.get((said, habits))
        if raw is None:
            form = _FORMS[habits.wire](said, habits)
            parts = form if isinstance(form, list) else [form]
            comma = b", " if habits.spaced else b","
            raw = self._kept[said, habits] = comma.join(self._dumped(one, habits) for one in parts)
        return raw

    def _system(self, words: str, habits: Habits) -> bytes:
        return self._dumped({"role": "system", "content": words}, habits)

    def _tools(self, tools: tuple[Tool, ...], habits: Habits) -> bytes:
        raw = self._kept.get((tools, habits))
        if raw is None:
            raw = self._kept[tools, habits] = self._dumped(_tools(tools, habits), habits)
        return raw

    def _dumped(self, value: Any, habits: Habits) -> bytes:
        separators = None if habits.spaced else (",", ":")
        return json.dumps(value, ensure_ascii=habits.ascii, separators=separators).encode()


def _system(words: str, habits: Habits) -> dict[str, Any]:
    if habits.wire == "responses":
        return {"instructions": words}
    if habits.wire == "gemini":
        return {"systemInstruction": {"role": "user", "parts": [{"text": words}]}}
    block = {"type": "text", "text": words}
    return {"system": [{**block, **MARK} if habits.marks else block] if habits.blocks else words}


def _tools(tools: tuple[Tool, ...], habits: Habits) -> list[dict[str, Any]]:
    told = [{"name": tool.name, "description": tool.description} for tool in tools]
    key = "input_schema" if habits.wire == "anthropic" else "parameters"
    whole = [{**one, key: tool.schema} for one, tool in zip(told, tools, strict=True)]
    if habits.wire == "chat":
        return [{"type": "function", "function": one} for one in whole]
    if habits.wire == "responses":
        return [{"type": "function", **one, "strict": False} for one in whole]
    return [{"functionDeclarations": whole}] if habits.wire == "gemini" else whole


def _anthropic(said: Said, habits: Habits, *, marked: bool = False) -> dict[str, Any]:
    blocks = [_block(part, habits) for part in said.parts]
    if marked and "signature" not in blocks[-1]:
        blocks[-1] |= MARK
    content: Any = blocks
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and not habits.blocks:
        content = blocks[0]["text"]
    return {"role": "assistant" if said.author == "assistant" else "user", "content": content}


def _block(part: Part, habits: Habits) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.words}
    if isinstance(part, Thought):
        return {"type": "thinking", "thinking": part.shown, "signature": part.seal}
    if isinstance(part, Call):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
    if isinstance(part, Picture):
        source = {"type": "base64", "media_type": "image/png", "data": part.data}
        return {"type": "image", "source": source}
    content: Any = (
        [{"type": "text", "text": part.words}] if habits.blocks and part.words else part.words
    )
    told = {"type": "tool_result", "tool_use_id": part.call.id, "content": content}
    return {**told, "is_error": True} if part.failed else told


def _chat(said: Said, habits: Habits) -> list[dict[str, Any]]:
    told = [
        {"role": "tool", "tool_call_id": part.call.id, "content": part.words}
        for part in said.parts
        if isinstance(part, Outcome)
    ]
    rest = [part for part in said.parts if not isinstance(part, Outcome)]
    if said.author == "assistant":
        return [_chat_answer(said, habits)]
    if not rest:
        return told
    if len(rest) == 1 and isinstance(rest[0], Text) and not habits.blocks:
        return [*told, {"role": "user", "content": rest[0].words}]
    return [*told, {"role": "user", "content": [_chat_part(part) for part in rest]}]


def _chat_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Picture):
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{part.data}"}}
    assert isinstance(part, Text)
    return {"type": "text", "text": part.words}


def _chat_answer(said: Said, habits: Habits) -> dict[str, Any]:
    words = [part.words for part in said.parts if isinstance(part, Text)]
    thoughts = [part.words for part in said.parts if isinstance(part, Thought)]
    calls = [part for part in said.parts if isinstance(part, Call)]
    told: dict[str, Any] = {"role": "assistant", "content": words[0] if words else None}
    if thoughts and habits.returns:
        told["reasoning_content"] = thoughts[0]
    if calls:
        told["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": given(call, habits)},
            }
            for call in calls
        ]
    return told


def _responses(said: Said, habits: Habits) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    kind = "output_text" if said.author == "assistant" else "input_text"
    for part in said.parts:
        if isinstance(part, Thought):
            summary = [{"type": "summary_text", "text": part.shown}]
            told.append(
                {
                    "type": "reasoning",
                    "id": f"rs_{part.seal[:24]}",
                    "summary": summary,
                    "encrypted_content": part.seal,
                }
            )
        elif isinstance(part, Call):
            told.append(
                {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": given(part, habits),
                }
            )
        elif isinstance(part, Outcome):
            told.append(
                {"type": "function_call_output", "call_id": part.call.id, "output": part.words}
            )
        elif isinstance(part, Picture):
            picture = {"type": "input_image", "image_url": f"data:image/png;base64,{part.data}"}
            told.append({"type": "message", "role": "user", "content": [picture]})
        else:
            role = "assistant" if said.author == "assistant" else "user"
            told.append(
                {"type": "message", "role": role, "content": [{"type": kind, "text": part.words}]}
            )
    return told


def _gemini(said: Said, habits: Habits) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for part in said.parts:
        if isinstance(part, Text):
            parts.append({"text": part.words})
        elif isinstance(part, Call):
            parts.append(
                {
                    "functionCall": {"name": part.name, "args": part.arguments},
                    "thoughtSignature": "c2tpcA==",
                }
            )
        elif isinstance(part, Outcome):
            answer = {"name": part.call.name, "response": {"output": part.words}}
            parts.append({"functionResponse": answer})
        elif isinstance(part, Picture):
            parts.append({"inlineData": {"mimeType": "image/png", "data": part.data}})
    return {"role": "model" if said.author == "assistant" else "user", "parts": parts}


_FORMS: dict[str, Any] = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _responses,
    "gemini": _gemini,
}
