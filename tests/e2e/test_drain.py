"""Nothing is left behind: clients that leave, clients that do not read, and a daemon that stops."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from budgetd.proxy.carriage import Carriage
from budgetd.proxy.relay import CHOKED, CLIENT_STALL, CLOSING_GRACE, Flow
from budgetd.runtime import loop_time
from budgetd.simulator import Script, Simulator
from tests.e2e.books import ask, charged, entries, held, newest
from tests.e2e.playing import KINDS, PLENTY, Door, Pair, read_events, reconcile, settled_up
from tests.rig import ANTHROPIC_KEY, DaemonProcess, House, config_text, events, house, until

CROWD = 500
SLOW = {"pace": 0.02, "tokens": 2000, "chunk_tokens": 1}


def alive(*kinds: type) -> int:
    """How many objects of these types there are."""
    gc.collect()
    return sum(isinstance(found, kinds) for found in gc.get_objects())


async def test_a_crowd_that_leaves_at_once_leaves_nothing_behind(tmp_path):
    extra = f"{PLENTY}\npatience: {{drain_stream: 300ms}}"
    async with house(tmp_path, extra) as home:
        names = ["chat text", "message text", "message thinking", "chat tool call"]

        async def come_and_go(number: int, present: asyncio.Barrier) -> None:
            kind = KINDS[names[number % len(names)]]
            async with kind.post(home, script=SLOW) as answer:
                assert answer.status == 200
                await present.wait()
                answer.close()

        everybody = asyncio.Barrier(CROWD)
        await asyncio.gather(*(come_and_go(number, everybody) for number in range(CROWD)))
        left = time.monotonic()
        await until(lambda: home.sim.open_requests == 0)
        # The stated drain, and what five hundred goodbyes take on a busy machine.
        assert time.monotonic() - left < 0.3 + 5.0
        await settled_up(home)
        works = home.daemon.gateway._works
        assert (len(works.flows), len(works.carriages)) == (0, 0)
        assert home.daemon.gateway._intake.held_bytes == 0
        await until(lambda: alive(Carriage, Flow) == 0)
        assert len(entries(home.state)) == CROWD
        # aiohttp's pool has nothing in use any more
        session = works.upstream._session
        assert session is not None
        assert session.connector is not None
        assert not session.connector._acquired  # nothing public tells


# ------------------------------------------------------------------------- back-pressure

FLOOD = {"tokens": 32_000, "chunk_tokens": 1, "comments": True}


class DeafClient:
    """A client that asks for a stream and then does not read it."""

    def __init__(self, home: House) -> None:
        self._home = home
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)

    async def ask(self) -> None:
        """Send the request."""
        loop = asyncio.get_running_loop()
        host, port = self._home.url.removeprefix("http://").split(":")
        await loop.sock_connect(self._socket, (host, int(port)))
        text = {"role": "user", "content": f"hi SIM{json.dumps(FLOOD)}"}
        asked = {"model": "claude-opus-4-8", "messages": [text], "stream": True}
        asked["max_tokens"] = 128_000  # so that no estimate by what came is as high as the hold
        body = json.dumps(asked).encode()
        head = f"Host: {host}\r\nx-api-key: {ANTHROPIC_KEY}\r\nContent-Length: {len(body)}"
        head += "\r\nanthropic-version: 2023-06-01"
        start = f"POST /v1/messages HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(self._socket, start.encode() + body)

    async def read_all(self) -> bytes:
        """Read after all, to the end."""
        loop, found = asyncio.get_running_loop(), bytearray()
        while chunk := await loop.sock_recv(self._socket, 256 * 1024):
            found += chunk
        return bytes(found)

    def close(self) -> None:
        self._socket.close()


def small_socket(address: tuple) -> socket.socket:
    """A connection to the provider that the kernel does not buffer megabytes for."""
    made = socket.socket(family=address[0], type=address[1], proto=address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    return made


@asynccontextmanager
async def blocked(directory: Path) -> AsyncIterator[tuple[House, DeafClient, Flow]]:
    """A stream whose client does not read, once everything has come to a stand."""
    async with house(directory, PLENTY) as home:
        session = home.daemon.gateway._works.upstream._session
        assert session is not None
        session.connector._socket_factory = small_socket  # type: ignore[union-attr]
        for runner in (home.sim._runner, home.daemon._runner):
            assert runner is not None
            for site in runner.sites:  # accepted sockets inherit it
                (listening,) = site._server.sockets  # type: ignore[union-attr]
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        client = DeafClient(home)
        try:
            await client.ask()
            await until(lambda: len(home.daemon.gateway._works.flows) == 1)
            (flow,) = home.daemon.gateway._works.flows
            await stands(home)
            yield home, client, flow
        finally:
            client.close()


async def stands(home: House) -> None:
    """Until the provider's bill has not grown for a while: it has been told to wait."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 0.25:
        if home.sim.bill.total_pico != last:
            last, since = home.sim.bill.total_pico, time.monotonic()
        await asyncio.sleep(0.01)  # "nothing happens" can only be seen by letting time pass


