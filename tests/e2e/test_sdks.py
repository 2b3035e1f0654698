"""The real openai and anthropic Python SDKs through the daemon: served, billed, refused, served again.

Nothing in them is configured but base_url and API key. Every figure is compared with the
simulator's own bill, to the pico-dollar, and every request is counted at both sides of the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest

from budgetd.simulator import Script
from tests.e2e.books import PICO, ask, charged, entries
from tests.e2e.playing import with_provider
from tests.rig import ANTHROPIC_KEY, OPENAI_KEY, House, house

HELLO: Any = [{"role": "user", "content": "hello there"}]
GPT: Any = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 200}
CLAUDE: Any = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 200}
USAGE: Any = {"stream": True, "stream_options": {"include_usage": True}}
LIST: Any = [{"role": "user", "content": 'list SIM{"tool": "ls", "arguments": {"path": "/tmp"}}'}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
TOOLS: Any = [{"name": "ls", "input_schema": {"type": "object"}}]
THINKING: Any = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
RESET = "2026-11-18T15:00:00Z"  # the end of the window that the rig's clock starts in
CENT = "keys: {small: 0.01 per 5h}"  # GPT and CLAUDE fit in it a few times


def gpt(home: House, label: str = "", key: str = OPENAI_KEY) -> openai.AsyncOpenAI:
    """The asynchronous client of openai, as its users make it."""
    return openai.AsyncOpenAI(base_url=f"{home.url}{label}/v1", api_key=key)


def claude(home: House, label: str = "", key: str = ANTHROPIC_KEY) -> anthropic.AsyncAnthropic:
    """The asynchronous client of anthropic."""
    return anthropic.AsyncAnthropic(base_url=home.url + label, api_key=key)


@asynccontextmanager
async def both(
    home: House, label: str = ""
) -> AsyncIterator[tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]]:
    """Both clients, closed at the end."""
    async with gpt(home, label) as one, claude(home, label) as other:
        yield one, other


async def gathered(stream: Any) -> list[Any]:
    """The chunks of a stream."""
    return [chunk async for chunk in stream]


def said(message: Any) -> str:
    """The text of a message; a streamed one is of another class."""
    return "".join(block.text for block in message.content if block.type == "text")


async def exact(home: House, calls: int) -> None:
    """So many calls reached the provider, each is settled, and the sums are the same."""
    await home.quiet()
    assert [entry.state for entry in entries(home.state)] == ["settled"] * calls
    assert len(home.sim.bill.lines) == calls
    assert charged(home.state) == home.sim.bill.total_pico > 0


async def refused(asking: Awaitable[Any], error: type[Exception]) -> Any:
    """The exception that a call must end in."""
    with pytest.raises(error) as caught:
        await asking
    return caught.value


def refusals(home: House) -> list[str]:
    """The reasons of all refusals, one for each request that the daemon turned away."""
    return [reason for (reason,) in ask(home.state, "SELECT reason FROM refusal ORDER BY at")]


# --- Served and billed ---------------------------------------------------------------------------


async def test_openai_async(tmp_path):
    async with house(tmp_path) as home, gpt(home) as sdk:
        whole = await sdk.chat.completions.create(**GPT)
        assert whole.usage is not None
        await exact(home, calls=1)

        plain = await gathered(await sdk.chat.completions.create(**GPT, stream=True))
        asked = await gathered(await sdk.chat.completions.create(**GPT, **USAGE))
        # As langchain-openai reads them: text from the first choice of every chunk, without looking.
        text = "".join(chunk.choices[0].delta.content or "" for chunk in plain)
        assert text == whole.choices[0].message.content
        assert all(chunk.usage is None for chunk in plain)
        assert (asked[-1].choices, asked[-1].usage) == ([], whole.usage)
        assert len(asked) == len(plain) + 1
        await exact(home, calls=3)


async def test_openai_sync_and_raw(tmp_path):
    def work(url: str) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=OPENAI_KEY) as sdk:
            whole = sdk.chat.completions.create(**GPT)
            chunks = list(sdk.chat.completions.create(**GPT, stream=True))
            assert whole.choices[0].message.content == "".join(
                chunk.choices[0].delta.content or "" for chunk in chunks
            )
            raw = sdk.chat.completions.with_raw_response.create(**GPT)
            assert raw.parse().usage == whole.usage
            assert raw.headers["x-budgetd-call"]

    async with house(tmp_path) as home:
        await asyncio.to_thread(work, home.url)
        await exact(home, calls=3)


async def test_openai_tools_reasoning_and_structured_streams(tmp_path):
    async with house(tmp_path) as home, gpt(home) as sdk:
        ask: Any = {"model": "gpt-5-mini", "tools": CHAT_TOOLS}  # no bound: one is injected
        async with sdk.chat.completions.stream(messages=LIST, **ask) as stream:
            called = (await stream.get_final_completion()).choices[0].message
        assert called.tool_calls is not None
        assert called.tool_calls[0].function.arguments == '{"path": "/tmp"}'
        result: Any = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "a b"}
        turn: Any = called.model_dump(exclude_none=True, exclude={"parsed"})
        final = await sdk.chat.completions.create(messages=[*LIST, turn, result], **ask)
        assert final.choices[0].finish_reason == "stop"
        assert final.usage is not None
        assert final.usage.completion_tokens_details is not None
        assert final.usage.completion_tokens_details.reasoning_tokens == 32
        await exact(home, calls=2)


async def test_openai_completions_embeddings_and_models(tmp_path):
    async with house(tmp_path) as home, gpt(home) as sdk:
        old: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "max_tokens": 30}
        assert (await sdk.completions.create(**old)).choices[0].text
        plain = await gathered(await sdk.completions.create(**old, stream=True))
        assert all(chunk.choices for chunk in plain)
        asked = await gathered(await sdk.completions.create(**old, **USAGE))
        assert asked[-1].usage is not None
        vectors = await sdk.embeddings.create(model="text-embedding-3-small", input=["hi", "you"])
        assert [len(row.embedding) for row in vectors.data] == [1536, 1536]
        await exact(home, calls=4)
        assert "gpt-4o" in [model.id async for model in sdk.models.list()]
        await exact(home, calls=4)  # a list costs nothing


async def test_anthropic_async(tmp_path):
    async with house(tmp_path) as home, claude(home) as sdk:
        whole = await sdk.messages.create(**CLAUDE)
        async with sdk.messages.stream(**CLAUDE) as stream:
            final = await stream.get_final_message()
        assert (said(final), final.usage) == (said(whole), whole.usage)
        events = await gathered(await sdk.messages.create(**CLAUDE, stream=True))
        assert events[-1].type == "message_stop"
        await exact(home, calls=3)
        counted = await sdk.messages.count_tokens(model=CLAUDE["model"], messages=HELLO)
        assert counted.input_tokens == whole.usage.input_tokens
        assert "claude-sonnet-4-6" in [model.id async for model in sdk.models.list()]
        await exact(home, calls=3)  # neither costs anything


async def test_anthropic_sync(tmp_path):
    def work(url: str) -> None:
        with anthropic.Anthropic(base_url=url, api_key=ANTHROPIC_KEY) as sdk:
            whole = sdk.messages.create(**CLAUDE)
            with sdk.messages.stream(**CLAUDE) as stream:
                assert said(stream.get_final_message()) == said(whole)
        with anthropic.Anthropic(base_url=url, auth_token=ANTHROPIC_KEY) as sdk:  # as a bearer
            assert said(sdk.messages.create(**CLAUDE)) == said(whole)

    async with house(tmp_path) as home:
        await asyncio.to_thread(work, home.url)
        await exact(home, calls=3)


async def test_anthropic_tools_thinking_and_cache(tmp_path):
    async with house(tmp_path) as home, claude(home) as sdk:
        system: Any = [
            {"type": "text", "text": "rule " * 2000, "cache_control": {"type": "ephemeral"}}
        ]
        ask: Any = {**CLAUDE, **THINKING, "tools": TOOLS, "system": system}
        async with sdk.messages.stream(**ask | {"messages": LIST}) as stream:
            called = await stream.get_final_message()
        use: Any = called.content[1]
        assert (called.content[0].type, use.type) == ("thinking", "tool_use")
        assert called.usage.cache_creation_input_tokens
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "a b"}
        history = [
            *LIST,
            {"role": "assistant", "content": called.content},
            {"role": "user", "content": [result]},
        ]
        final = await sdk.messages.create(**ask | {"messages": history})
        assert final.stop_reason == "end_turn"
        assert final.usage.cache_read_input_tokens
        await exact(home, calls=2)


async def test_both_with_labels_in_the_base_url(tmp_path):
    async with house(tmp_path, CENT) as home, both(home, "/k/small/l/thesis") as (one, other):
        await one.chat.completions.create(**GPT)
        await other.messages.create(**CLAUDE)
        await gathered(await one.chat.completions.create(**GPT, stream=True))
        await exact(home, calls=3)
        assert {entry.key for entry in entries(home.state)} == {"small"}
        assert ask(home.state, "SELECT DISTINCT label FROM call") == [("thesis",)]


async def test_both_with_a_token_and_the_owners_credential(tmp_path):
    async with house(tmp_path) as home:
        for name in ("openai", "anthropic"):
            (tmp_path / name).write_text(f"sk-owned-by-{name}")
            (tmp_path / name).chmod(0o600)
            await with_provider(home, name, f"credential: {{file: {name}}}")
        keys = "keys: {team: {budgets: [1.00 per 5h], custody: issued}}"
        home.config.write_text(home.config.read_text() + keys)
        await home.daemon.reload()
        status, issued = await home.control("keys/issue", key="team")
        assert status == 200
        token = issued["token"]
        assert token.startswith("bgd_")
        async with gpt(home, key=token) as one, claude(home, key=token) as other:
            await one.chat.completions.create(**GPT)
            await gathered(await other.messages.create(**CLAUDE, stream=True))
        await exact(home, calls=2)
        assert {entry.key for entry in entries(home.state)} == {"team"}
        chat, message = home.sim.requests
        assert chat.header("authorization") == "Bearer sk-owned-by-openai"
        assert message.header("x-api-key") == "sk-owned-by-anthropic"
        assert not any(token in str(request) for request in home.sim.requests)

        await home.control("keys/revoke", key="team")
        async with gpt(home, key=token) as one:
            error = await refused(one.chat.completions.create(**GPT), openai.AuthenticationError)
        assert "was revoked" in error.message


# --- Refused, and served again -------------------------------------------------------------------

Call = Callable[[Any, Any], Awaitable[Any]]


def _gpt_stream(one: Any, _: Any) -> Awaitable[Any]:
    return _read(one.chat.completions.create(**GPT, stream=True))


def _claude_stream(_: Any, other: Any) -> Awaitable[Any]:
    return _read(other.messages.create(**CLAUDE, stream=True))


async def _read(asking: Awaitable[Any]) -> list[Any]:
    return await gathered(await asking)


CALLS: dict[str, tuple[Call, type[Exception]]] = {
    "openai whole": (lambda one, _: one.chat.completions.create(**GPT), openai.RateLimitError),
    "openai stream": (_gpt_stream, openai.RateLimitError),
    "anthropic whole": (
        lambda _, other: other.messages.create(**CLAUDE),
        anthropic.RateLimitError,
    ),
    "anthropic stream": (_claude_stream, anthropic.RateLimitError),
}


async def served_until(call: Call, sdks: tuple[Any, Any], error: type[Exception]) -> int:
    """Repeat a call until it is refused; returns how often it was served."""
    for served in range(100):
        try:
            await call(*sdks)
        except error:
            return served
    raise AssertionError("it was never refused")


def told(error: Any) -> dict[str, Any]:
    """`error.budgetd` as a user of either SDK finds it in the exception's body."""
    body = error.body
    return (body["error"] if isinstance(error, anthropic.APIError) else body)["budgetd"]


