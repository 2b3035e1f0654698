"""Every fault that a script can ask for, seen from the client's side and on the bill."""

from __future__ import annotations

import json

import aiohttp
import pytest

from budgetd.simulator import Tokens
from tests.simulator.playing import BEARER, chat_body

# A streamed chat of 8 tokens: event 1 the role, 2 and 3 four tokens each, 4 the end, 5 [DONE].
STREAM = {"tokens": 8, "chunk_tokens": 4}


async def broken_stream(client, script):
    """The bytes of a stream before it broke, and the error that it broke with."""
    url, raw = client.sim.url + "/v1/chat/completions", b""
    headers = BEARER | {"x-sim-script": json.dumps(script)}
    body = chat_body(stream=True)
    async with client.session.post(url, json=body, headers=headers) as response:
        try:
            async for data in response.content.iter_any():
                raw += data
        except aiohttp.ClientError as error:
            return raw, str(error)
    raise AssertionError("the stream did not break")


def data_lines(raw: bytes) -> int:
    return raw.count(b"data: ")


@pytest.mark.parametrize(("after", "output"), [(0, 0), (1, 0), (2, 4), (3, 8), (5, 8)])
async def test_a_cut_closes_the_connection_after_so_many_events(client, after, output):
    raw, error = await broken_stream(client, STREAM | {"cut_after_event": after})
    assert data_lines(raw) == after
    assert "reset by peer" not in error
    line = client.sim.bill.lines[0]
    assert line.how == "fault"
    assert line.tokens == Tokens(input=4, output=output)


async def test_a_reset_is_a_tcp_reset(client):
    raw, error = await broken_stream(client, STREAM | {"reset_after_event": 2})
    assert data_lines(raw) == 2
    assert "reset by peer" in error
    assert client.sim.bill.lines[0].tokens.output == 4


async def test_a_legal_end_may_come_too_early(client):
    reply = await client.chat(STREAM | {"end_after_event": 2}, stream=True)
    assert not reply.broken
    assert len(reply.events) == 2
    assert client.sim.bill.lines[0].tokens.output == 4


async def test_an_error_inside_the_stream(client):
    reply = await client.chat(STREAM | {"error_after_event": 2}, stream=True)
    assert reply.chunks[-1]["error"]["type"] == "server_error"
    other = await client.message(STREAM | {"error_after_event": 1}, stream=True)
    assert other.events[-1][0] == "error"
    assert other.chunks[-1]["error"]["type"] == "overloaded_error"


async def test_an_event_that_is_no_json_is_one_among_others(client):
    reply = await client.chat(STREAM | {"malformed_after_event": 1}, stream=True)
    assert isinstance(reply.events[1][1], str)
    assert reply.events[-1][1] == "[DONE]"
    assert len(reply.events) == 6


async def test_complete_bills_the_whole_answer_of_a_broken_stream(client):
    await broken_stream(client, STREAM | {"cut_after_event": 1, "bills_aborted": "complete"})
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=8)


@pytest.mark.parametrize("fault", ["cut_after_event", "reset_after_event"])
async def test_a_whole_answer_breaks_in_the_middle_and_is_billed_whole(client, fault):
    assert (await client.chat(STREAM | {fault: 0})).broken
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=8)
    assert client.sim.bill.lines[0].how == "fault"


async def test_a_connection_may_drop_before_the_headers(client):
    for billed in (False, True):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.chat({"drop_before_headers": True, "bill_failed_input": billed})
    assert [line.tokens for line in client.sim.bill.lines] == [Tokens(input=4)]


@pytest.mark.parametrize("status", [402, 429, 500, 502, 503, 504, 529])
async def test_statuses_and_what_they_bill(client, status):
    for billed in (False, True):
        script = {"status": status, "bill_failed_input": billed, "error_type": "odd"}
        reply = await client.chat(script)
        assert (reply.status, reply.json["error"]["type"]) == (status, "odd")
        other = await client.message(script)
        assert other.json["error"]["type"] == "odd"
    prompts = 2 if status in (500, 502, 504) else 0
    assert [line.tokens.prompt for line in client.sim.bill.lines] == [4, 3][:prompts]


