"""The Anthropic dialect: shapes, the event sequence, caching, refusals, bills worked out by hand."""

from __future__ import annotations

import pytest

from budgetd.simulator import Tokens
from tests.simulator.playing import ANTHROPIC, message_body

TOOLS = [{"name": "ls", "input_schema": {"type": "object"}}]
THINKING = {"type": "enabled", "budget_tokens": 1024}


async def test_a_whole_answer_and_its_bill(client):
    reply = await client.message({"tokens": 10})
    assert reply.json["content"] == [
        {"type": "text", "text": "the red fox ran far and saw one big owl "}
    ]
    assert reply.json["stop_reason"] == "end_turn"
    assert reply.json["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 10,
        "service_tier": "standard",
    }
    line = client.sim.bill.line(reply.headers["request-id"])
    assert line.pico == 3 * 3_000_000 + 10 * 15_000_000


async def test_the_event_sequence(client):
    reply = await client.message({"tokens": 8}, stream=True)
    names = [name for name, _ in reply.events]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in reply.events)
    start, final = reply.chunks[0]["message"], reply.chunks[-2]
    assert start["usage"]["input_tokens"] == 3
    assert start["usage"]["output_tokens"] == 1
    assert start["stop_reason"] is None
    assert final["delta"]["stop_reason"] == "end_turn"
    assert final["usage"]["output_tokens"] == 8
    assert "cache_creation" not in final["usage"], "only message_start tells lifetimes"


async def test_a_tool_is_called_once_then_the_text_comes(client):
    script = {"tool": "ls", "arguments": {"path": "/tmp"}}
    first = await client.message(script, tools=TOOLS)
    block = first.json["content"][0]
    assert first.json["stop_reason"] == "tool_use"
    assert (block["name"], block["input"]) == ("ls", {"path": "/tmp"})
    assert first.json["usage"]["output_tokens"] == 5
    stream = await client.message(script, tools=TOOLS, stream=True)
    deltas = [c["delta"] for c in stream.chunks if c["type"] == "content_block_delta"]
    assert "".join(delta["partial_json"] for delta in deltas) == '{"path": "/tmp"}'
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "a b"}
    reminder = {"type": "text", "text": "<system-reminder>be good</system-reminder>"}
    messages = [
        *message_body()["messages"],
        {"role": "assistant", "content": [block]},
        {"role": "user", "content": [result, reminder]},
    ]
    second = await client.message(script, tools=TOOLS, messages=messages)
    assert second.json["stop_reason"] == "end_turn"
    unanswered = await client.message(script, tools=TOOLS, messages=messages[:-1])
    assert unanswered.status == 400


async def test_thinking_is_shown_short_and_billed_whole(client):
    script = {"tokens": 4, "reasoning_tokens": 200}
    reply = await client.message(script, thinking=THINKING, max_tokens=2000)
    kinds = [block["type"] for block in reply.json["content"]]
    assert kinds == ["thinking", "text"]
    assert reply.json["usage"]["output_tokens"] == 204
    assert reply.json["usage"]["output_tokens_details"] == {"thinking_tokens": 200}
    assert client.sim.bill.total_pico == 3 * 3_000_000 + 204 * 15_000_000
    stream = await client.message(script, thinking=THINKING, max_tokens=2000, stream=True)
    deltas = [c["delta"]["type"] for c in stream.chunks if c["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", "text_delta"]
    assert client.sim.bill.line(stream.headers["request-id"]).tokens.output == 204


async def test_thinking_of_another_model_is_refused(client):
    reply = await client.message(thinking=THINKING, max_tokens=2000)
    history = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": reply.json["content"]},
        {"role": "user", "content": "go on"},
    ]
    assert (await client.message(messages=history)).status == 200
    other = await client.message(messages=history, model="claude-haiku-4-5")
    assert other.status == 400
    assert "Invalid `signature`" in other.json["error"]["message"]


async def test_web_searches_are_billed_apiece(client):
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    reply = await client.message({"web_searches": 2, "tokens": 0}, tools=tools)
    assert reply.json["usage"]["server_tool_use"]["web_search_requests"] == 2
    line = client.sim.bill.lines[0]
    assert line.pico == line.tokens.input * 3_000_000 + 2 * 10**10
    stream = await client.message({"web_searches": 2}, tools=tools, stream=True)
    assert client.sim.bill.line(stream.headers["request-id"]).tokens.searches == 2


