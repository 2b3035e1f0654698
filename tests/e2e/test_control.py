"""What an owner does to a running daemon: top-ups, the kill switch, corrections, tokens, reloads."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from budgetd.config.load import load
from budgetd.core.money import pico_from_usd
from budgetd.daemon import Daemon
from budgetd.proxy import relay
from tests.e2e.books import PICO, drawers, entries, newest
from tests.e2e.playing import KINDS, PLENTY, Pair, read_events, reconcile, settled_up
from tests.rig import House, events, house, until

CENT = "default_key: {budgets: [0.01 per 5h]}"
SLOW = {"pace": 0.01, "tokens": 2000, "chunk_tokens": 1}
LONG_TOOL = {"pace": 0.01, "chunk_tokens": 1}


async def refused(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """What budgetd says of its own refusal."""
    assert answer.status == 429, await answer.text()
    told: dict[str, Any] = (await answer.json())["error"]["budgetd"]
    return told


async def test_a_top_up_lets_the_next_call_pass(tmp_path):
    async with house(tmp_path, CENT) as home:
        async with home.chat(max_tokens=2000) as answer:
            assert (await refused(answer))["reason"] == "spent"
        status, told = await home.control("topup", key="default", usd="2.50", note="more")
        assert (status, told["budgets"][0]["limit_usd"]) == (200, "2.51")
        async with home.chat(max_tokens=2000) as answer:
            assert answer.status == 200
        home.clock.advance(5 * 3600)  # it was for that window only
        async with home.chat(max_tokens=2000) as answer:
            assert (await refused(answer))["limit_usd"] == "0.01"


STREAMS = ("chat text", "chat reasoning", "message text", "message thinking")


@pytest.mark.parametrize("name", STREAMS)
async def test_stop_now_ends_streams_as_their_protocol_does(tmp_path, name):
    kind = KINDS[name]
    async with house(tmp_path, PLENTY) as home:
        async with kind.post(home, script=SLOW) as answer:
            pair = Pair.of(answer)
            assert await read_events(answer, 8) == 8
            _, told = await home.control("stop", key="default", now=True, note="enough")
            assert told["streams_ended"] == 1
            rest = await answer.read()  # ends without an error
        async with kind.post(home) as answer:
            assert (await refused(answer))["reason"] == "stopped"
        assert (await home.control("stop", key="default", lift=True))[1]["lifted"] is True
        async with kind.post(home) as answer:
            assert answer.status == 200
            await answer.read()
        books = await settled_up(home)
        assert (books[pair.call].state, books[pair.call].cause) == ("uncertain", "stopped")
        reconcile(home, books, [pair])
        assert home.sim.bill.line(pair.request).how == "client_left"
        if kind.path.endswith("completions"):
            assert rest.endswith(b"data: [DONE]\n\n")
            assert events(rest)[-1]["choices"][0]["finish_reason"] == "length"
        else:
            kinds = [event["type"] for event in events(rest)]
            assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
            assert events(rest)[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize("name", ["chat tool call", "message tool call"])
async def test_stop_now_waits_for_a_running_tool_call(tmp_path, name):
    kind = KINDS[name]
    async with house(tmp_path, PLENTY) as home:
        async with kind.post(home, script=LONG_TOOL) as answer:
            pair = Pair.of(answer)
            before = await answer.content.readuntil(b"rather")
            await home.control("stop", all=True, now=True)
            body = before + await answer.read()
        arguments = "".join(_arguments(events(body)))
        assert json.loads(arguments)["lines"] == [1, 2, 3]  # the whole call came
        books = await settled_up(home)
        reconcile(home, books, [pair])


def _arguments(chunks: list[Any]) -> list[str]:
    found = []
    for chunk in chunks:
        for choice in chunk.get("choices", []):
            calls = choice["delta"].get("tool_calls", [])
            found += [call["function"].get("arguments", "") for call in calls]
        found.append(chunk.get("delta", {}).get("partial_json", ""))
    return found


@pytest.mark.parametrize("name", ["chat tool call", "message tool call"])
async def test_a_tool_call_that_never_ends_is_not_waited_for_without_end(
    tmp_path, name, monkeypatch
):
    monkeypatch.setattr(relay, "CLOSING_GRACE", 0.1)
    kind = KINDS[name]
    async with house(tmp_path, PLENTY) as home:
        async with kind.post(home, script=LONG_TOOL | {"stall_after_event": 6}) as answer:
            pair = Pair.of(answer)
            assert await read_events(answer, 5) == 5
            await home.control("stop", all=True, now=True)
            with pytest.raises(aiohttp.ClientError):  # what is not whole does not look whole
                await answer.read()
        books = await settled_up(home)
        assert books[pair.call].cause == "stopped_inside_tool_call"
        reconcile(home, books, [pair])


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", ["chat text", "message thinking"])
async def test_stop_now_reaches_calls_whose_answer_has_not_begun(
    tmp_path, name, stream, monkeypatch
):
    monkeypatch.setattr("budgetd.proxy.carriage.CLOSING_GRACE", 0.05)
    async with house(tmp_path, PLENTY) as home:
        waiting = KINDS[name].post(home, stream=stream, script={"first_byte": 30})
        asking = asyncio.ensure_future(waiting.__aenter__())
        await until(lambda: home.sim.open_requests == 1)
        assert (await home.control("stop", all=True, now=True))[1]["streams_ended"] == 1
        answer = await asking
        assert (answer.status, "stopped" in await answer.text()) == (503, True)
        (entry,) = (await settled_up(home)).values()
        assert (entry.state, entry.cause) == ("uncertain", "stopped")


async def test_stop_now_leaves_other_keys_alone(tmp_path):
    extra = f"{PLENTY}\nkeys: {{night: [10 per day], day: [10 per day]}}"
    async with house(tmp_path, extra) as home:
        kind = KINDS["message text"]
        script = {"pace": 0.005, "tokens": 80}
        async with (
            kind.post(home, label="/k/night", script=SLOW) as ended,
            kind.post(home, label="/k/day", script=script) as unharmed,
        ):
            await read_events(ended, 3)
            assert (await home.control("stop", key="night", now=True))[1]["streams_ended"] == 1
            assert events(await ended.read())[-1] == {"type": "message_stop"}
            assert events(await unharmed.read())[-2]["delta"]["stop_reason"] == "end_turn"
        books = (await settled_up(home)).values()
        assert {entry.key: entry.state for entry in books} == {
            "night": "uncertain",
            "day": "settled",
        }


async def test_adjusting_a_call(tmp_path):
    async with house(tmp_path) as home:
        async with home.chat() as answer:
            call = answer.headers["x-budgetd-call"]
        await home.quiet()
        cost = newest(home.state).cost
        status, told = await home.control("adjust", call=call, usd="0.25", note="by hand")
        assert status == 200
        assert drawers(home.state)[0].settled == cost + PICO // 4
        (shown,) = (await home.status("/status/keys/default"))["calls"]
        assert pico_from_usd(shown["cost_usd"]) == cost + PICO // 4
        status, told = await home.control("adjust", call=call, usd="-100")
        assert (status, told["after_usd"]) == (200, "0")  # never below nothing
        assert drawers(home.state)[0].settled == 0
        assert (await home.control("adjust", call="nonsense", usd="1"))[0] == 404
        assert (await home.control("audit"))[1] == {"differences": []}


def change(home: House, old: str, new: str) -> None:
    """Edit the daemon's file."""
    text = home.config.read_text()
    assert old in text
    home.config.write_text(text.replace(old, new))


