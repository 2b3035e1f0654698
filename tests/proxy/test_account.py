"""What a settlement is priced at, where the answer and the request disagree."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from budgetd.core.budgets import Admit
from budgetd.core.settlement import Seen, Settlement
from budgetd.core.usage import Reported, Traits, Usage
from budgetd.proxy import account as account_module
from budgetd.proxy.account import Account
from budgetd.proxy.order import Order
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.works import Works
from tests.e2e.books import entries, held
from tests.proxy.test_order import NOW, order, setup
from tests.rig import house, until

DOLLAR = 10**12
USED = Usage(input=1_000_000)
STANDARD, FLEX, PRIORITY = (
    1_250_000_000_000,
    625_000_000_000,
    2_500_000_000_000,
)  # gpt-5, pico-dollars


def settled(one: Order, told: Reported) -> Settlement:
    """What a call is settled at by this report."""
    works = SimpleNamespace(
        writer=SimpleNamespace(submit=lambda _: None),
        time=SimpleNamespace(now=lambda: NOW),
        sessions=Sessions(0),
    )
    account = Account(cast(Works, works), setup(), one, Admit(10**15, 100))
    account.settle(Seen(sent=True, status=200, terminal=True, reported=told))
    assert account.result is not None
    return account.result


@pytest.mark.parametrize(
    ("asked", "answered", "cost"),
    [
        ("flex", "flex", FLEX),
        ("flex", "default", STANDARD),
        ("flex", None, STANDARD),  # not confirmed: nobody knows that it was given
        ("batch", None, STANDARD),  # no synchronous call is one, whatever a client writes
        ("priority", None, PRIORITY),
        ("priority", "default", STANDARD),
        (None, "priority", PRIORITY),
        (None, None, STANDARD),
    ],
)
def test_a_tier_that_the_answer_does_not_confirm_makes_nothing_cheaper(
    asked: str | None, answered: str | None, cost: int
) -> None:
    fields: dict[str, Any] = {"model": "gpt-5", "service_tier": asked}
    one = order("chat", **fields)
    assert one.estimate.card.rates["input"] >= 1_250_000
    told = Reported(USED, "gpt-5", Traits(service_tier=answered))
    assert settled(one, told).cost == cost


@pytest.mark.parametrize(
    ("usage", "cost", "estimated"),
    [
        (Usage(output=1_000_000), 30 * DOLLAR, True),  # nobody says that it was text
        (Usage(output=400_000, output_image=600_000), 19 * DOLLAR, False),
        (Usage(input=1_000_000), 3 * DOLLAR // 10, False),
    ],
)
def test_pictures_that_the_answer_does_not_tell_apart(
    usage: Usage, cost: int, estimated: bool
) -> None:
    model: dict[str, Any] = {"model": "gemini-2.5-flash-image"}
    one = order("chat", provider="google", **model)
    assert one.estimate.quote.per_output == 30_000_000
    done = settled(one, Reported(replace(usage, input=usage.input or 1), model["model"]))
    assert (done.cost // 10**9, done.estimated) == (cost // 10**9, estimated)


async def test_a_settlement_that_cannot_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_module, "FIRST_PAUSE", 0.01)
    async with house(tmp_path) as home:
        with closing(sqlite3.connect(home.state / "ledger.db", isolation_level=None)) as db:
            db.execute(
                "CREATE TRIGGER broken BEFORE UPDATE ON attempt BEGIN SELECT raise(ABORT, 'full'); END"
            )
            async with home.chat() as answer:
                assert answer.status == 200
                await answer.read()
            await home.quiet()
            assert [entry.state for entry in entries(home.state)] == ["open"]  # nothing is lost
            assert held(home.state) > 0
            db.execute("DROP TRIGGER broken")
        await until(lambda: held(home.state) == 0)
        assert [entry.state for entry in entries(home.state)] == ["settled"]
        assert (await home.control("audit"))[1] == {"differences": []}
