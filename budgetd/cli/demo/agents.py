"""Simulated agents: a loop of plain HTTP calls with a base URL, as any agent makes them.

An agent works until it is refused for money, reads from the refusal when to come back, waits, and
goes on for a few calls. It knows nothing of budgetd but its address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import aiohttp

from budgetd.cli.demo.story import Part
from budgetd.cli.fault import CommandFault
from budgetd.runtime import Clock

TASK = "Work through the next chapter and say what you would change, and why. "
MOST_TOKENS = 1_024
AFTER_RESET = 4  # calls
CLOCK_SLACK = 50  # ms: a sleep may end a little early
MOST_CALLS = 60  # before a refusal: a budget that holds has spoken long before


@dataclass(frozen=True, slots=True)
class Role:
    """An agent's part: what it is called, what it calls, and its budget."""

    name: str
    model: str
    dialect: Literal["anthropic", "openai"]
    limit: str  # dollars
    pause: float  # seconds between calls


class Agent:
    """Plays a role against the daemon at `url`, and notes in its part of the story how it goes."""

    def __init__(self, role: Role, part: Part, url: str, clock: Clock) -> None:
        self._role = role
        self._part = part
        self._url = f"{url}/k/{role.name}"
        self._clock = clock

    async def play(self, http: aiohttp.ClientSession, changed: Callable[[], None]) -> None:
        """Spend, be refused, wait, go on. Raises CommandFault if it goes another way."""
        for _ in range(MOST_CALLS):
            refusal = await self._call(http)
            if refusal is not None:
                break
            await asyncio.sleep(self._role.pause)  # an agent's own work between two calls
        else:
            raise CommandFault(f"{self._role.name} was never refused: the budget did not hold")
        await self._wait(refusal, changed)
        for _ in range(AFTER_RESET):
            if await self._call(http) is not None:
                raise CommandFault(f"{self._role.name} was refused after the window had reset")
            await asyncio.sleep(self._role.pause)  # the same
        self._part.mood = "is done"
        changed()

    async def _wait(self, refusal: dict[str, Any], changed: Callable[[], None]) -> None:
        details = refusal["budgetd"]
        part = self._part
        part.mood, part.refusal, part.resets_at = "waits", refusal["message"], details["resets_at"]
        changed()
        began = self._clock.wall()
        opens = datetime.fromisoformat(details["resets_at"]).timestamp() * 1000
        left = max(opens - began, 0) + CLOCK_SLACK
        await asyncio.sleep(left / 1000)  # the window's reset is what it waits for
        part.waited = (self._clock.wall() - began) / 1000
        part.mood = "goes on"
        changed()

    async def _call(self, http: aiohttp.ClientSession) -> dict[str, Any] | None:
        """One call, read to its end. Returns the refusal's error, or None if there was none."""
        path, headers, body = self._request()
        async with http.post(self._url + path, json=body, headers=headers) as answer:
            if answer.status == 200:
                await answer.read()
                self._part.calls += 1
                return None
            told = await answer.json()
            error: dict[str, Any] = told["error"]
            if "budgetd" not in error:
                raise CommandFault(f"{self._role.name}: {answer.status} {error}")
            return error

    def _request(self) -> tuple[str, dict[str, str], dict[str, Any]]:
        done = self._part.calls
        length = 700 + done * 173 % 311  # no two answers in a row cost the same
        text = (
            TASK * (2 + done % 4) + f'SIM{{"tokens": {length}}}'
        )  # the simulator's stage direction
        messages = [{"role": "user", "content": text}]
        body: dict[str, Any] = {"model": self._role.model, "messages": messages, "stream": True}
        if self._role.dialect == "anthropic":
            headers = {"x-api-key": "sk-ant-demo", "anthropic-version": "2023-06-01"}
            return "/v1/messages", headers, body | {"max_tokens": MOST_TOKENS}
        headers = {"authorization": "Bearer sk-proj-demo"}
        return "/v1/chat/completions", headers, body | {"max_completion_tokens": MOST_TOKENS}
