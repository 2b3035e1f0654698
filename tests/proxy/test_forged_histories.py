"""Histories that are not what they seem: no bound comes out too low, nothing grows, nobody waits."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from budgetd.core import loops
from budgetd.core.estimate import Media, input_bound
from budgetd.core.policy import Estimation
from budgetd.core.sessions import Claim
from budgetd.proxy import lives
from budgetd.proxy.visits import Visit
from budgetd.wire.body import parse
from budgetd.wire.content import LONGEST_NAME, MOST_CALLS
from budgetd.wire.history import Fields
from budgetd.wire.openai_chat import CHAT
from budgetd.wire.openai_chat import DIALECT as OPENAI
from tests.e2e.books import ask
from tests.proxy.test_sessions import FIRST, SYSTEM, Town, brought, ran, said, user
from tests.rig import ANTHROPIC_KEY, house

NAMED = Claim("abc", "client")
LONG = "word " * 20_000


def bound(visit: Visit) -> int:
    """The input tokens that are held for a call."""
    assert visit._facts is not None
    return input_bound(visit._facts, Estimation(), visit.known)


# ------------------------------------------------------------------------------- nothing is held too low


@pytest.mark.parametrize("meanwhile", ["under way", "refused", "failed"])
def test_what_moves_is_read_anew_each_time(meanwhile: str) -> None:
    town = Town()
    town.talk([user("Hi <info-msg>x</info-msg>")], said("a"), claim=NAMED)
    grown = [user(f"Hi <info-msg>{LONG}</info-msg>")]
    first = town.ask(grown, claim=NAMED)
    if meanwhile == "refused":
        first.refused()
    if meanwhile == "failed":
        town.answer(first, None)
    again = town.ask(grown, claim=NAMED, repeated=meanwhile != "under way")
    assert bound(again) >= bound(first) >= len(LONG)


def test_what_moves_is_no_part_of_a_preface() -> None:
    town = Town()
    town.answer(town.ask([SYSTEM, user("hi")]), said("a"), input=30)
    moved = town.ask([user(f"<info-msg>{LONG}</info-msg>"), SYSTEM, user("you")])
    assert moved.known is not None
    assert bound(moved) >= len(LONG)


def test_a_picture_in_a_preface_hides_no_words() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99_978}}
    system = {"role": "system", "content": [picture]}
    seen, town = Media(images=1, inline_bytes=100_000), Town()
    town.answer(town.ask([system, user("hi")], media=seen), said("a"), input=1_000)
    assert bound(town.ask([system, user(LONG)], media=seen)) >= 1_000 + len(LONG)


def test_fields_whose_names_look_like_other_fields_are_others() -> None:
    town, words = Town(), json.dumps("w" * 3_000)
    known: dict[str, Any] = {f"p:{words}q": "v" * 3_000, "s": 1}
    town.talk([FIRST], said("a"), claim=NAMED, **known)
    forged: dict[str, Any] = {"p": "w" * 3_000, f"q:{json.dumps('v' * 3_000)}s": 1}
    assert town.ask([FIRST, said("a"), user("b")], claim=NAMED, **forged).known is None


@pytest.mark.parametrize("field", ["betas", "anthropic_beta"])
def test_other_features_may_bring_back_what_was_left_out(field: str) -> None:
    town = Town()
    town.talk([FIRST], said("a"), claim=NAMED)
    features: dict[str, Any] = {field: ["interleaved-thinking"]}
    more = town.ask([FIRST, said("a"), user("b")], claim=NAMED, **features)
    assert more.known is None


@pytest.mark.parametrize("claim", [NAMED, Claim()])
def test_another_server_of_the_same_name_may_count_in_another_way(claim: Claim) -> None:
    town, more = Town(), [FIRST, said("a"), user("b")]
    town.talk([FIRST], said("a"), claim=claim, reader=b"http://127.0.0.1:1")
    assert town.ask(more, claim=claim, reader=b"http://127.0.0.1:2").known is None
    town.talk([FIRST], said("a"), claim=claim, reader=b"http://127.0.0.1:1")
    assert town.ask(more, claim=claim, reader=b"http://127.0.0.1:1").known is not None


async def test_what_was_read_in_another_way_is_not_known(tmp_path: Path) -> None:
    talk, bounds = [user(LONG)], []
    headers = {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
    async with house(tmp_path, "keys: {k: {budgets: [100.00 per day]}}") as here:
        for number in range(6):
            if number == 2:
                headers["anthropic-beta"] = "interleaved-thinking-2025-05-14"
            if number == 4:
                elsewhere = here.sim.url.replace("127.0.0.1", "localhost")
                here.config.write_text(here.config.read_text().replace(here.sim.url, elsewhere))
                assert await here.daemon.reload()
            body = {"model": "claude-sonnet-4-5", "max_tokens": 1_000, "messages": talk}
            url = f"{here.url}/k/k/s/one/v1/messages"
            async with here.http.post(url, json=body, headers=headers) as answer:
                reply, call = (await answer.json())["content"], answer.headers["x-budgetd-call"]
            talk = [*talk, {"role": "assistant", "content": reply}, user("b")]
            await here.quiet()
            bounds += ask(
                tmp_path / "state", "SELECT input_bound FROM attempt WHERE call = ?", call
            )
    known = [tokens < len(LONG) / 2 for (tokens,) in bounds]
    assert known == [False, True, False, True, False, True]


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}, 250_000),
        ({"type": "video_url", "video_url": {"url": "HTTPS://example.com/a.mp4"}}, 250_000),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}, 5_000),
        ({"type": "file", "file": {"file_id": "file-1"}}, 0),  # what was uploaded stays as it is
        ({"type": "file", "file": {"file_data": "QUJD" * 1_000}}, 0),
    ],
)
def test_what_stands_at_an_address_may_be_another_thing_next_time(part: Any, tokens: int) -> None:
    town, messages = Town(), [{"role": "user", "content": [part]}]
    first = _asked(town, messages)
    town.answer(first, said("a"), input=1_000)
    more = _asked(town, [*messages, said("a"), user("b")])
    assert more.known is not None
    assert tokens + 1_000 <= bound(more) <= tokens + 1_200


def _asked(town: Town, messages: list[Any]) -> Visit:
    facts = OPENAI.read(CHAT, parse(json.dumps({"model": "gpt-4o", "messages": messages}).encode()))
    visit = town.ask(messages, claim=NAMED, media=facts.media)
    assert visit._facts is not None
    visit._facts = facts
    return visit


# ---------------------------------------------------------------------------- what is told and kept of it


def test_an_answer_cannot_be_guessed_from_what_is_stored() -> None:
    stored = []
    for seed in (1, 1, 2):
        town = Town(seed)
        visit = town.ask([FIRST], claim=NAMED)
        turn = town.answer(visit, said("Yes."))
        assert turn.checkpoint is not None
        stored.append(turn.checkpoint.answer)
    assert stored[0] == stored[1] != stored[2]
    assert all(0 < answer < 2**63 for answer in stored)


def test_the_name_of_a_tool_is_one_line_that_can_be_printed() -> None:
    town = Town()
    call = ran("call_1", "\x1b[31mRead\n\ud800" + "x" * 900)
    town.talk([FIRST], call, claim=NAMED)
    turn = town.answer(town.ask([FIRST, call, brought("call_1", "y")], claim=NAMED), said("b"))
    (result,) = turn.results
    assert result.tool.startswith("?[31mRead??xx")
    assert (result.tool.isprintable(), len(result.tool)) == (True, 64)


def test_pictures_are_no_words_to_a_cap_on_context() -> None:
    town = Town()
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": "A" * 400_000}]}
    visit = town.ask([picture], claim=NAMED, media=Media(images=1, inline_bytes=400_000))
    assert visit.conduct(1).context < 100
    town.answer(visit, said("a"), input=1_500)
    seen = Media(images=2, inline_bytes=800_000)
    assert (
        town.ask([picture, said("a"), picture], claim=NAMED, media=seen).conduct(1).context < 1_600
    )


def test_a_session_that_is_named_later_is_still_found_by_its_prefix() -> None:
    town, talk = Town(), [SYSTEM, FIRST, said("a"), user("b")]
    first = town.ask([SYSTEM, FIRST])
    town.answer(first, said("a"))
    name = Claim(first.session.ref, "header")
    assert town.talk(talk, said("c"), claim=name) == first.session.id
    assert town.talk([*talk, said("c"), user("d")], said("e"), claim=name) == first.session.id
    assert town.talk([SYSTEM, FIRST, said("a"), user("B!")], said("z")) == first.session.id


def test_a_session_that_has_a_name_is_not_found_without_it() -> None:
    town = Town()
    named = town.talk([SYSTEM, FIRST], said("a"), claim=NAMED)
    assert town.talk([SYSTEM, FIRST, said("a"), user("b")], said("c")) != named


# --------------------------------------------------------------------------------------- nothing grows


def test_of_a_call_only_so_much_is_kept_as_agents_need() -> None:
    calls = [ran(f"{number}" + "i" * 900, "n" * 900)["tool_calls"][0] for number in range(300)]
    history = parse(json.dumps({"messages": [{"role": "assistant", "tool_calls": calls}]}).encode())
    town = Town()
    (item,) = town.sessions._historian.read(history, Fields()).items
    assert len(item.calls) == MOST_CALLS
    assert all(len(call.id) == len(call.name) == LONGEST_NAME for call in item.calls)
    assert not town.sessions._historian._read  # heavy ones are read again
    parts = [{"type": "tool_result", "tool_use_id": f"{n}", "content": "x"} for n in range(300)]
    history = parse(json.dumps({"messages": [{"role": "user", "content": parts}]}).encode())
    (item,) = town.sessions._historian.read(history, Fields()).items
    assert len(item.results) == MOST_CALLS


def test_a_turn_of_thousands_of_calls_is_not_followed() -> None:
    town, calls = Town(), [ran(f"c{number}")["tool_calls"][0] for number in range(100)]
    turn = [{"role": "assistant", "content": None, "tool_calls": calls}] * 90
    visit = town.ask([FIRST, *turn], claim=NAMED)
    assert visit._state is not None
    assert visit._state.trail.weight == 0
    assert visit._state.trail.until == 91
    short = town.ask([FIRST, *turn[:3]], claim=Claim("other", "client"))
    assert short._state is not None
    assert 300 < short._state.trail.weight < loops.HEAVIEST


def test_all_of_them_together_weigh_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "HEAVIEST", 2_000)
    town = Town()
    for number in range(40):
        town.ask([user(f"{number}.{n}") for n in range(200)])
    for _ in range(3):  # the same again takes the place of what was there
        town.ask([user(f"39.{n}") for n in range(200)], repeated=True)
    town.ask([user(f"{n}") for n in range(3_000)])  # too many to be kept at all
    kept = town.sessions._lives
    assert (
        sum(state.weight for live in kept._lives.values() for state in live.states) == kept._weight
    )
    assert 1_000 < kept._weight <= 2_000
    assert len(kept) < 12


# --------------------------------------------------------------------------------------- nobody waits


def test_thousands_that_begin_alike_delay_nobody() -> None:
    town = Town()
    for _ in range(2_000):
        town.talk([SYSTEM, FIRST], said("a"))
    long = [said(f"{number}") for number in range(3_000)]
    spent = time.process_time()
    for _ in range(3):
        town.ask([SYSTEM, FIRST, *long, user("b")])
    assert time.process_time() - spent < 1  # 0.1; it was 3 while each of them read the answers
