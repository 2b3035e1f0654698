"""No overshoot: two hundred streams at once on one dollar.

A trigger in the ledger itself looks at every statement that changes a window, so no commit, and
nothing inside one, can pass by it: whenever settled + held is above the limit it writes a row.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from typing import Any

import pytest

from budgetd.simulator import Script
from tests.e2e.books import PICO, ask, charged, drawers, entries, held
from tests.rig import House, house

CALLS = 200
ONE_DOLLAR = "default_key: {budgets: [1.00 per 5h]}"
TWO_BUDGETS = "default_key: {budgets: [1.00 per 5h]}\nbudgets: [0.60 per day]"
CHAT = {"model": "gpt-4.1"}  # takes a bound of 32,000
BOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exact": ({"max_tokens": 64}, {"max_tokens": 64}),
    "absent": ({}, {"max_tokens": 1000}),  # Anthropic's protocol has no absent bound
    "huge": ({"max_tokens": 32_000}, {"max_tokens": 32_000}),
}


async def watch(home: House, limits: dict[str, int]) -> None:
    """Let the ledger write down every change that brings a window above its subject's limit."""

    def install(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE watched (subject TEXT, most INTEGER)")
        db.executemany("INSERT INTO watched VALUES (?, ?)", limits.items())
        db.execute("CREATE TABLE breach (subject TEXT, settled INTEGER, held INTEGER)")
        db.execute("CREATE TABLE peak (subject TEXT PRIMARY KEY, most INTEGER)")
        db.execute(
            "CREATE TRIGGER watch AFTER UPDATE ON window BEGIN"
            " INSERT INTO breach SELECT new.subject, new.settled, new.held FROM watched w"
            "  WHERE w.subject = new.subject AND new.settled + new.held > w.most;"
            " INSERT INTO peak VALUES (new.subject, new.settled + new.held) ON CONFLICT DO UPDATE"
            "  SET most = max(most, excluded.most); END"
        )

    await home.daemon._ledger.writer.submit(install)


async def one(home: House, number: int, kind: str) -> tuple[int, dict[str, str], bytes]:
    chat, message = BOUNDS[kind]
    if number % 2:
        asked = home.chat(stream=True, **CHAT, **chat)
    else:
        asked = home.messages(stream=True, **message)
    async with asked as answer:
        return answer.status, dict(answer.headers), await answer.read()


def check_legal(status: int, headers: dict[str, str], body: bytes) -> str:
    """Whole streams, or a refusal that says what it is."""
    if status == 200:
        assert b"message_stop" in body or b"[DONE]" in body
        return "done"
    assert status == 429, body
    told = json.loads(body)["error"]["budgetd"]
    assert told["reason"] in {"busy", "spent"}
    assert headers["x-should-retry"] == ("true" if told["reason"] == "busy" else "false")
    return str(told["reason"])


@pytest.mark.parametrize("kind", ["exact", "absent", "huge", "mixed"])
@pytest.mark.parametrize(
    ("extra", "limits"),
    [
        (ONE_DOLLAR, {"key:default": PICO}),
        (TWO_BUDGETS, {"key:default": PICO, "all": 6 * PICO // 10}),
    ],
    ids=["one budget", "two budgets"],
)
async def test_two_hundred_streams_on_one_dollar(tmp_path, kind, extra, limits):
    script = Script(tokens=40, pace=0.002)
    async with house(tmp_path, extra, script=script) as home:
        await watch(home, limits)
        kinds = [*BOUNDS] if kind == "mixed" else [kind]
        # Each caller repeats a busy answer, as a client would: the limit is leant on for long.
        outcomes: Counter[str] = Counter()

        async def persist(number: int) -> None:
            for _ in range(4):
                outcome = check_legal(*await one(home, number, kinds[number % len(kinds)]))
                outcomes[outcome] += 1
                if outcome != "busy":
                    return

        await asyncio.gather(*(persist(number) for number in range(CALLS)))
        await home.quiet()
        lowest = min(limits.values())
        assert ask(home.state, "SELECT * FROM breach") == []
        assert outcomes["done"] > 0
        assert home.sim.bill.total_pico <= lowest
        assert charged(home.state) == home.sim.bill.total_pico  # every stream came to its end
        assert held(home.state) == 0
        for subject in limits:
            assert [(d.settled, d.held) for d in drawers(home.state, subject)] == [
                (charged(home.state), 0)
            ]
        assert (await home.control("audit"))[1] == {"differences": []}
        if kind == "huge":  # the limit was really leant on
            assert outcomes["busy"] > 0
            assert ask(home.state, "SELECT max(most) FROM peak")[0][0] > lowest * 8 // 10


async def test_spending_to_the_last_cent_stays_below(tmp_path):
    """Long answers that use their bounds: the dollar is really spent, and no more than it."""
    async with house(tmp_path, ONE_DOLLAR, script=Script(tokens=2000)) as home:
        await watch(home, {"key:default": PICO})
        statuses: Counter[str] = Counter()
        while statuses["spent"] == 0:  # the test's time-out bounds it
            answers = await asyncio.gather(*(one(home, n, "absent") for n in range(CALLS // 2)))
            statuses.update(check_legal(*answer) for answer in answers)
        await home.quiet()
        assert ask(home.state, "SELECT * FROM breach") == []
        assert 7 * PICO // 10 < home.sim.bill.total_pico <= PICO
        assert charged(home.state) == home.sim.bill.total_pico
        assert len([e for e in entries(home.state) if e.state == "settled"]) == statuses["done"]


async def test_the_watch_sees_a_breach(tmp_path):
    """The witness itself: were a window ever above its limit, it would say so."""
    async with house(tmp_path, ONE_DOLLAR) as home:
        await watch(home, {"key:default": PICO})
        async with home.chat() as answer:
            assert answer.status == 200
        sql = f"UPDATE window SET held = {PICO}"
        await home.daemon._ledger.writer.submit(lambda db: db.execute(sql).rowcount)
        assert len(ask(home.state, "SELECT * FROM breach")) == 1
