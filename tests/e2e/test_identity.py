"""Our own headers, whole way through: they are understood here, and the provider never sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import books
from tests.e2e.line import HEADS, PATHS, Heard, ask, body_of, complained, request, untouched
from tests.rig import House, house

OURS = {
    "X-Budgetd-Label": "thesis",
    "X-Budgetd-Session": "mine",
    "x-budgetd-parent": "above",
    "X-BUDGETD-KIND": "side",
}


async def send(home: House, dialect: str, label: str, ours: dict[str, str]) -> Heard:
    """A call with these headers of ours."""
    extra = HEADS[dialect] + "".join(f"{name}: {value}\r\n" for name, value in ours.items())
    body = json.dumps(body_of(dialect)).encode()
    heard = await ask(home.url, request(label + PATHS[dialect], body, extra))
    assert heard is not None
    return heard


@pytest.mark.parametrize("dialect", PATHS)
async def test_our_headers_are_booked_and_stay_here(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path) as home:
        for label in ("", "/l/url"):
            assert (await send(home, dialect, label, OURS)).status == 200
        await home.quiet()
        assert len(home.sim.requests) == 2
        for sent in home.sim.requests:
            assert not [name for name, _ in sent.headers if "budgetd" in name.lower()]
        labels = books.ask(home.state, "SELECT label FROM call ORDER BY label")
        assert labels == [("thesis",), ("url",)]  # the URL's own wins


@pytest.mark.parametrize("dialect", PATHS)
async def test_our_headers_that_say_nothing_are_refused(tmp_path: Path, dialect: str) -> None:
    async with house(tmp_path) as home:
        for name in OURS:
            for value in ("", "x" * 129, "a\tb", "y" * 4_000):
                heard = await send(home, dialect, "", {name: value})
                assert heard.status == 400, (name, value)
                message = complained(dialect, 400, heard.headers, heard.body)
                assert name.lower() in message.lower()
                assert len(message) < 200
        await untouched(home)
