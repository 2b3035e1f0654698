"""Where other providers of the OpenAI dialect put usage, and what they call it."""

from __future__ import annotations

import pytest

ASKED = {"stream": True, "stream_options": {"include_usage": True}}


def usages(reply):
    """Where usage was told: index of the chunk from the end, and the object."""
    count = len(reply.chunks)
    return {
        at - count: chunk["usage"] for at, chunk in enumerate(reply.chunks) if chunk.get("usage")
    }


async def test_openrouter_always_tells_usage_with_its_cost_and_sends_comments(client):
    script = {"flavour": "openrouter", "tokens": 10}
    reply = await client.chat(script, stream=True, model="openai/gpt-4o")
    assert reply.raw.startswith(b": OPENROUTER PROCESSING\n\ndata: ")
    last = reply.chunks[-1]
    assert last["choices"][0]["delta"]["content"] == ""
    assert last["usage"]["cost"] == 0.00011
    assert client.sim.bill.total_pico == 110_000_000
    assert reply.headers["X-Generation-Id"] == reply.chunks[0]["id"]


async def test_groq_tells_usage_in_its_own_field_and_twice_if_asked(client):
    script = {"flavour": "groq", "tokens": 10}
    reply = await client.chat(script, stream=True, model="llama-3.1-8b-instant")
    assert reply.chunks[-1]["x_groq"]["usage"]["completion_tokens"] == 10
    assert usages(reply) == {}
    asked = await client.chat(script, model="llama-3.1-8b-instant", **ASKED)
    assert asked.chunks[-2]["x_groq"]["usage"]["completion_tokens"] == 10
    assert usages(asked)[-1]["completion_tokens"] == 10


async def test_kimi_tells_usage_inside_the_choice(client):
    script = {"flavour": "kimi", "tokens": 10}
    reply = await client.chat(script, stream=True, model="kimi-k2.5")
    usage = reply.chunks[-1]["choices"][0]["usage"]
    assert usage["completion_tokens"] == 10
    assert usage["cached_tokens"] == 0


async def test_deepseek_tells_hits_and_misses(client):
    script, text = {"flavour": "deepseek", "tokens": 1}, "word" * 2000
    await client.chat(script, model="deepseek-chat", text=text)
    usage = (await client.chat(script, model="deepseek-chat", text=text)).json["usage"]
    assert usage["prompt_cache_hit_tokens"] == 1920
    assert usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"] - 1920


async def test_xai_leaves_reasoning_out_and_tells_the_cost_in_ticks(client):
    script = {"flavour": "xai", "tokens": 8, "reasoning_tokens": 100}
    reply = await client.chat(script, stream=True, model="grok-4.5")
    told = usages(reply)
    assert -1 not in told, "the last usage is in a chunk that is not the last"
    assert told[-2]["completion_tokens"] == 8
    assert told[-2]["completion_tokens_details"]["reasoning_tokens"] == 100
    assert client.sim.bill.total_pico == 4 * 2_000_000 + 108 * 6_000_000
    assert told[-2]["cost_in_usd_ticks"] * 100 == client.sim.bill.total_pico
    assert [usage["completion_tokens"] for usage in told.values()] == [4, 8, 8]


async def test_mistral_tells_usage_on_its_last_content_chunk(client):
    reply = await client.chat({"flavour": "mistral"}, stream=True, model="mistral-large-2512")
    assert usages(reply)[-1]["completion_tokens"] == 16
    assert reply.chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("flavour", ["openai", "openrouter", "groq", "kimi", "xai", "mistral"])
async def test_usage_can_be_left_out(client, flavour):
    script = {"flavour": flavour, "omit_usage": True}
    stream = await client.chat(script, **ASKED)
    assert usages(stream) == {}
    assert not any('"usage":{' in str(chunk).replace(" ", "") for chunk in stream.chunks)
    assert "usage" not in (await client.chat(script)).json
    assert [line.tokens.output for line in client.sim.bill.lines] == [16, 16]


async def test_stream_options_can_be_refused(client):
    script = {"rejects_stream_options": True}
    assert (await client.chat(script, **ASKED)).status == 400
    assert (await client.chat(script, stream=True)).status == 200