async def test_tokens_work_and_cease_to_work_at_once(tmp_path):
    secret = tmp_path / "openai.key"
    secret.write_text("sk-proj-the-owners-own\n")
    secret.chmod(0o600)
    async with house(tmp_path) as home:
        change(home, home.sim.url + "}", f"{home.sim.url}, credential: {{file: {secret}}}}}")
        with home.config.open("a") as file:
            file.write("keys: {team: {custody: issued, budgets: [1 per day]}}\n")
        await home.daemon.reload()
        first = (await home.control("keys/issue", key="team"))[1]["token"]
        second = (await home.control("keys/issue", key="team", expires_in_s=60))[1]["token"]

        async def status(token: str) -> int:
            headers = {"authorization": f"Bearer {token}"}
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
            url = f"{home.url}/v1/chat/completions"
            async with home.http.post(url, json=body, headers=headers) as answer:
                return answer.status

        assert [await status(first), await status(second)] == [200, 200]
        sent = home.sim.requests[-1].header("authorization")
        assert sent == "Bearer sk-proj-the-owners-own"
        home.clock.advance(60)
        assert [await status(first), await status(second)] == [200, 401]
        assert (await home.control("keys/revoke", key="team", hint=first[:12]))[1]["revoked"] == 1
        assert [await status(first), await status(second)] == [401, 401]


async def test_a_key_expires_by_the_clock(tmp_path):
    extra = "keys: {guest: {budgets: [1 per day], expires: 2026-11-18T12:00:00Z}}"
    async with house(tmp_path, extra) as home:  # the hand clock begins at 11:06:40 of that day
        async with home.chat(label="/k/guest") as answer:
            assert answer.status == 200
        home.clock.advance(3200)
        async with home.chat(label="/k/guest") as answer:
            assert (answer.status, "expired" in await answer.text()) == (401, True)


