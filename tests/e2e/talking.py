"""Conversations as clients hold them: the whole history goes out with every call, answers are kept.

A `Talk` speaks one dialect, streamed or not, and remembers of each call its name here and at the
provider, so that what the ledger says of its session can be held against the provider's own bill.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.e2e.line import ANTHROPIC, OPENAI, PATHS, headers_of
from tests.e2e.playing import Door, Pair
from tests.rig import House, events

DIALECTS = (OPENAI, ANTHROPIC)
MODELS = {OPENAI: "gpt-4o", ANTHROPIC: "claude-sonnet-4-5"}
TOOLS = ("Bash", "Read", "Edit", "Grep")
Json = dict[str, Any]

_NUMBERS = count()


def tools_of(dialect: str) -> list[Json]:
    """What agents can do."""
    if dialect == ANTHROPIC:
        return [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]
    functions = [{"name": name, "parameters": {"type": "object"}} for name in TOOLS]
    return [{"type": "function", "function": function} for function in functions]


@dataclass(frozen=True)
class Reply:
    """What came back. `body` is the JSON, or the message that a stream came to."""

    status: int
    headers: Mapping[str, str]
    body: Json

    @property
    def told(self) -> Json:
        """What budgetd says of a refusal, beside the words."""
        found: Json = self.body["error"]["budgetd"]
        return found


@dataclass
class Talk:
    """One conversation of a client. `messages` may be edited as clients do."""

    home: House | Door
    dialect: str = OPENAI
    system: str = "You are an agent."
    label: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    fields: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)  # of each call that was answered
    sizes: list[int] = field(default_factory=list)  # bytes of each body that was sent

    def body(self, *, stream: bool) -> Json:
        """The request as it would go out now."""
        body: Json = {"model": MODELS[self.dialect], "stream": stream, "max_tokens": 400}
        if self.dialect == ANTHROPIC:
            return body | {"system": self.system, "messages": self.written()} | self.fields
        first = {"role": "system", "content": self.system}
        return body | {"messages": [first, *self.written()]} | self.fields

    def written(self) -> list[Json]:
        """The history in the form in which this client sends it."""
        return self.messages

    async def ask(self, *, stream: bool = False, **script: Any) -> Reply:
        """Send the history as it is; an answer becomes part of it. `script` is for the provider."""
        headers = headers_of(self.dialect) | self.headers | {"x-sim-script": json.dumps(script)}
        data = json.dumps(self.body(stream=stream), ensure_ascii=False).encode()
        headers["content-type"] = "application/json"
        url = self.home.url + self.label + PATHS[self.dialect]
        if isinstance(self.home, House):
            self.home.clock.advance(0.002)  # calls are in the order of their instants
        async with self.home.http.post(url, data=data, headers=headers) as answer:
            raw, status = await answer.read(), answer.status
            told = {name.lower(): value for name, value in answer.headers.items()}
            if status == 200:
                self.pairs.append(Pair.of(answer))
                self.sessions.append(told["x-budgetd-session"])
                self.sizes.append(len(data))
        if status != 200 or not stream:
            body = json.loads(raw)
        else:
            body = _whole(self.dialect, events(raw))
        if status == 200:
            self.messages.append(_message(self.dialect, body))
        return Reply(status, told, body)

    async def say(self, words: str, *, stream: bool = False, **script: Any) -> Reply:
        """A message of the user, and the answer to it."""
        self.messages.append({"role": "user", "content": words})
        return await self.ask(stream=stream, **script)

    async def work(self, tool: str, arguments: Json, *, stream: bool = False) -> Reply:
        """Send the history to a provider whose model now calls this tool."""
        script = {"tool": tool, "arguments": arguments, "tool_rounds": 10_000}
        return await self.ask(stream=stream, **script)

    def bring(self, *texts: str) -> None:
        """The results of the calls in the last answer."""
        calls = call_ids(self.dialect, self.messages[-1])
        pairs = zip(calls, texts, strict=True)
        if self.dialect == ANTHROPIC:
            blocks = [
                {"type": "tool_result", "tool_use_id": call, "content": text}
                for call, text in pairs
            ]
            self.messages.append({"role": "user", "content": blocks})
        else:
            self.messages += [
                {"role": "tool", "tool_call_id": call, "content": text} for call, text in pairs
            ]


@dataclass
class Marking(Talk):
    """A client like Claude Code: cache marks at the end, which move; what carries one is blocks, and
    what does not is a string again.
    """

    forms: list[str] = field(default_factory=list)

    def written(self) -> list[Json]:
        last = [at for at, one in enumerate(self.messages) if one["role"] == "user"][-2:]
        told = []
        for at, one in enumerate(self.messages):
            content = one["content"]
            if at in last:
                blocks = blocks_of(content)
                blocks[-1] |= {"cache_control": {"type": "ephemeral"}}
                told.append(one | {"content": blocks})
            elif isinstance(content, list) and [*content[0]] == ["type", "text"]:
                told.append(one | {"content": content[0]["text"]})
            else:
                told.append(one)
        self.forms.append("".join("s" if isinstance(one["content"], str) else "b" for one in told))
        return told


def blocks_of(content: Any) -> list[Json]:
    """The content of a message as blocks that may be changed."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [dict(block) for block in content]


def call_ids(dialect: str, message: Json) -> list[str]:
    """The tool calls in an answer."""
    if dialect == ANTHROPIC:
        return [part["id"] for part in message["content"] if part["type"] == "tool_use"]
    return [call["id"] for call in message.get("tool_calls") or ()]


def billed(home: House, pairs: Iterable[Pair]) -> int:
    """What the provider's own bill has for these calls, in pico-dollars."""
    return sum(home.sim.bill.line(pair.request).pico for pair in pairs)


async def page_of(home: House, session: str) -> Json:
    """All that the status tells of a session."""
    page: Json = await home.status(f"/status/sessions/{session}?turns=1000")
    assert page.get("id") == session, page
    return page


def fresh_name(word: str = "n") -> str:
    """A name that nobody has had."""
    return f"{word}-{next(_NUMBERS):06d}"


def _message(dialect: str, body: Json) -> Json:
    """An answer as its client puts it into the history."""
    if dialect == ANTHROPIC:
        return {"role": "assistant", "content": body["content"]}
    told = body["choices"][0]["message"]
    return {name: value for name, value in told.items() if value is not None}


def _whole(dialect: str, told: list[Any]) -> Json:
    """What a stream comes to, as far as a history needs it."""
    if dialect == ANTHROPIC:
        return {"content": _blocks(told)}
    message: Json = {"role": "assistant", "content": None}
    calls: list[Json] = []
    for event in told:
        for choice in event["choices"]:
            delta = choice["delta"]
            if delta.get("content"):
                message["content"] = (message["content"] or "") + delta["content"]
            for piece in delta.get("tool_calls") or ():
                if "id" in piece:
                    calls.append({name: piece[name] for name in ("id", "type", "function")})
                else:
                    calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
    return {"choices": [{"message": message | ({"tool_calls": calls} if calls else {})}]}


def _blocks(told: list[Any]) -> list[Json]:
    blocks: list[Json] = []
    for event in told:
        if event["type"] == "content_block_start":
            blocks.append(event["content_block"])
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                blocks[-1]["text"] += delta["text"]
            else:
                blocks[-1]["input"] = (blocks[-1]["input"] or "") + delta["partial_json"]
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["input"] or "{}")
    return blocks
