"""The OpenAI dialect: shapes, stream usage, refusals, and bills worked out by hand."""

from __future__ import annotations

import pytest

from budgetd.simulator import Tokens
from tests.simulator.playing import chat_body

TOOLS = [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]


async def test_a_whole_answer_and_its_bill(client):
    reply = await client.chat({"tokens": 10})
    choice = reply.json["choices"][0]
    assert choice["message"]["content"] == "the red fox ran far and saw one big owl "
    assert choice["finish_reason"] == "stop"
    assert reply.json["usage"]["prompt_tokens"] == 4
    assert reply.json["usage"]["completion_tokens"] == 10
    line = client.sim.bill.line(reply.headers["x-request-id"])
    assert line.pico == 4 * 2_500_000 + 10 * 10_000_000 == client.sim.bill.total_pico
    assert line.how == "complete"


async def test_a_stream_tells_usage_only_if_asked(client):
    plain = await client.chat({"tokens": 8}, stream=True)
    assert plain.events[-1] == (None, "[DONE]")
    assert [c["choices"][0]["delta"].get("content") for c in plain.chunks] == [
        "",
        "the red fox ran ",
        "far and saw one ",
        None,
    ]
    assert not any("usage" in chunk for chunk in plain.chunks)
    assert plain.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_usage_comes_in_a_chunk_of_its_own_and_the_others_say_null(client):
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    reply = await client.chat({"tokens": 8}, **asked)
    *others, last = reply.chunks
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 8
    assert last["usage"]["total_tokens"] == 12


async def test_n_choices_are_billed_n_times(client):
    reply = await client.chat({"tokens": 8}, n=3, stream=True)
    ended = [c["choices"][0] for c in reply.chunks if c["choices"][0]["finish_reason"]]
    assert [choice["index"] for choice in ended] == [0, 1, 2]
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=24)
    whole = await client.chat({"tokens": 8}, n=3)
    assert whole.json["usage"]["completion_tokens"] == 24
    assert len(whole.json["choices"]) == 3


async def test_reasoning_is_hidden_and_billed(client):
    script = {"tokens": 10, "reasoning_tokens": 100}
    reply = await client.chat(script, model="gpt-5", max_completion_tokens=104)
    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert reply.json["choices"][0]["message"]["content"] == "the red fox ran "
    assert reply.json["usage"]["completion_tokens"] == 104
    assert reply.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 100
    assert client.sim.bill.total_pico == 4 * 1_250_000 + 104 * 10_000_000
    streamed = await client.chat(script, model="gpt-5", stream=True)
    assert client.sim.bill.line(streamed.headers["x-request-id"]).tokens.output == 110


async def test_a_bound_cuts_the_answer(client):
    for name in ("max_tokens", "max_completion_tokens"):
        reply = await client.chat({"tokens": 50}, **{name: 7})
        assert reply.json["usage"]["completion_tokens"] == 7
        assert reply.json["choices"][0]["finish_reason"] == "length"


async def test_a_tool_is_called_once_then_the_text_comes(client):
    script = {"tool": "ls", "arguments": {"path": "/tmp"}}
    first = await client.chat(script, tools=TOOLS)
    message = first.json["choices"][0]["message"]
    call = message["tool_calls"][0]
    assert first.json["choices"][0]["finish_reason"] == "tool_calls"
    assert call["function"] == {"name": "ls", "arguments": '{"path": "/tmp"}'}
    assert first.json["usage"]["completion_tokens"] == 5, "2 + 16 bytes"
    told = {"role": "tool", "tool_call_id": call["id"], "content": "a b"}
    messages = [*chat_body()["messages"], message, told]
    second = await client.chat(script, tools=TOOLS, messages=messages)
    assert second.json["choices"][0]["finish_reason"] == "stop"
    third = await client.chat(script | {"tool_rounds": 2}, tools=TOOLS, messages=messages)
    assert third.json["choices"][0]["finish_reason"] == "tool_calls"
    without = await client.chat(script)
    assert without.json["choices"][0]["finish_reason"] == "stop", "no tools were offered"


async def test_a_streamed_tool_call_is_the_same_call_in_pieces(client):
    script = {"tool": "ls", "arguments": {"path": "/tmp"}, "chunk_tokens": 1}
    reply = await client.chat(script, tools=TOOLS, stream=True)
    calls = [c["choices"][0]["delta"].get("tool_calls") for c in reply.chunks]
    pieces = [call[0]["function"] for call in calls if call]
    assert pieces[0] == {"name": "ls", "arguments": ""}
    assert "".join(piece["arguments"] for piece in pieces) == '{"path": "/tmp"}'
    assert client.sim.bill.lines[0].tokens.output == 5