async def test_observing_shows_and_does_not_act(tmp_path):
    async with house(tmp_path, "default_key: {budgets: [0 per 5h], observe: true}") as home:
        async with home.chat() as answer:
            assert answer.status == 200
        await settled_up(home)
        (seen,) = (await home.status())["recent_refusals"]
        assert (seen["reason"], seen["key"]) == ("observed", "default")
        assert drawers(home.state)[0].settled == home.sim.bill.total_pico > 0


async def test_a_budget_that_observes_binds_nothing(tmp_path):
    extra = "default_key: {budgets: [{limit: 0, every: day, observe: true}, 1.00 per 5h]}"
    async with house(tmp_path, extra) as home:
        async with home.chat(max_tokens=100) as answer:
            assert answer.status == 200
        (seen,) = (await home.status())["recent_refusals"]
        assert (seen["reason"], seen["budgets"][0]["budget"]) == ("observed", "day")


# ------------------------------------------------------------------------------------ reload


async def test_a_file_that_comes_after_the_start_is_taken_over(tmp_path):
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path / "etc"),
        "XDG_STATE_HOME": str(tmp_path / "var"),
        "HOME": str(tmp_path),
        "BUDGETD_LISTEN": "127.0.0.1:0",
    }
    place = tmp_path / "etc" / "budgetd" / "config.yaml"
    place.parent.mkdir(parents=True)
    daemon = Daemon(load(None, environ), environ)
    await daemon.start()
    try:
        assert daemon.standing.config == "built-in defaults"
        place.write_text("keys: {late: 1.00 per 5h}\n")
        await until(lambda: daemon.gateway.setup.rules.key("late") is not None)
        assert daemon.standing.config == str(place)
    finally:
        await daemon.stop()


async def test_an_amount_changes_and_what_was_spent_stays(tmp_path):
    async with house(tmp_path, CENT) as home:
        async with home.chat(max_tokens=200) as answer:
            assert answer.status == 200
        await home.quiet()
        spent = drawers(home.state)[0].settled
        change(home, "0.01 per 5h", "3.00 per 5h")
        assert await home.daemon.reload()
        async with home.chat(max_tokens=8000) as answer:
            assert answer.status == 200
        await home.quiet()
        (drawer,) = drawers(home.state)
        assert drawer.settled > spent > 0
        change(home, "3.00 per 5h", "0.0001 per 5h")
        await home.daemon.reload()
        async with home.chat(max_tokens=1) as answer:
            assert (await refused(answer))["reason"] == "spent"


async def test_another_window_begins_with_nothing_spent(tmp_path):
    async with house(tmp_path, CENT) as home:
        async with home.chat(max_tokens=200) as answer:
            assert answer.status == 200
        await home.quiet()
        change(home, "0.01 per 5h", "0.01 per day")
        await home.daemon.reload()
        async with home.chat(max_tokens=200) as answer:
            assert answer.status == 200
        await home.quiet()
        assert [d.settled > 0 for d in drawers(home.state)] == [True, True]
        balance = (await home.status("/status/keys/default"))["budgets"][0]
        assert (balance["window"], balance["resets_at"]) == ("day (UTC)", "2026-11-19T00:00:00Z")


async def test_a_changed_file_is_taken_over_under_load(tmp_path):
    async with house(tmp_path, PLENTY) as home:
        script = {"pace": 0.03, "tokens": 380}

        async def stream(name: str) -> Pair:
            async with KINDS[name].post(home, script=script) as answer:
                pair = Pair.of(answer)
                body = await answer.read()
                assert b"[DONE]" in body or b"message_stop" in body
                return pair

        names = ["chat text", "message text", "message thinking"] * 8
        streams = asyncio.gather(*map(stream, names))
        await until(lambda: home.sim.open_requests == len(names))
        change(home, "100000 per 5h", "90000 per 5h")
        await until(lambda: home.daemon.gateway.setup.rules.generation == 1)
        assert home.sim.open_requests == len(names)  # taken over while they all ran
        change(home, "90000 per 5h", "90000 per fortnight")
        await until(lambda: home.daemon.standing.config_error is not None)
        told = (await home.status())["config"]
        assert (told["generation"], "default_key.budgets" in told["error"]) == (1, True)
        assert home.daemon.gateway.setup.rules.keys["default"].budgets[0].limit == 90_000 * PICO
        change(home, "90000 per fortnight", "80000 per 5h")
        await until(lambda: home.daemon.gateway.setup.rules.generation > 1)
        assert (await home.status())["config"]["error"] is None
        pairs = await streams
        books = await settled_up(home)
        assert {books[pair.call].state for pair in pairs} == {"settled"}
        reconcile(home, books, pairs)
        assert len(entries(home.state)) == len(names)
        assert len(drawers(home.state)) == 1  # the same window all along
