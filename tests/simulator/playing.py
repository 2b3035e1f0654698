"""What the simulator's tests share: a client that speaks plain HTTP, and a reader of event streams."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from budgetd.simulator import Simulator

BEARER = {"Authorization": "Bearer sk-sim"}
ANTHROPIC = {"x-api-key": "sk-ant-sim", "anthropic-version": "2023-06-01"}


@dataclass(frozen=True)
class Reply:
    """One answer, read to its end. `broken`: the connection ended before the body did."""

    status: int
    headers: Any
    raw: bytes
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[tuple[str | None, Any]]:
        """Name and data of each event; data is JSON, or the text if it is none."""
        found: list[tuple[str | None, Any]] = []
        for block in self.raw.decode().replace("\r\n", "\n").split("\n\n"):
            lines = [line.partition(": ") for line in block.split("\n") if line]
            fields = {name: value for name, _, value in lines if name}
            if "data" in fields:
                found.append((fields.get("event"), _loose(fields["data"])))
        return found

    @property
    def chunks(self) -> list[Any]:
        """The data of all events but `[DONE]`."""
        return [data for _, data in self.events if data != "[DONE]"]


def _loose(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass
class Client:
    """Sends bodies to one simulator. Each request may carry a script of its own."""

    sim: Simulator
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def post(self, path: str, body: Any, script: Any = None, **headers: str) -> Reply:
        sent = {**_credential(path), **self.headers, **headers}
        if script is not None:
            sent["x-sim-script"] = json.dumps(script)
        async with self.session.post(self.sim.url + path, json=body, headers=sent) as response:
            try:
                raw, broken = await response.read(), False
            except aiohttp.ClientError:
                raw, broken = b"", True
            return Reply(response.status, response.headers, raw, broken)

    async def chat(self, script: Any = None, **body: Any) -> Reply:
        return await self.post("/v1/chat/completions", chat_body(**body), script)

    async def message(self, script: Any = None, **body: Any) -> Reply:
        return await self.post("/v1/messages", message_body(**body), script)


def _credential(path: str) -> dict[str, str]:
    return ANTHROPIC if path.startswith("/v1/messages") else BEARER


def chat_body(text: str = "hello there", **more: Any) -> dict[str, Any]:
    """11 bytes of text after `user` and a line break: 16 bytes, 4 tokens."""
    messages = [{"role": "user", "content": text}]
    return {"model": "gpt-4o", "messages": messages} | more


def message_body(text: str = "hello there!", **more: Any) -> dict[str, Any]:
    """12 bytes of text: 3 tokens."""
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-4-5", "max_tokens": 1000, "messages": messages} | more


async def playing(sim: Simulator) -> AsyncIterator[Client]:
    async with sim, aiohttp.ClientSession() as session:
        yield Client(sim, session)
