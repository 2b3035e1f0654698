"""The real Python SDKs understand the simulator: whole, streamed, with tools, and refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest

OPENAI_TOOLS = [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]
ANTHROPIC_TOOLS = [{"name": "ls", "input_schema": {"type": "object"}}]
HELLO = [{"role": "user", "content": "hello there"}]
LIST = [{"role": "user", "content": 'list it SIM{"tool": "ls", "arguments": {"path": "/tmp"}}'}]


@pytest.fixture
async def gpt(client) -> AsyncIterator[openai.AsyncOpenAI]:
    url = client.sim.url + "/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def claude(client) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = client.sim.url
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as sdk:
        yield sdk


async def test_openai_whole_and_streamed(client, gpt):
    reply = await gpt.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert reply.usage.total_tokens == 20
    stream = await gpt.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == reply.choices[0].message.content
    assert chunks[-1].usage == reply.usage


async def test_openai_tool_round_trip(client, gpt):
    ask = {"model": "gpt-4o", "tools": OPENAI_TOOLS}
    async with gpt.chat.completions.stream(messages=LIST, **ask) as stream:
        completion = await stream.get_final_completion()
    message = completion.choices[0].message
    assert message.tool_calls[0].function.arguments == '{"path": "/tmp"}'
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "a b"}
    history = [*LIST, message.model_dump(exclude_none=True, exclude={"parsed"}), result]
    final = await gpt.chat.completions.create(messages=history, **ask)
    assert final.choices[0].finish_reason == "stop"


async def test_openai_other_endpoints_and_errors(client, gpt):
    vectors = await gpt.embeddings.create(model="text-embedding-3-small", input=["hi you"])
    assert len(vectors.data[0].embedding) == 1536
    text = await gpt.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi", max_tokens=3)
    assert text.usage.completion_tokens == 3
    assert "gpt-4o" in [model.id async for model in gpt.models.list()]
    with pytest.raises(openai.NotFoundError):
        await gpt.chat.completions.create(model="none", messages=HELLO)
    with pytest.raises(openai.RateLimitError):
        await gpt.chat.completions.create(
            model="gpt-4o", messages=HELLO, extra_headers={"x-sim-script": '{"status": 429}'}
        )


async def test_anthropic_whole_streamed_and_counted(client, claude):
    ask = {"model": "claude-haiku-4-5", "messages": HELLO}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    reply = await claude.messages.create(max_tokens=2000, thinking=thinking, **ask)
    async with claude.messages.stream(max_tokens=2000, thinking=thinking, **ask) as stream:
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.usage.output_tokens == reply.usage.output_tokens == 48
    counted = await claude.messages.count_tokens(**ask)
    assert counted.input_tokens == reply.usage.input_tokens


async def test_anthropic_tool_round_trip(client, claude):
    ask = {"model": "claude-haiku-4-5", "max_tokens": 500, "tools": ANTHROPIC_TOOLS}
    async with claude.messages.stream(messages=LIST, **ask) as stream:
        called = await stream.get_final_message()
    assert called.content[0].input == {"path": "/tmp"}
    result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": "a b"}
    history = [
        *LIST,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    assert (await claude.messages.create(messages=history, **ask)).stop_reason == "end_turn"


async def test_anthropic_errors(client, claude):
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(model="none", max_tokens=5, messages=HELLO)
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with claude.messages.stream(
            model="claude-haiku-4-5",
            max_tokens=5,
            messages=HELLO,
            extra_headers={"x-sim-script": '{"error_after_event": 1}'},
        ) as stream:
            await stream.get_final_message()