async def test_a_failed_request_that_is_not_billed_does_not_warm_the_cache(client):
    text = "word" * 2000
    await client.chat({"status": 429}, text=text)
    reply = await client.chat(text=text)
    assert reply.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize(
    ("script", "headers"),
    [
        ({"retry_after": 7}, {"Retry-After": "7"}),
        ({"retry_after_date": 60}, {"Retry-After": "Fri, 15 Jan 2027 08:01:00 GMT"}),
        ({"retry_after_ms": 1500}, {"retry-after-ms": "1500"}),
        (
            {"limits": "anthropic", "reset_in": 60},
            {"anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:01:00Z"},
        ),
        (
            {"limits": "unified_5h", "reset_in": 60},
            {
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-reset": "1800000060",
                "anthropic-ratelimit-unified-representative-claim": "five_hour",
                "anthropic-ratelimit-unified-7d-status": "allowed",
            },
        ),
        (
            {"limits": "unified_7d"},
            {
                "anthropic-ratelimit-unified-representative-claim": "seven_day",
                "anthropic-ratelimit-unified-7d-status": "rejected",
            },
        ),
        ({"limits": "openai", "reset_in": 360}, {"x-ratelimit-reset-requests": "6m0s"}),
        ({"limits": "openai", "reset_in": 8.64}, {"x-ratelimit-reset-tokens": "8.64s"}),
        ({"limits": "openai", "reset_in": 0.12}, {"x-ratelimit-reset-tokens": "120ms"}),
        ({"limits": "openai", "reset_in": 5400}, {"x-ratelimit-reset-tokens": "1h30m0s"}),
        ({"headers": {"x-should-retry": "false"}}, {"x-should-retry": "false"}),
    ],
)
async def test_every_form_of_retry_header(client, script, headers):
    reply = await client.chat(script | {"status": 429})
    assert {name: reply.headers[name] for name in headers} == headers
    assert reply.json["error"]["code"] == "rate_limit_exceeded"


async def test_a_gateway_answers_html(client):
    reply = await client.chat({"status": 502, "error_body": "<html>Bad gateway</html>"})
    assert reply.headers["Content-Type"] == "text/html"
    assert reply.raw == b"<html>Bad gateway</html>"


async def test_a_stream_request_may_be_answered_with_json(client):
    reply = await client.chat({"content_type": "application/json"}, stream=True)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json["usage"]["completion_tokens"] == 16


async def test_a_stream_may_carry_a_wrong_type(client):
    reply = await client.chat({"content_type": "text/plain"}, stream=True)
    assert reply.headers["Content-Type"] == "text/plain"
    assert reply.events[-1][1] == "[DONE]"


async def test_carriage_returns_and_comments(client):
    reply = await client.message({"crlf": True, "comments": True}, stream=True)
    assert reply.raw.startswith(b": OPENROUTER PROCESSING\r\n\r\nevent: message_start\r\ndata: ")
    assert b"\n" not in reply.raw.replace(b"\r\n", b"")
    assert reply.events[-1][0] == "message_stop"


async def test_a_whole_answer_may_come_compressed(client):
    reply = await client.chat({"compress": True}, text="hello there")
    assert reply.headers["Content-Encoding"] in ("gzip", "deflate")
    assert reply.json["choices"]


async def test_the_answer_may_name_another_model(client):
    reply = await client.chat({"response_model": "gpt-4o-2024-08-06"})
    assert reply.json["model"] == "gpt-4o-2024-08-06"
    stream = await client.message({"response_model": "claude-x"}, stream=True)
    assert stream.chunks[0]["message"]["model"] == "claude-x"
