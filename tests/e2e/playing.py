"""Calls of every kind that bills differently, for tests that cut them, and the reconciliation after.

A `Kind` is a request and the script that answers it. Scripts travel with their request, in a header,
so that hundreds of differently broken calls run at once against one daemon.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.e2e.books import Entry, charged, entries, held
from tests.rig import ANTHROPIC_KEY, OPENAI_KEY, House

PLENTY = "default_key: {budgets: [100000 per 5h]}"
_FUNCTION = {"name": "look", "parameters": {"type": "object", "properties": {}}}
_CHAT_TOOLS = [{"type": "function", "function": _FUNCTION}]
_TOOLS = [{"name": "look", "input_schema": {"type": "object"}}]
_ARGUMENTS = json.dumps({"path": "a/rather/long/path/to/some/file", "lines": [1, 2, 3]})


@dataclass(frozen=True)
class Door:
    """Where a daemon in another process answers."""

    http: aiohttp.ClientSession
    url: str


@dataclass(frozen=True)
class Kind:
    """A request of one dialect, and how it is answered."""

    name: str
    path: str
    body: dict[str, Any]
    script: dict[str, Any] = field(default_factory=dict)

    def post(
        self,
        home: House | Door,
        *,
        label: str = "",
        stream: bool = True,
        script: dict[str, Any] | None = None,
    ) -> Any:
        """Send it; an async context manager of the response."""
        how = json.dumps(self.script | (script or {}))
        body = self.body | {"stream": stream}
        if not stream:
            body.pop("stream_options", None)
        headers = {"x-sim-script": how, "anthropic-version": "2023-06-01"}
        if label:  # the URL's labels stay with the daemon: this is how the provider's side tells
            headers["x-test-label"] = label.rpartition("/")[2]
        if self.path.endswith("messages"):
            headers["x-api-key"] = ANTHROPIC_KEY
        else:
            headers["authorization"] = f"Bearer {OPENAI_KEY}"
        return home.http.post(home.url + label + self.path, json=body, headers=headers)


def _chat(name: str, script: dict[str, Any] | None = None, **body: Any) -> Kind:
    messages = [{"role": "user", "content": "hello there"}]
    start = {"model": "gpt-4o", "messages": messages}
    return Kind(name, "/v1/chat/completions", start | body, {"tokens": 24} | (script or {}))


def _message(name: str, script: dict[str, Any] | None = None, **body: Any) -> Kind:
    messages = [{"role": "user", "content": "hello there"}]
    start = {"model": "claude-sonnet-4-5", "max_tokens": 900, "messages": messages}
    return Kind(name, "/v1/messages", start | body, {"tokens": 24} | (script or {}))


_TOOL = {"tool": "look", "arguments": _ARGUMENTS}
_USAGE = {"stream_options": {"include_usage": True}}
_THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
KINDS = {
    kind.name: kind
    for kind in (
        _chat("chat text", max_tokens=400),
        _chat("chat text that asked for usage", max_tokens=400, **_USAGE),
        _chat("chat tool call", _TOOL, max_tokens=400, tools=_CHAT_TOOLS),
        _chat("chat of two answers", max_tokens=400, n=2),
        _chat(
            "chat reasoning", {"reasoning_tokens": 700}, model="o4-mini", max_completion_tokens=1200
        ),
        _chat("chat reasoning without a bound", {"reasoning_tokens": 3000}, model="gpt-5-mini"),
        _message("message text"),
        _message("message tool call", _TOOL, tools=_TOOLS),
        _message("message thinking", {"reasoning_tokens": 800}, **_THINKING),
    )
}


async def read_events(answer: aiohttp.ClientResponse, most: int) -> int:
    """Read so many events, or all there are until it ends or breaks; returns how many came."""
    found = 0
    with suppress(aiohttp.ClientError):
        while found < most and (line := await answer.content.readline()):
            found += line.startswith(b"data:")
    return found


async def whole_length(home: House, kind: Kind) -> int:
    """How many events the simulator sends for this kind, the usage chunk that is hidden included."""
    async with kind.post(home) as answer:
        assert answer.status == 200, await answer.text()
        seen = await read_events(answer, 10_000)
    hidden = kind.path.endswith("completions") and "stream_options" not in kind.body
    return seen + hidden


@dataclass(frozen=True)
class Pair:
    """One call under its two names: ours, and the provider's."""

    call: str
    request: str

    @classmethod
    def of(cls, answer: aiohttp.ClientResponse) -> Pair:
        """By an answer's headers."""
        headers = answer.headers
        request = headers.get("request-id") or headers["x-request-id"]
        return cls(headers["x-budgetd-call"], request)


async def settled_up(home: House) -> dict[str, Entry]:
    """Wait for quiet, then check the whole ledger against the whole bill. Returns calls by id."""
    await home.quiet()
    found = entries(home.state)
    assert all(entry.state != "open" for entry in found)
    assert held(home.state) == 0
    assert charged(home.state) >= home.sim.bill.total_pico
    for entry in found:  # exact, or said to be an estimate
        assert bool(entry.estimated) == (entry.state == "uncertain"), entry
        assert 0 <= entry.cost <= entry.hold, entry
    assert (await home.control("audit"))[1] == {"differences": []}
    return {entry.call: entry for entry in found}


def reconcile(home: House, books: dict[str, Entry], pairs: Iterable[Pair]) -> None:
    """Each call against its own line of the bill: equal where it ended well, else not below."""
    for pair in pairs:
        entry, billed = books[pair.call], home.sim.bill.line(pair.request).pico
        if entry.state == "settled":
            assert entry.cost == billed, (entry, billed)
        else:
            assert entry.cost >= billed, (entry, billed)


async def with_provider(home: House, name: str, setting: str) -> None:
    """Change a provider of a running daemon, through its file."""
    text = home.config.read_text()
    old = f"{name}: {{base_url: {home.sim.url}"
    assert old in text
    home.config.write_text(text.replace(old, f"{old}, {setting}"))
    await home.daemon.reload()