async def test_a_tool_call_without_a_result_is_refused(client):
    call = {"id": "call_1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    messages = [*chat_body()["messages"], {"role": "assistant", "tool_calls": [call]}]
    reply = await client.chat(messages=messages)
    assert reply.status == 400
    assert "call_1" in reply.json["error"]["message"]


async def test_the_cache_makes_the_second_request_cheaper(client):
    text = "word" * 2000
    await client.chat({"tokens": 0}, text=text)
    reply = await client.chat({"tokens": 0}, text=text)
    # 8,005 bytes are 2,002 tokens; the last step that fits ends at 1,024 + 7 x 128.
    assert reply.json["usage"]["prompt_tokens"] == 2002
    assert reply.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 1920
    expected = 2002 * 2_500_000 + 82 * 2_500_000 + 1920 * 1_250_000
    assert client.sim.bill.total_pico == expected


async def test_service_tier_is_told_and_billed(client):
    flex = await client.chat(
        {"tokens": 10, "reasoning_tokens": 0}, model="gpt-5", service_tier="flex"
    )
    assert flex.json["service_tier"] == "flex"
    assert client.sim.bill.total_pico == 4 * 625_000 + 10 * 5_000_000
    auto = await client.chat(service_tier="auto")
    assert auto.json["service_tier"] == "default"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "gpt-99"}, 404, "model_not_found"),
        ({"model": "claude-sonnet-4-5"}, 404, "model_not_found"),
        ({"model": None}, 400, None),
        ({"messages": None}, 400, "missing_required_parameter"),
        ({"messages": []}, 400, "missing_required_parameter"),
        ({"max_tokens": 16_385}, 400, "invalid_value"),
        ({"max_tokens": 0}, 400, None),
        ({"model": "gpt-5", "max_tokens": 10}, 400, "unsupported_parameter"),
        ({"stream_options": {"include_usage": True}}, 400, None),
        (
            {"messages": [{"role": "user", "content": "x" * 600_000}]},
            400,
            "context_length_exceeded",
        ),
    ],
)
async def test_refusals_cost_nothing(client, change, status, code):
    reply = await client.chat(**change)
    assert reply.status == status
    assert reply.json["error"]["type"] == "invalid_request_error"
    assert reply.json["error"]["code"] == code
    assert client.sim.bill.lines == ()


async def test_a_missing_credential_is_401(client):
    reply = await client.post("/v1/chat/completions", chat_body(), Authorization="")
    assert reply.status == 401
    assert reply.json["error"]["code"] == "missing_api_key"


async def test_completions(client):
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "12345678", "max_tokens": 5}
    whole = await client.post("/v1/completions", body | {"n": 2, "best_of": 3}, {"tokens": 9})
    assert [choice["finish_reason"] for choice in whole.json["choices"]] == ["length"] * 2
    assert whole.json["usage"]["completion_tokens"] == 15
    assert client.sim.bill.total_pico == 2 * 1_500_000 + 15 * 2_000_000
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    reply = await client.post("/v1/completions", body | stream, {"tokens": 3})
    assert reply.chunks[-1]["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "total_tokens": 5,
    }
    assert reply.chunks[-1]["choices"] == []
    assert reply.chunks[-2]["choices"][0]["finish_reason"] == "stop"
    refused = await client.post("/v1/completions", body | {"model": "gpt-4o"})
    assert refused.status == 404


async def test_embeddings(client):
    body = {"model": "text-embedding-3-small", "input": ["12345678", "1234"], "dimensions": 8}
    reply = await client.post("/v1/embeddings", body)
    assert [len(item["embedding"]) for item in reply.json["data"]] == [8, 8]
    assert reply.json["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert client.sim.bill.total_pico == 3 * 20_000


async def test_more_tokens_than_bytes_received_cannot_be(client):
    """A number that grows when it is written out must not grow the prompt."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    raw = str(chat_body()).replace("'", '"').replace("}]}", '}], "tools": [%s]}')
    body = raw % str(tool).replace("'", '"').replace("{}", '{"d": [' + "1e300," * 50 + "1e300]}")
    url = client.sim.url + "/v1/chat/completions"
    async with client.session.post(
        url, data=body, headers={"Authorization": "Bearer k", "Content-Type": "application/json"}
    ) as response:
        usage = (await response.json())["usage"]
    assert usage["prompt_tokens"] <= len(body) // 2