@pytest.mark.parametrize("name", CALLS)
async def test_a_spent_budget_ends_in_one_request_and_opens_again(tmp_path, name):
    call, kind = CALLS[name]
    async with house(tmp_path, CENT) as home, both(home, "/k/small") as sdks:
        served = await served_until(call, sdks, kind)
        assert served > 1
        assert refusals(home) == ["spent"]  # one request for one exception: no retry
        await exact(home, calls=served)
        assert charged(home.state) <= PICO // 100

        error = await refused(call(*sdks), kind)
        assert refusals(home) == ["spent", "spent"]
        assert len(home.sim.requests) == served
        assert error.status_code == 429
        assert "Usage limit reached: budget 5h: $0.0" in error.message
        assert " of $0.01 spent" in error.message
        assert "Resets at " in error.message
        details = told(error)
        assert details["origin"] == "budgetd"
        assert details["limit_usd"] == "0.01"
        assert details["resets_at"] == RESET
        assert details["decision"] == error.response.headers["x-budgetd-call"]

        home.clock.advance(5 * 3600)
        await call(*sdks)  # the same client, with nothing done to it
        await exact(home, calls=served + 1)


# Room for one hold at a time, and for the second once the first is settled.
@pytest.mark.parametrize(
    ("name", "limit"), [("openai whole", "0.004"), ("anthropic whole", "0.0045")]
)
async def test_a_busy_answer_is_retried_and_then_served(tmp_path, name, limit):
    slow = Script(first_byte=1.5)  # less than the two seconds that a busy answer asks for
    call, _ = CALLS[name]
    async with house(tmp_path, f"keys: {{tight: {limit} per 5h}}", script=slow) as home:
        async with both(home, "/k/tight") as sdks:
            await asyncio.gather(call(*sdks), call(*sdks))  # neither raises
        assert set(refusals(home)) == {"busy"}
        await exact(home, calls=2)


