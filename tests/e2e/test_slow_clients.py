"""Clients that are slow, idle, or gone: none of them keeps anything, and none disturbs the others.

Patience is set to fractions of a second, and every test waits for what the daemon does (it answers,
it hangs up), never for time to pass.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.line import (
    ANTHROPIC,
    HEADS,
    OPENAI,
    PATHS,
    body_of,
    complained,
    line,
    request,
    untouched,
)
from tests.rig import House, house, until

HURRY = "patience: {head: 300ms}"
BOTH = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])


def whole(dialect: str, **fields: object) -> bytes:
    """A good request in bytes."""
    return request(PATHS[dialect], json.dumps(body_of(dialect, **fields)).encode(), HEADS[dialect])


@BOTH
async def test_a_head_that_does_not_come_in_time(dialect: str, tmp_path: Path) -> None:
    async with house(tmp_path, HURRY) as home, line(home.url) as slow:
        began = asyncio.get_running_loop().time()
        await slow.say(b"POST /v1/chat/comp")
        answer = await slow.hear()
        assert answer is not None
        assert answer.status == 408
        assert 0.25 < asyncio.get_running_loop().time() - began < 10
        told = answer.json()
        assert told["error"]["message"].startswith("budgetd: ")
        assert "patience.head" in told["error"]["message"]
        assert answer.headers["connection"] == "close"
        assert await slow.ended()
        await untouched(home)


async def test_a_head_that_trickles_has_no_more_time_for_it(tmp_path: Path) -> None:
    async with house(tmp_path, HURRY) as home, line(home.url) as slow:
        began = asyncio.get_running_loop().time()

        async def trickle() -> None:
            for byte in whole(OPENAI) * 1000:
                slow.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)  # the trickle itself: slow, but never silent

        trickling = asyncio.ensure_future(trickle())
        answer = await slow.hear()
        trickling.cancel()
        assert answer is not None
        assert answer.status == 408
        assert asyncio.get_running_loop().time() - began < 10
        await untouched(home)


async def test_a_connection_that_never_says_anything_is_hung_up(tmp_path: Path) -> None:
    async with house(tmp_path, HURRY) as home, line(home.url) as mute:
        assert await mute.hear() is None
        await untouched(home)


async def test_a_head_in_pieces_that_comes_in_time_is_heard(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for cut in (1, 17, 40, 90, 130):
            data = whole(OPENAI)
            async with line(home.url) as connection:
                for piece in (data[:cut], data[cut : cut + 1], data[cut + 1 :]):
                    await connection.say(piece)
                    await asyncio.sleep(0)
                answer = await connection.hear()
                assert answer is not None
                assert answer.status == 200
        async with line(home.url) as connection:  # byte by byte: every place a head can be cut at
            for byte in whole(OPENAI):
                await connection.say(bytes([byte]))
                await asyncio.sleep(0)
            answer = await connection.hear()
            assert answer is not None
            assert answer.status == 200


@BOTH
async def test_a_body_that_stops_coming(dialect: str, tmp_path: Path) -> None:
    async with house(tmp_path, HURRY) as home, line(home.url) as slow:
        await slow.say(whole(dialect)[:-5])
        answer = await slow.hear()
        assert answer is not None
        assert answer.status == 408
        assert "too slowly" in complained(dialect, 408, answer.headers, answer.body)
        assert home.daemon.gateway._intake.held_bytes == 0
        await untouched(home)


async def test_a_body_that_trickles(tmp_path: Path) -> None:
    async with house(tmp_path, HURRY) as home, line(home.url) as slow:
        data = whole(OPENAI, pad="x" * 5000)
        start = data.index(b"\r\n\r\n") + 4
        await slow.say(data[:start])

        async def trickle() -> None:
            for byte in data[start:]:
                slow.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)  # the trickle itself: each piece comes within patience

        trickling = asyncio.ensure_future(trickle())
        answer = await slow.hear()
        trickling.cancel()
        assert answer is not None
        assert answer.status == 408
        await untouched(home)


@BOTH
async def test_a_client_that_goes_while_it_uploads(dialect: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        intake = home.daemon.gateway._intake
        data = whole(dialect, pad="x" * 500_000)
        for how in ("close", "reset", "half-close"):
            async with line(home.url) as leaving:
                await leaving.say(data[:-100])
                await until(lambda: intake.held_bytes > 400_000)
                if how == "half-close":
                    leaving.writer.write_eof()
                    assert await leaving.ended()
                elif how == "reset":
                    raw = leaving.writer.get_extra_info("socket")
                    linger = (1).to_bytes(4, "little") + bytes(4)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    leaving.writer.transport.abort()
            await until(lambda: intake.held_bytes == 0)
        await untouched(home)


async def test_idle_connections_cost_little_and_stop_nobody(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 5000:
        if hard < 5000:
            pytest.skip("this machine allows for too few open files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (5000, hard))
    async with house(tmp_path) as home:
        async with home.chat() as answer:
            assert answer.status == 200
        gc.collect()
        before = _resident()
        parts = urlsplit(home.url)
        idle = []
        try:
            for _ in range(2000):
                one = socket.socket()
                idle.append(one)
                one.setblocking(False)
                await asyncio.get_running_loop().sock_connect(one, (parts.hostname, parts.port))
            for one in idle[::2]:
                await asyncio.get_running_loop().sock_sendall(
                    one, b"POST /v1/messages HTTP/1.1\r\n"
                )
            await until(lambda: len(home.daemon._door.waiting) == 2000)
            grown = _resident() - before
            assert grown < 2000 * 16 * 1024  # the sockets of this side are in it too
            async with home.chat() as answer, home.messages(stream=True) as other:
                assert answer.status == 200
                assert other.status == 200
                await other.read()
        finally:
            for one in idle:
                one.close()
        await until(lambda: not home.daemon._door.waiting)
        await home.quiet()


async def test_the_daemon_stops_while_clients_stand_at_the_door(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.url) as idle, line(home.url) as kept:
        await kept.say(request("/healthz", method="GET"))
        assert await kept.hear() is not None
        await until(lambda: len(home.daemon._door.waiting) == 1)
        async with asyncio.timeout(10):
            await home.daemon.stop()
        assert await idle.ended()
        assert await kept.ended()


async def test_while_it_stops_a_kept_connection_is_told_to_come_back(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.url) as kept:
        await kept.say(request("/readyz", method="GET"))
        ready = await kept.hear()
        assert ready is not None
        assert (ready.status, ready.json()) == (200, {"status": "ready"})
        home.daemon.gateway.closing = True
        await kept.say(request("/readyz", method="GET"))
        ready = await kept.hear()
        assert ready is not None
        assert ready.status == 503
        assert ready.headers["content-type"].startswith("application/problem+json")
        for dialect in (OPENAI, ANTHROPIC):
            await kept.say(whole(dialect))
            answer = await kept.hear()
            assert answer is not None
            assert answer.status == 503
            assert "stopping" in complained(dialect, 503, answer.headers, answer.body)
        home.daemon.gateway.closing = False
        await untouched(home)


async def test_as_many_calls_as_may_be_open(tmp_path: Path) -> None:
    stalled = {"x-sim-script": '{"first_byte": 30}'}
    async with house(tmp_path, "limits: {open_calls: 2}\npatience: {drain_whole: 0s}") as home:
        waiting = [asyncio.ensure_future(_status(home, stalled)) for _ in range(2)]
        await until(lambda: home.sim.open_requests == 2)
        async with line(home.url) as third:
            await third.say(whole(OPENAI))
            answer = await third.hear()
            assert answer is not None
            assert answer.status == 503
            assert answer.headers["retry-after"] == "2"
            assert "limits.open_calls" in complained(OPENAI, 503, answer.headers, answer.body)
            await third.say(request("/healthz", method="GET"))
            assert await third.hear() is not None  # the owner still sees what is going on
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until(lambda: home.daemon.gateway.open_calls == 0)
        assert await _status(home, {}) == 200


async def test_calls_that_arrive_together_do_not_slip_past_the_limit(tmp_path: Path) -> None:
    """All of them are let in to send their bodies; what counts is who is open in the end."""
    async with house(tmp_path, "limits: {open_calls: 3}\npatience: {drain_whole: 0s}") as home:
        most = 0
        lines = []
        data = whole(OPENAI, pad="x" * 1000).replace(
            b"Content-Length", b'x-sim-script: {"first_byte": 30}\r\nContent-Length'
        )
        try:
            for _ in range(10):
                parts = urlsplit(home.url)
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                lines.append((reader, writer))
                writer.write(data[:-1])
                await writer.drain()
            await until(lambda: home.daemon.gateway._intake.held_bytes > 10 * 900)
            for _, writer in lines:
                writer.write(data[-1:])
            answered = [asyncio.ensure_future(reader.readline()) for reader, _ in lines]
            await until(lambda: sum(one.done() for one in answered) == 7)
            most = home.daemon.gateway.open_calls
            assert {one.result() for one in answered if one.done()} == {
                b"HTTP/1.1 503 Service Unavailable\r\n"
            }
            assert most == 3
        finally:
            for one in answered:
                one.cancel()
            for _, writer in lines:
                writer.close()
        await until(lambda: home.daemon.gateway.open_calls == 0)


async def _status(home: House, headers: dict[str, str]) -> int:
    url, named = home.url + PATHS[OPENAI], {"authorization": "Bearer sk-proj-test"}
    async with home.http.post(url, json=body_of(OPENAI), headers=named | headers) as answer:
        return answer.status


def _resident() -> int:
    """Memory of this process in bytes, as it is now."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("this machine does not tell a process its memory")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