def marked(text: str, **control: str):
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"} | control}]


async def test_marks_write_then_read_at_their_own_prices(client, hands):
    body = {"system": marked("word" * 2000, ttl="1h"), "messages": []}
    body["messages"] = [{"role": "user", "content": marked("talk" * 500)}]
    first = await client.message({"tokens": 0}, **body)
    assert first.json["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 500,
        "ephemeral_1h_input_tokens": 2000,
    }
    assert client.sim.bill.total_pico == 2000 * 6_000_000 + 500 * 3_750_000
    second = await client.message({"tokens": 0}, **body)
    assert second.json["usage"]["cache_read_input_tokens"] == 2500
    assert client.sim.bill.lines[1].pico == 2500 * 300_000
    hands.now += 301
    third = await client.message({"tokens": 0}, stream=True, **body)
    usage = third.chunks[0]["message"]["usage"]
    assert usage["cache_read_input_tokens"] == 2000
    assert usage["cache_creation"]["ephemeral_5m_input_tokens"] == 500


async def test_a_moved_mark_and_a_string_for_a_block_find_the_prefix(client):
    long, answer = "word" * 2000, {"role": "assistant", "content": "ok"}
    await client.message(messages=[{"role": "user", "content": marked(long)}])
    plain = [{"role": "user", "content": long}, answer, {"role": "user", "content": marked("go!!")}]
    reply = await client.message(messages=plain)
    assert reply.json["usage"]["cache_read_input_tokens"] == 2000
    assert reply.json["usage"]["cache_creation_input_tokens"] == 2


async def test_counting_is_free_and_true(client):
    body = message_body("x" * 400)
    counted = await client.post("/v1/messages/count_tokens", body)
    reply = await client.post("/v1/messages", body)
    assert counted.json == {"input_tokens": 100}
    assert reply.json["usage"]["input_tokens"] == 100
    assert len(client.sim.bill.lines) == 1


@pytest.mark.parametrize(
    ("change", "status", "kind", "words"),
    [
        ({"model": "claude-none"}, 404, "not_found_error", "model: claude-none"),
        ({"model": "gpt-4o"}, 404, "not_found_error", "model: gpt-4o"),
        ({"messages": None}, 400, "invalid_request_error", "messages: Field required"),
        ({"messages": []}, 400, "invalid_request_error", "at least one message"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens: Field required"),
        ({"max_tokens": 64_001}, 400, "invalid_request_error", "max_tokens: 64001 > 64000"),
        ({"thinking": THINKING}, 400, "invalid_request_error", "greater than `thinking.budget"),
        (
            {"thinking": THINKING | {"budget_tokens": 1000}},
            400,
            "invalid_request_error",
            "greater than or equal to 1024",
        ),
        (
            {"messages": [{"role": "user", "content": "x" * 900_000}]},
            400,
            "invalid_request_error",
            "prompt is too long",
        ),
        (
            {"messages": [{"role": "user", "content": marked("x") * 5}]},
            400,
            "invalid_request_error",
            "maximum of 4 blocks",
        ),
        (
            {
                "system": marked("a"),
                "messages": [{"role": "user", "content": marked("b", ttl="1h")}],
            },
            400,
            "invalid_request_error",
            "must not come after",
        ),
    ],
)
async def test_refusals_cost_nothing(client, change, status, kind, words):
    reply = await client.message(**change)
    assert reply.status == status
    assert reply.json["type"] == "error"
    assert reply.json["error"]["type"] == kind
    assert words in reply.json["error"]["message"]
    assert reply.json["request_id"] == reply.headers["request-id"]
    assert client.sim.bill.lines == ()


async def test_credentials_come_in_either_header(client):
    version = {"anthropic-version": ANTHROPIC["anthropic-version"]}
    url = client.sim.url + "/v1/messages"
    for headers, status in (
        (version, 401),
        (version | {"x-api-key": "k"}, 200),
        (version | {"Authorization": "Bearer t"}, 200),
        ({"x-api-key": "k"}, 400),
    ):
        async with client.session.post(url, json=message_body(), headers=headers) as response:
            assert response.status == status


async def test_a_bound_cuts_the_answer(client):
    reply = await client.message({"tokens": 50}, max_tokens=7)
    assert reply.json["stop_reason"] == "max_tokens"
    assert client.sim.bill.lines[0].tokens == Tokens(input=3, output=7)