async def test_a_stopped_key_ends_in_one_request(tmp_path):
    async with house(tmp_path) as home, both(home) as (one, other):
        await home.control("stop", key="default", note="lunch")
        errors = [
            await refused(one.chat.completions.create(**GPT), openai.RateLimitError),
            await refused(other.messages.create(**CLAUDE), anthropic.RateLimitError),
        ]
        assert refusals(home) == ["stopped", "stopped"]
        for error in errors:
            assert "Usage limit reached: the owner has stopped key default (lunch)." in str(error)
            assert told(error)["advice"].endswith("budgetd stop default --lift")
        await home.control("stop", key="default", lift=True)
        await one.chat.completions.create(**GPT)
        await other.messages.create(**CLAUDE)
        await exact(home, calls=2)


async def test_an_unknown_model_is_named_with_the_ways_out(tmp_path):
    async with house(tmp_path) as home, both(home) as (one, other):
        await with_provider(home, "openai", "unknown_price: deny")
        await with_provider(home, "anthropic", "unknown_price: deny")
        errors = [
            await refused(
                one.chat.completions.create(**GPT | {"model": "gpt-99"}), openai.BadRequestError
            ),
            await refused(
                other.messages.create(**CLAUDE | {"model": "gpt-99"}), anthropic.BadRequestError
            ),
        ]
        assert not home.sim.requests
        for error, provider in zip(errors, ("openai", "anthropic"), strict=True):
            assert f"no price for model 'gpt-99' at provider {provider}" in str(error)
            assert f"providers.{provider}.prices.'gpt-99'" in str(error)
            assert f"providers.{provider}.unknown_price" in str(error)


async def test_a_provider_error_reaches_the_sdk_as_it_is(tmp_path):
    broken = Script(status=429, retry_after=1, fail_first=1, message="slow down")
    async with house(tmp_path, script=broken) as home, both(home) as (one, _):
        await one.chat.completions.create(**GPT)  # the SDK waits as the provider said, and repeats
        await home.quiet()
        assert len(home.sim.requests) == 2
        assert refusals(home) == []
        assert charged(home.state) == home.sim.bill.total_pico
        assert sorted(bool(entry.retry_of) for entry in entries(home.state)) == [False, True]
