"""Life with clients: what is recorded, what is open, and what happens when somebody leaves."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp

from budgetd.simulator import Model, Simulator, Tokens, rate
from tests.simulator.playing import BEARER, Client, chat_body

FOR_EVER = {"stall_after_event": 2, "tokens": 8}


async def until(condition) -> None:
    """Let the loop run until it is so; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 -- the simulator has no event to wait for
        await asyncio.sleep(0)  # gives the server its turns


async def open_stream(client: Client, script, **body) -> aiohttp.ClientResponse:
    headers = BEARER | {"x-sim-script": json.dumps(script)}
    url = client.sim.url + "/v1/chat/completions"
    return await client.session.post(url, json=chat_body(**body), headers=headers)


async def test_a_stalled_stream_is_open_until_its_client_leaves(client):
    response = await open_stream(client, FOR_EVER, stream=True)
    await until(lambda: client.sim.bill.total_pico == 4 * 2_500_000 + 4 * 10_000_000)
    assert client.sim.open_requests == 1
    assert client.sim.bill.lines[0].how == "open"
    response.close()
    await until(lambda: client.sim.open_requests == 0)
    assert client.sim.bill.lines[0].how == "client_left"
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=4)


async def test_a_client_that_leaves_is_billed_whole_where_the_provider_does_so(client):
    script = FOR_EVER | {"bills_aborted": "complete"}
    response = await open_stream(client, script, stream=True)
    response.close()
    await until(lambda: client.sim.open_requests == 0 and client.sim.bill.lines)
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=8)


async def test_an_unpaced_stream_stops_soon_after_its_client_left(client):
    response = await open_stream(client, {"tokens": 10_000_000, "chunk_tokens": 1}, stream=True)
    await response.content.readany()
    response.close()
    await until(lambda: client.sim.open_requests == 0)
    assert client.sim.bill.lines[0].how == "client_left"
    assert client.sim.bill.lines[0].tokens.output < 10_000_000


async def test_a_whole_answer_is_billed_though_nobody_waits_for_it(client):
    asking = asyncio.ensure_future(client.chat({"first_byte": 3600, "tokens": 8}))
    await until(lambda: client.sim.bill.lines)
    assert client.sim.bill.lines[0].tokens == Tokens(input=4), "the prompt, as generation begins"
    asking.cancel()
    await until(lambda: client.sim.open_requests == 0)
    assert client.sim.bill.lines[0].tokens == Tokens(input=4, output=8)
    assert client.sim.bill.lines[0].how == "client_left"


async def test_the_bill_is_ahead_of_the_bytes(client):
    """At every event that arrives the bill holds at least its tokens."""
    response = await open_stream(client, {"tokens": 64, "chunk_tokens": 1}, stream=True)
    seen = 0
    async for line in response.content:
        if line.startswith(b'data: {"id"'):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            seen += bool(delta.get("content"))
            assert client.sim.bill.lines[0].tokens.output >= seen
    assert seen == 64
    assert client.sim.bill.lines[0].how == "complete"


async def test_closing_the_simulator_ends_what_is_open():
    async with aiohttp.ClientSession() as session:
        async with Simulator() as sim:
            response = await open_stream(Client(sim, session), FOR_EVER, stream=True)
            assert sim.open_requests == 1
        response.close()
    assert sim.open_requests == 0


async def test_requests_are_recorded_as_they_came(client):
    await client.post("/v1/chat/completions?beta=true", chat_body(), **{"X-Thing": "Yes"})
    record = client.sim.requests[-1]
    assert (record.method, record.path) == ("POST", "/v1/chat/completions?beta=true")
    assert record.header("x-thing") == "Yes"
    assert record.header("x-other") is None
    assert record.json() == chat_body()


async def test_the_control_room(client):
    url, session = client.sim.url, client.session
    async with session.post(url + "/_sim/script", json={"tokens": 2}) as response:
        assert response.status == 200
    async with session.post(url + "/_sim/script", json={"tokns": 2}) as response:
        assert response.status == 400
    await client.chat()
    async with session.get(url + "/_sim/bill") as response:
        bill = await response.json()
    assert bill["total_pico"] == str(4 * 2_500_000 + 2 * 10_000_000)
    assert bill["lines"][0]["how"] == "complete"
    async with session.get(url + "/_sim/requests") as response:
        shown = (await response.json())["requests"][0]
    assert json.loads(base64.b64decode(shown["body_base64"])) == chat_body()
    async with session.get(url + "/_sim/open") as response:
        assert await response.json() == {"open": 0}
    async with session.post(url + "/_sim/reset") as response:
        assert response.status == 200
    assert (await client.chat()).json["usage"]["completion_tokens"] == 16
    assert len(client.sim.bill.lines) == 1


async def test_models_in_either_dialect_and_the_probe(client):
    url = client.sim.url
    async with client.session.get(url + "/v1/models", headers=BEARER) as response:
        names = [model["id"] for model in (await response.json())["data"]]
    assert "gpt-4o" in names
    assert "claude-haiku-4-5" not in names
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    async with client.session.get(url + "/v1/models", headers=headers) as response:
        assert "claude-haiku-4-5" in [model["id"] for model in (await response.json())["data"]]
    async with client.session.get(url + "/v1/models") as response:
        assert response.status == 401
    for probe in ("/", "/api/hello"):
        async with client.session.head(url + probe) as response:
            assert response.status == 200


async def test_own_models_and_credentials():
    model = Model("mystery", "chat", rate("100 200"), 1000, 10_000)
    async with (
        Simulator(models={"mystery": model}, credentials=frozenset({"right"})) as sim,
        aiohttp.ClientSession() as session,
    ):
        client = Client(sim, session, {"Authorization": "Bearer right"})
        assert (await client.chat({"tokens": 1}, model="mystery")).status == 200
        assert sim.bill.total_pico == 4 * 100_000_000 + 200_000_000
        wrong = await client.post("/v1/chat/completions", chat_body(), Authorization="Bearer no")
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "invalid_api_key")


async def test_a_body_that_is_no_json_object(client):
    for raw in (b"{", b"[]", b"[" * 100_000):
        url = client.sim.url + "/v1/chat/completions"
        async with client.session.post(url, data=raw, headers=BEARER) as response:
            assert response.status == 400