async def test_back_pressure_reaches_the_provider_and_memory_stays_flat(tmp_path):
    async with blocked(tmp_path) as (home, client, flow):
        (line,) = home.sim.bill.lines
        assert line.how == "open"
        assert 0 < line.tokens.output < 32_000  # the rest has not been written
        assert flow._content is not None
        assert flow._content.total_bytes - flow._read < 3 * CHOKED  # what the daemon keeps of it
        assert flow._seen("stopped").blind  # and it knows that there may be more behind it
        body = await client.read_all()
        assert body.count(b"data: ") > 32_000
        assert b"message_stop" in body
        await settled_up(home)
        assert newest(home.state).state == "settled"
        assert charged(home.state) == home.sim.bill.total_pico


async def test_a_client_that_did_not_read_and_leaves(tmp_path):
    async with blocked(tmp_path) as (home, client, _):
        client.close()
        await settled_up(home)
        assert newest(home.state).state == "settled"  # drained to its end


async def test_a_provider_that_breaks_off_behind_a_client_that_does_not_read(tmp_path):
    """What had arrived and was not read is thrown away by a break, and yet was billed."""
    async with blocked(tmp_path) as (home, client, _):
        home.sim._front.hang_up()
        await until(lambda: home.sim.open_requests == 0)
        client.close()
        await settled_up(home)
        entry = newest(home.state)
        assert (entry.state, entry.cost) == ("uncertain", entry.hold)


@pytest.mark.parametrize("choked", [CHOKED, 10**12], ids=["much unread", "unread and counted"])
async def test_stop_now_and_a_client_that_does_not_read(tmp_path, monkeypatch, choked):
    monkeypatch.setattr("budgetd.proxy.relay.CHOKED", choked)
    monkeypatch.setattr("budgetd.proxy.relay.CLOSING_GRACE", 0.1)
    async with blocked(tmp_path) as (home, _, _flow):
        await home.control("stop", all=True, now=True)
        await settled_up(home)  # although the client is still there
        entry = newest(home.state)
        assert entry.cause == "stopped"
        assert entry.cost >= 128_000 * 25 * 10**6  # all the output that the call may have, at $25


async def test_a_client_that_never_reads_is_given_up(tmp_path):
    async with blocked(tmp_path) as (home, _, flow):
        flow.check_client(loop_time() + CLIENT_STALL - 5)
        await stands(home)
        assert home.daemon.gateway.open_calls == 1
        flow.check_client(loop_time() + CLIENT_STALL + 5)
        await settled_up(home)
        assert newest(home.state).state == "settled"  # drained


async def test_an_end_marker_that_nothing_follows(tmp_path):
    """The provider keeps its connection open behind [DONE]: the client leaves, and so does ours."""
    async with house(tmp_path, PLENTY) as home:
        kind = KINDS["chat text that asked for usage"]
        async with kind.post(home) as answer:
            length = await read_events(answer, 10_000)
        async with kind.post(home, script={"stall_after_event": length}) as answer:
            pair = Pair.of(answer)
            assert await read_events(answer, length) == length
            answer.close()
        left = time.monotonic()
        await until(lambda: home.sim.open_requests == 0)
        assert time.monotonic() - left < 10  # and not the thirty seconds of the drain
        books = await settled_up(home)
        assert books[pair.call].state == "settled"
        reconcile(home, books, [pair])


# ------------------------------------------------------------------------------ stopping


@asynccontextmanager
async def town(directory: Path, extra: str) -> AsyncIterator[tuple[DaemonProcess, Simulator, Door]]:
    """A daemon in a process of its own, and its provider."""
    config = directory / "config.yaml"
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        Simulator(script=Script()) as sim,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        config.write_text(config_text(sim.url, directory / "state", f"{PLENTY}\n{extra}"))
        daemon = DaemonProcess(config)
        await daemon.start()
        try:
            yield daemon, sim, Door(http, daemon.url)
        finally:
            await daemon.kill()


async def listen(door: Door, name: str, script: dict[str, Any]) -> tuple[str, bytes]:
    """A stream to its legal end: who it was, and what came."""
    async with KINDS[name].post(door, script=script) as answer:
        assert answer.status == 200
        return name, await answer.read()


def finish_of(name: str, body: bytes) -> str:
    """Why a whole stream says that it ended; fails if it is not whole."""
    told = events(body)
    if name.startswith("chat"):
        assert body.endswith(b"data: [DONE]\n\n")
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in told if chunk["choices"]]
        return str(reasons[-1])
    assert told[-1] == {"type": "message_stop"}
    return str(told[-2]["delta"]["stop_reason"])


LONG_CUT = {"chat text": "length", "message text": "max_tokens"}
WELL_ENDED = {"chat text": "stop", "message text": "end_turn"}


