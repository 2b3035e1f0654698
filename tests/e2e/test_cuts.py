"""Never undercounted: whatever breaks, and wherever, the ledger is not below the provider's bill.

Each call is compared with its own line of the simulator's bill: equal where the protocol's end
marker came, not below it (and flagged as an estimate) where it did not.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.e2e.books import charged, entries
from tests.e2e.playing import (
    KINDS,
    PLENTY,
    Kind,
    Pair,
    read_events,
    reconcile,
    settled_up,
    whole_length,
    with_provider,
)
from tests.rig import House, house, until

SHORT = f"{PLENTY}\npatience: {{drain_stream: 8ms, drain_whole: 8ms, idle: 4s}}"
LONG = f"{PLENTY}\npatience: {{drain_stream: 20s, drain_whole: 20s, idle: 5s}}"
FAULTS = ("cut", "reset", "stall", "end", "error", "malformed")


async def leave_after(home: House, kind: Kind, number: int, script: dict[str, Any]) -> Pair:
    """Read so many events, then close the socket."""
    async with kind.post(home, script=script) as answer:
        pair = Pair.of(answer)
        await read_events(answer, number)
        answer.close()
        return pair


@pytest.mark.parametrize("patience", [SHORT, LONG], ids=["short drain", "long drain"])
async def test_a_client_that_leaves_at_any_event(tmp_path, patience):
    async with house(tmp_path, patience) as home:

        async def every_event(kind: Kind) -> list[Pair]:
            script = {"pace": 0.004}
            leaving = range(await whole_length(home, kind) + 1)
            return await asyncio.gather(*(leave_after(home, kind, n, script) for n in leaving))

        found = await asyncio.gather(*map(every_event, KINDS.values()))
        pairs = [pair for pairs in found for pair in pairs]
        books = await settled_up(home)
        reconcile(home, books, pairs)
        cut = [books[pair.call] for pair in pairs]
        assert len(cut) > 80
        if patience is LONG:  # the rest was read for its price
            assert {entry.state for entry in cut} == {"settled"}
        else:
            assert sum(entry.cause == "client_gone" for entry in cut) > len(cut) // 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_provider_that_fails_at_any_event(tmp_path, fault):
    async with house(tmp_path, SHORT) as home:

        async def suffer(kind: Kind, number: int) -> Pair:
            script = {f"{fault}_after_event": number, "pace": 0.001}
            async with kind.post(home, script=script) as answer:
                pair = Pair.of(answer)
                try:
                    body, broken = await answer.read(), False
                except aiohttp.ClientError:
                    body, broken = b"", True
                # The client sees the end that the provider made: broken is not made to look whole.
                assert broken == (fault in {"cut", "reset", "stall"}), (kind, number, body)
                return pair

        async def every_event(kind: Kind) -> list[Pair]:
            length = await whole_length(home, kind)
            return await asyncio.gather(*(suffer(kind, number) for number in range(length + 1)))

        for pairs in await asyncio.gather(*map(every_event, KINDS.values())):
            books = await settled_up(home)
            reconcile(home, books, pairs)
            early = [books[pair.call] for pair in pairs[:-2]]
            if fault == "malformed":  # the stream went on behind it
                assert {entry.state for entry in early} == {"settled"}
                continue
            assert {entry.state for entry in early} == {"uncertain"}
            expected = {"cut": "upstream_cut", "reset": "upstream_cut", "stall": "upstream_stalled"}
            assert {entry.cause for entry in early} == {expected.get(fault, "no_end_marker")}


async def test_streams_that_are_none_and_streams_without_usage(tmp_path):
    scripts: dict[str, dict[str, Any]] = {
        "a document": {"content_type": "application/json"},
        "unread": {"content_type": "text/plain"},
        "no usage": {"omit_usage": True},
        "crlf": {"crlf": True},
        "comments": {"comments": True},
        "kimi": {"flavour": "kimi"},
        "groq": {"flavour": "groq"},
        "mistral": {"flavour": "mistral"},
    }
    async with house(tmp_path, LONG) as home:

        async def ask(kind: Kind, name: str) -> tuple[Kind, str, Pair]:
            async with kind.post(home, script=scripts[name]) as answer:
                assert await answer.read()
                return kind, name, Pair.of(answer)

        asked = await asyncio.gather(*(ask(k, name) for k in KINDS.values() for name in scripts))
        books = await settled_up(home)
        reconcile(home, books, [pair for _, _, pair in asked])
        for kind, name, pair in asked:
            lost = name in {"unread", "no usage"}
            assert books[pair.call].state == ("uncertain" if lost else "settled"), (kind, name)


async def test_whole_answers_that_break(tmp_path):
    scripts: list[dict[str, Any]] = [
        {"cut_after_event": 0},
        {"reset_after_event": 0},
        {"stall_after_event": 0},
        {"drop_before_headers": True, "bill_failed_input": True},
        {"omit_usage": True},
        {},
    ]
    async with house(tmp_path, SHORT) as home:

        async def ask(kind: Kind, script: dict[str, Any]) -> None:
            with suppress(aiohttp.ClientError):
                async with kind.post(home, stream=False, script=script) as answer:
                    await answer.read()

        await asyncio.gather(*(ask(kind, script) for kind in KINDS.values() for script in scripts))
        found = (await settled_up(home)).values()
        broken = [entry for entry in found if entry.state == "uncertain"]
        assert len(broken) == (len(scripts) - 1) * len(KINDS)
        for entry in broken:
            assert entry.cost == entry.hold or entry.cause == "no_usage"


@pytest.mark.parametrize("patience", [SHORT, LONG], ids=["short drain", "long drain"])
async def test_a_client_that_does_not_wait_for_its_whole_answer(tmp_path, patience):
    async with house(tmp_path, patience) as home:
        slow = {"first_byte": 0.08}
        await give_up([kind.post(home, stream=False, script=slow) for kind in KINDS.values()], home)
        books = (await settled_up(home)).values()
        if patience is LONG:
            assert {entry.state for entry in books} == {"settled"}
            assert charged(home.state) == home.sim.bill.total_pico
        else:
            assert {(entry.state, entry.cause) for entry in books} == {("uncertain", "client_gone")}
            assert all(entry.cost == entry.hold for entry in books)


async def test_a_client_that_leaves_before_a_stream_has_headers(tmp_path):
    async with house(tmp_path, SHORT) as home:
        for more in ({}, {"drop_before_headers": True, "bill_failed_input": True}):
            slow = {"first_byte": 0.06} | more
            await give_up([kind.post(home, script=slow) for kind in KINDS.values()], home)
            books = await settled_up(home)
            assert {entry.cause for entry in books.values()} == {"client_gone"}


async def give_up(calls: list[Any], home: House) -> None:
    """Send them all, and close their sockets once the provider has them."""
    asking = [asyncio.ensure_future(call.__aenter__()) for call in calls]
    await until(lambda: home.sim.open_requests == len(calls))
    for one in asking:
        one.cancel()
    assert all(await asyncio.gather(*asking, return_exceptions=True))


STATUSES = (400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529)
HINTS: list[dict[str, Any]] = [
    {},
    {"retry_after": 7},
    {"retry_after_date": 90},
    {"retry_after_ms": 350},
    {"limits": "anthropic"},
    {"limits": "unified_5h"},
    {"limits": "unified_7d"},
    {"limits": "openai"},
    {"error_body": "<html>\u00e9 not JSON at all</html>"},
]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", ["chat text", "message thinking"])
async def test_errors_pass_unchanged_and_cost_what_errors_cost(tmp_path, name, stream):
    kind = KINDS[name]
    async with house(tmp_path, LONG) as home:

        async def both(status: int, hint: dict[str, Any]) -> None:
            script = {"status": status, "bill_failed_input": True} | hint
            async with kind.post(home, stream=stream, script=script) as answer:
                body, headers = await answer.read(), answer.headers
                assert answer.status == status
            async with _at_provider(home, kind, stream, script) as answer:
                assert answer.status == status
                assert _without_id(body) == _without_id(await answer.read())
                names = {header.lower() for header in answer.headers}
                assert names <= {header.lower() for header in headers}
                for header in ("retry-after-ms", "content-type", "x-ratelimit-reset-requests"):
                    assert headers.get(header) == answer.headers.get(header)

        billed = 0
        for status in STATUSES:
            before = home.sim.bill.total_pico
            await asyncio.gather(*(both(status, hint) for hint in HINTS))
            # Half of what was billed are the direct calls, which are none of the daemon's business.
            billed += (home.sim.bill.total_pico - before) // 2
        await home.quiet()
        books = entries(home.state)
        for entry in books:
            free = entry.status is not None and (entry.status < 500 or entry.status in {503, 529})
            assert entry.state == ("known_zero" if free else "uncertain")
            assert (entry.cost == 0) == free
        assert 0 < billed <= charged(home.state)


def _at_provider(home: House, kind: Kind, stream: bool, script: dict[str, Any]) -> Any:
    headers = {"x-sim-script": json.dumps(script), "anthropic-version": "2023-06-01"}
    headers |= {"authorization": "Bearer sk-proj-test", "x-api-key": "sk-ant-test"}
    body = kind.body | {"stream": stream}
    return home.http.post(home.sim.url + kind.path, json=body, headers=headers)


def _without_id(body: bytes) -> Any:
    try:
        return json.loads(body) | {"request_id": None}
    except ValueError:
        return body


@pytest.mark.parametrize("name", ["chat text", "message text", "chat tool call"])
@pytest.mark.parametrize("whole", [True, False], ids=["bills whole answers", "bills what it sent"])
async def test_a_provider_that_bills_aborted_answers_whole(tmp_path, name, whole):
    """With `bills_aborted` a cut call keeps its full hold; a call that ended well does not."""
    kind = KINDS[name]
    provider = "anthropic" if kind.path.endswith("messages") else "openai"
    async with house(tmp_path, SHORT) as home:
        length = await whole_length(home, kind)
        if whole:
            await with_provider(home, provider, "bills_aborted: true")
        script = {"pace": 0.004, "tokens": 300, "arguments": json.dumps({"text": "long " * 200})}
        script |= {"bills_aborted": "complete" if whole else "delivered"}
        pairs = await asyncio.gather(
            *(leave_after(home, kind, number, script) for number in range(length)),
            *(
                leave_after(home, kind, 10_000, script | {f"{fault}_after_event": number})
                for fault in ("cut", "stall")
                for number in range(0, length, 2)
            ),
            leave_after(home, kind, 10_000, {"bills_aborted": "complete"}),
        )
        books = await settled_up(home)
        reconcile(home, books, pairs)
        cut = [books[pair.call] for pair in pairs[:-1] if books[pair.call].state != "settled"]
        assert len(cut) >= length
        full = sum(entry.cost == entry.hold for entry in cut)
        assert full == len(cut) if whole else full < len(cut) // 2
        assert books[pairs[-1].call].state == "settled"