async def test_sigterm_lets_streams_end_and_ends_the_rest_legally(tmp_path):
    state = tmp_path / "state"
    async with town(tmp_path, "patience: {stop: 2500ms}") as (daemon, sim, door):
        short = {"pace": 0.02, "tokens": 40}
        long = {"pace": 0.2, "tokens": 100_000, "chunk_tokens": 1}
        calls = [(name, script) for name in WELL_ENDED for script in (short, long)] * 5
        streams = [asyncio.ensure_future(listen(door, name, script)) for name, script in calls]
        await until(lambda: sim.open_requests == len(calls))
        began = time.monotonic()
        assert await daemon.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 2.5 + 8
        ends = Counter(
            (name, finish_of(name, body)) for name, body in await asyncio.gather(*streams)
        )
        assert ends == Counter(
            {(name, end): 5 for told in (LONG_CUT, WELL_ENDED) for name, end in told.items()}
        )
        await until(lambda: sim.open_requests == 0)
        assert held(state) == 0
        assert Counter((e.state, e.cause) for e in entries(state)) == {
            ("settled", None): 10,
            ("uncertain", "stopped"): 10,
        }
        assert charged(state) >= sim.bill.total_pico
        settled = ask(state, "SELECT sum(cost) FROM attempt WHERE state = 'settled'")[0][0]
        assert settled == sum(line.pico for line in sim.bill.lines if line.how == "complete")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_does_not_wait_for_streams(tmp_path, second):
    async with town(tmp_path, "patience: {stop: 10m}") as (daemon, sim, door):
        long = {"pace": 0.2, "tokens": 100_000, "chunk_tokens": 1}  # more than a minute of it
        streams = [asyncio.ensure_future(listen(door, name, long)) for name in LONG_CUT]
        await until(lambda: sim.open_requests == 2)
        assert daemon._process is not None
        daemon._process.send_signal(signal.SIGTERM)
        await closed(door)
        assert sim.open_requests == 2  # nothing has been ended yet
        began = time.monotonic()
        assert await daemon.end(second) == 0
        assert time.monotonic() - began < 8
        for name, body in await asyncio.gather(*streams):
            assert finish_of(name, body) == LONG_CUT[name]
        assert {entry.cause for entry in entries(tmp_path / "state")} == {"stopped"}
        assert charged(tmp_path / "state") >= sim.bill.total_pico


async def test_a_third_signal_does_not_wait_for_a_tool_call(tmp_path):
    async with town(tmp_path, "patience: {stop: 10m}") as (daemon, sim, door):
        script = {"stall_after_event": 6, "chunk_tokens": 1}
        async with KINDS["message tool call"].post(door, script=script) as answer:
            await read_events(answer, 6)
            assert daemon._process is not None
            other = asyncio.ensure_future(listen(door, "chat text", SLOW))
            await until(lambda: sim.open_requests == 2)
            daemon._process.send_signal(signal.SIGTERM)
            await closed(door)
            daemon._process.send_signal(signal.SIGTERM)
            await other  # is ended by the second; the tool call is given its grace
            began = time.monotonic()
            assert await daemon.end(signal.SIGTERM) == 0
            assert time.monotonic() - began < CLOSING_GRACE / 2
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        await until(lambda: sim.open_requests == 0)
        assert held(tmp_path / "state") == 0
        assert charged(tmp_path / "state") >= sim.bill.total_pico


async def test_a_stream_that_is_broken_off_is_charged_for_what_came_through(tmp_path):
    async with house(tmp_path, PLENTY) as home:
        script = {"tokens": 1000, "chunk_tokens": 1, "stall_after_event": 900}
        async with KINDS["message text"].post(home, script=script) as answer:
            await read_events(answer, 900)
            await home.daemon._tasks.cancel()  # as the last step of a stop does
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        await settled_up(home)
        assert [entry.cause for entry in entries(home.state)] == ["interrupted"]
        assert charged(home.state) >= home.sim.bill.total_pico > 0


async def closed(door: Door) -> None:
    """Until the daemon takes no more connections."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with aiohttp.ClientSession() as fresh, fresh.get(f"{door.url}/healthz"):
                    continue
            except aiohttp.ClientError:
                return


async def test_sighup_reads_the_file_again_and_harms_no_call(tmp_path):
    async with town(tmp_path, "patience: {stop: 10s}") as (daemon, sim, door):
        streams = [
            asyncio.ensure_future(listen(door, name, {"pace": 0.03, "tokens": 380}))
            for name in [*WELL_ENDED] * 5
        ]
        await until(lambda: sim.open_requests == 10)
        assert daemon._process is not None
        for generation in (1, 2):  # the file is the same: only the signal tells
            daemon._process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while (await status(door))["config"]["generation"] < generation:
                    continue
        assert sim.open_requests == 10
        for name, body in await asyncio.gather(*streams):
            assert finish_of(name, body) == WELL_ENDED[name]
        assert await daemon.end() == 0
        assert charged(tmp_path / "state") == sim.bill.total_pico


async def status(door: Door) -> dict:
    async with door.http.get(f"{door.url}/status") as answer:
        found: dict = await answer.json()
        return found
