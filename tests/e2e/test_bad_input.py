"""What callers get wrong, through the real daemon, in both dialects.

Each case checks the same four things: the answer is the dialect's own error (the vendor's SDK reads
it) and says what to do; nothing of the request and no credential is in it or in the log; the
provider was not asked; and the ledger is as it was.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
from structlog.testing import capture_logs

from budgetd.simulator import Script
from tests.e2e.line import (
    ANTHROPIC,
    HEADS,
    OPENAI,
    PATHS,
    Heard,
    ask,
    body_of,
    clean,
    complained,
    headers_of,
    line,
    request,
    sdk_error,
    untouched,
)
from tests.rig import ANTHROPIC_KEY, OPENAI_KEY, House, house, until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOTH = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
WORD = "the-words-of-the-request"
NOT_OBJECTS: dict[str, bytes] = {
    "empty": b"",
    "space": b"  \n",
    "cut": b'{"model": "gpt-4o", "messages": [',
    "prose": b"hello " + WORD.encode(),
    "list": b'["' + WORD.encode() + b'"]',
    "text": b'"' + WORD.encode() + b'"',
    "number": b"1",
    "null": b"null",
    "NaN": b'{"model": "gpt-4o", "temperature": NaN}',
    "infinite": b'{"model": "gpt-4o", "temperature": -Infinity}',
    "two objects": b"{}{}",
    "a comma before": b'{,"model": "gpt-4o"}',
    "a comma after": b'{"model": "gpt-4o",}',
    "single quotes": b"{'model': 'gpt-4o'}",
    "UTF-16": json.dumps({"model": "gpt-4o"}).encode("utf-16"),
    "a key that is not UTF-8": b'{"\xff": 1}',
    "nested too deeply": b'{"model": "gpt-4o", "messages": '
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}",
    "not closed, and deep": b'{"model": ' + b"[" * 200_000,
    "a form": b"model=gpt-4o&messages=" + WORD.encode(),
    "a NUL": b"\0",
}
MISUSED: dict[str, tuple[Any, ...]] = {
    "model": (None, "", 5, True, ["gpt-4o"], {}, "x" * 257, "two\nlines", "bell\a", "\ud800"),
    "max_tokens": ("100", -1, 1.5, True, [], {}, 1e300, 10**400, 2**53),
    "stream": ("true", 1, [], {}),
    "service_tier": (5, [], True),
}
OPENAI_MISUSED: dict[str, tuple[Any, ...]] = {
    "max_completion_tokens": ("100", -1, 1.5, True, [], 2**60),
    "n": ("2", -1, 1.5, [], 2**60, 2**50),
    "best_of": ("2", -1, {}, 2**50),
}
ANTHROPIC_MISUSED: dict[str, tuple[Any, ...]] = {
    "speed": (5, [], True),
    "inference_geo": (5, {}),
    "mcp_servers": ([{"url": "https://x"}],),
}


async def post(home: House, dialect: str, data: bytes, **headers: str) -> tuple[int, Any, bytes]:
    """Send these bytes as a request's body: (status, headers, body)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = home.url + PATHS[dialect]
    async with home.http.post(url, data=data, headers=headers_of(dialect) | named) as answer:
        return answer.status, answer.headers, await answer.read()


@BOTH
async def test_what_is_no_json_object_is_told_so(dialect: str, tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with house(tmp_path) as home:
            for name, data in NOT_OBJECTS.items():
                status, headers, body = await post(home, dialect, data)
                assert status == 400, name
                message = complained(dialect, status, headers, body)
                assert "the body" in message, name
                clean([message], WORD, OPENAI_KEY, ANTHROPIC_KEY)
            await untouched(home)
    clean([str(entry) for entry in logs], WORD, OPENAI_KEY, ANTHROPIC_KEY)


@BOTH
async def test_fields_that_money_depends_on_must_have_their_type(
    dialect: str, tmp_path: Path
) -> None:
    special = OPENAI_MISUSED if dialect == OPENAI else ANTHROPIC_MISUSED
    async with house(tmp_path) as home:
        for field, values in (MISUSED | special).items():
            for value in values:
                data = json.dumps(body_of(dialect, **{field: value})).encode()
                status, headers, body = await post(home, dialect, data)
                assert status == 400, (field, str(value)[:50], body[:200])
                message = complained(dialect, status, headers, body)
                words = {field, "model", "count", "millions"}
                assert any(word in message for word in words), (field, message)
                assert len(message) < 400
        await untouched(home)


@BOTH
async def test_a_field_that_cannot_be_read_does_not_count_as_absent(
    dialect: str, tmp_path: Path
) -> None:
    good = json.dumps(body_of(dialect, max_tokens=77)).encode()
    cases = {
        "max_tokens": good.replace(b"77", b"9" * 5000),
        "messages": good.replace(b'"hi"', b'[{"type": "image_url"}, "\xff"]'),
        "metadata": good.replace(b"{", b'{"metadata": {"user_id": "\xff"}, ', 1),
    }
    if dialect == OPENAI:
        del cases["metadata"]  # nothing there that money depends on: the provider's to judge
    async with house(tmp_path) as home:
        for field, data in cases.items():
            status, headers, body = await post(home, dialect, data)
            assert status == 400, field
            assert repr(field) in complained(dialect, status, headers, body)
        await untouched(home)


@BOTH
async def test_duplicate_keys_cannot_mean_one_thing_here_and_another_there(
    dialect: str, tmp_path: Path
) -> None:
    model = body_of(dialect)["model"]
    text = (
        '{"model": "no-such-model", "max_tokens": 9, "max_tok\\u0065ns": 7, "messages": [],'
        f' "messages": [{{"role": "user", "content": "hi"}}], "model": "{model}"}}'
    )
    async with house(tmp_path) as home:
        status, _, body = await post(home, dialect, text.encode())
        assert status == 200, body
        [sent] = home.sim.requests
        pairs = json.loads(sent.body, object_pairs_hook=list)
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names))
        assert dict(pairs) | {"messages": None} == {
            "model": model,
            "max_tokens": 7,
            "messages": None,
        }
        await home.quiet()
        assert (await home.status())["calls"]["holds"] == 0


@BOTH
async def test_lone_surrogates_pass_as_the_bytes_they_came_in(dialect: str, tmp_path: Path) -> None:
    data = json.dumps(body_of(dialect, max_tokens=50, user_note="x")).encode()
    data = data.replace(b'"hi"', rb'"half of a face: \ud83d."').replace(b'"x"', rb'"\udfff"')
    async with house(tmp_path) as home:
        status, _, body = await post(home, dialect, data)
        assert status == 200, body
        [sent] = home.sim.requests
        assert rb'"half of a face: \ud83d."' in sent.body
        assert rb'"\udfff"' in sent.body
        await home.quiet()
        assert (await home.status())["calls"]["holds"] == 0


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
BOMB = b"0" * 20_000_000  # twenty times the limit: how little of one is ever held is test_coding's


@BOTH
async def test_encoded_bodies_are_read_and_bombs_are_not(dialect: str, tmp_path: Path) -> None:
    plain = json.dumps(body_of(dialect)).encode()
    async with house(tmp_path, "limits: {body_bytes: 1MiB}") as home:
        for encoding, encode in ENCODERS.items():
            status, _, body = await post(home, dialect, encode(plain), content_encoding=encoding)
            assert status == 200, (encoding, body)
            sent = home.sim.requests[-1]
            assert sent.header("content-encoding") is None
            assert sent.json()["model"] == json.loads(plain)["model"]
        await home.quiet()
        reached, spent = len(home.sim.requests), await home.status()
        for encoding, encode in ENCODERS.items():
            good = encode(plain)
            bomb = encode(BOMB)
            for data, expected in ((good[:-9], 400), (plain, 400), (b"", 400), (bomb, 413)):
                status, headers, body = await post(home, dialect, data, content_encoding=encoding)
                assert status == expected, (encoding, data[:20], body)
                complained(dialect, status, headers, body)
        for odd in ("compress", "gzip, gzip, gzip, gzip", "x" * 200, "aes128gcm"):
            status, headers, body = await post(home, dialect, plain, content_encoding=odd)
            assert status == 415, odd
            assert len(complained(dialect, status, headers, body)) < 200
        await home.quiet()
        assert len(home.sim.requests) == reached
        assert (await home.status())["keys"] == spent["keys"]


async def test_a_body_may_come_in_two_encodings(tmp_path: Path) -> None:
    data = brotli.compress(gzip.compress(json.dumps(body_of(OPENAI)).encode()))
    async with house(tmp_path) as home:
        status, _, body = await post(home, OPENAI, data, content_encoding="gzip, br")
        assert status == 200, body


@BOTH
async def test_a_body_above_the_limit_is_refused_at_once_and_not_kept(
    dialect: str, tmp_path: Path
) -> None:
    size = 100 * 2**20
    async with house(tmp_path) as home:
        async with line(home.url) as connection:  # stated: answered before a byte of it came
            head = f"POST {PATHS[dialect]} HTTP/1.1\r\nHost: localhost\r\n{HEADS[dialect]}"
            await connection.say(f"{head}Content-Length: {size}\r\n\r\n".encode())
            answer = await connection.hear()
            assert answer is not None
            assert answer.status == 413
            assert "33554432 bytes" in complained(
                dialect, answer.status, answer.headers, answer.body
            )

        async def pieces():
            piece = b" " * 2**20
            for _ in range(size // len(piece)):
                yield piece

        url = home.url + PATHS[dialect]
        tracemalloc.start()
        try:
            async with home.http.post(url, data=pieces(), headers=headers_of(dialect)) as late:
                assert late.status == 413
                complained(dialect, late.status, late.headers, await late.read())
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert most < 2 * 32 * 2**20
        assert home.daemon.gateway._intake.held_bytes == 0
        await untouched(home)


async def test_all_bodies_together_have_a_limit(tmp_path: Path) -> None:
    extra = "limits: {body_bytes: 1MiB, bodies_bytes: 1500KiB}"
    async with house(tmp_path, extra) as home:
        async with line(home.url) as slow:
            body = json.dumps(body_of(OPENAI, pad="x" * 1_000_000)).encode()
            whole = request(PATHS[OPENAI], body, HEADS[OPENAI])
            await slow.say(whole[:-10])
            async with home.http.get(home.url + "/healthz"):
                pass
            await until(lambda: home.daemon.gateway._intake.held_bytes > 900_000)
            status, headers, text = await post(home, OPENAI, body)
            assert status == 503
            assert "repeat" in complained(OPENAI, status, headers, text)
            assert len(home.sim.requests) == 0
            await slow.say(whole[-10:])
            answer = await slow.hear()
            assert answer is not None
            assert answer.status == 200
        await home.quiet()
        assert home.daemon.gateway._intake.held_bytes == 0


async def test_a_body_that_costs_nothing_counts_until_it_is_sent(tmp_path: Path) -> None:
    async with house(tmp_path, script=Script(first_byte=60)) as home:
        said = [{"role": "user", "content": "x" * 100_000}]
        body = {"model": "claude-sonnet-4-5", "messages": said}
        url = f"{home.url}/v1/messages/count_tokens"
        asked = home.http.post(url, json=body, headers=headers_of(ANTHROPIC))
        call = asyncio.ensure_future(asked.__aenter__())
        await until(lambda: home.sim.open_requests == 1)
        assert home.daemon.gateway._intake.held_bytes > 100_000
        call.cancel()
        await until(lambda: home.daemon.gateway.open_calls == 0)
        assert home.daemon.gateway._intake.held_bytes == 0


@BOTH
async def test_the_content_type_of_a_request_is_the_clients_business(
    dialect: str, tmp_path: Path
) -> None:
    data = json.dumps(body_of(dialect)).encode()
    async with house(tmp_path) as home:
        for kind in ("text/plain", "application/octet-stream", "multipart/form-data; boundary=x"):
            status, _, body = await post(home, dialect, data, content_type=kind)
            assert status == 200, body
            assert home.sim.requests[-1].header("content-type") == kind


@BOTH
async def test_heads_that_are_too_large_or_not_http(dialect: str, tmp_path: Path) -> None:
    path, head = PATHS[dialect], HEADS[dialect]
    body = json.dumps(body_of(dialect)).encode()
    huge = "x" * 40_000
    secret = "sk-a-secret-of-somebody"
    cases: dict[str, tuple[bytes, int]] = {
        "a huge header": (request(path, body, head + f"x-pad: {huge}\r\n"), 431),
        "a huge URL": (request(f"{path}?{huge}", body, head), 431),
        "a huge path": (request(f"/l/{huge}{path}", body, head), 431),
        "many headers": (
            request(path, body, head + "".join(f"x-{n}: {'y' * 500}\r\n" for n in range(90))),
            431,
        ),
        "a header without a colon": (request(path, body, f"{head}{secret}\r\n"), 400),
        "a space in a header's name": (request(path, body, f"{head}{secret} : 1\r\n"), 400),
        "two lengths": (request(path, body, head + "Content-Length: 3\r\n"), 400),
        "a length and chunks": (
            request(path, body, head + "Transfer-Encoding: chunked\r\n"),
            400,
        ),
        "a negative length": (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: -5\r\n\r\n".encode(),
            400,
        ),
        "chunks twice": (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}"
            "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n".encode(),
            400,
        ),
        "a folded header": (request(path, body, f"{head}x-a: 1\r\n {secret}\r\n"), 400),
        "a NUL": (request(path, body, f"{head}x-a: {secret}\0\r\n"), 400),
        "no version": (f"POST {path}\r\n\r\n".encode(), 403),  # HTTP/0.9, and so without a Host
        "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        "a path that is not UTF-8": (
            request(f"{path}?q=\xff\xfe", body, head),
            400,
        ),
        "a header that is not UTF-8": (request(path, body, f"{head}x-a: caf\xe9\r\n"), 400),
        "a credential that is not UTF-8": (
            request(path, body, "Authorization: Bearer bgd_\xe9\r\n"),
            400,
        ),
        "chunks of nonsense": (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}"
            "Transfer-Encoding: chunked\r\n\r\nxyz\r\n".encode(),
            400,
        ),
    }
    with capture_logs() as logs:
        async with house(tmp_path) as home:
            for name, (data, expected) in cases.items():
                answer = await ask(home.url, data)
                assert answer is not None, name
                assert answer.status == expected, (name, answer)
                complained(dialect, answer.status, answer.headers, answer.body)
                clean([answer.body.decode()], secret, OPENAI_KEY, ANTHROPIC_KEY, huge)
            await untouched(home)
    clean([str(entry) for entry in logs], secret, OPENAI_KEY, ANTHROPIC_KEY)
    assert not [entry for entry in logs if entry["log_level"] == "error"]


@BOTH
async def test_a_second_head_that_is_too_large_is_refused_like_the_first(
    dialect: str, tmp_path: Path
) -> None:
    path, head = PATHS[dialect], HEADS[dialect]
    body = json.dumps(body_of(dialect)).encode()
    async with house(tmp_path) as home, line(home.url) as connection:
        await connection.say(request("/", method="GET"))
        first = await connection.hear()
        assert first is not None
        assert first.status == 200
        await connection.say(request(path, body, head + f"x-pad: {'x' * 40_000}\r\n"))
        second = await connection.hear()
        assert second is not None
        assert second.status == 431
        complained(dialect, 431, second.headers, second.body)
        await untouched(home)


async def test_labels_that_are_none(tmp_path: Path) -> None:
    cases = {
        "empty": "/k//v1/messages",
        "twice": "/s/a/s/b/v1/messages",
        "twice, apart": "/s/a/l/x/s/b/v1/messages",
        "too long": f"/s/{'x' * 129}/v1/messages",
        "a line end": "/s/a%0Ab/v1/messages",
        "a NUL": "/s/%00/v1/messages",
        "a bell": "/l/%07/v1/messages",
        "nothing but the letter": "/k/",
    }
    body = json.dumps(body_of(ANTHROPIC)).encode()
    async with house(tmp_path) as home:
        for name, path in cases.items():
            answer = await ask(home.url, request(path, body, HEADS[ANTHROPIC]))
            assert answer is not None
            assert answer.status == 400, (name, answer)
            message = complained(ANTHROPIC, 400, answer.headers, answer.body)
            assert "label" in message
            assert len(message) < 200
        await untouched(home)


async def test_labels_are_words_however_they_are_written(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for label in ("/s/a%2Fb", "/s/%E2%9C%93", "/l/x%20y/s/" + "z" * 128, "/s/k/k/default"):
            async with home.messages(label="") as answer:
                assert answer.status == 200
            sent = request(
                label + PATHS[ANTHROPIC], json.dumps(body_of(ANTHROPIC)).encode(), HEADS[ANTHROPIC]
            )
            heard = await ask(home.url, sent)
            assert heard is not None
            assert heard.status == 200, (label, heard)
            assert home.sim.requests[-1].path == PATHS[ANTHROPIC]


async def test_an_error_to_a_head_request_has_no_body(tmp_path: Path) -> None:
    async with house(tmp_path) as home, line(home.url) as connection:
        for target, expected in (
            ("/", 200),
            ("/api/hello", 200),
            ("/k/default/", 200),
            ("/v1/files", 404),
            ("/k//v1/messages", 400),
            ("/healthz", 200),
        ):
            await connection.say(f"HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = await connection.hear(head=True)
            assert answer is not None
            assert answer.status == expected, target
        await connection.say(request("/healthz", method="GET"))
        last = await connection.hear()  # a body left over would be read as this answer's head
        assert last is not None
        assert last.json() == {"status": "ok"}


async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    body = json.dumps(body_of(OPENAI)).encode()
    bad = request("/v1/responses", body, HEADS[OPENAI])
    good = request(PATHS[OPENAI], body, HEADS[OPENAI])
    async with house(tmp_path) as home, line(home.url) as connection:
        await connection.say(good + bad + good + request(PATHS[OPENAI], b"{", HEADS[OPENAI]))
        found = [await connection.hear() for _ in range(4)]
        assert [answer.status for answer in found if answer] == [200, 404, 200, 400]
        await home.quiet()
        assert len(home.sim.requests) == 2
        assert (await home.status())["calls"]["holds"] == 0


async def test_http_1_0(tmp_path: Path) -> None:
    body = json.dumps(body_of(OPENAI)).encode()
    new = request(PATHS[OPENAI], body, HEADS[OPENAI])
    old = new.replace(b"HTTP/1.1", b"HTTP/1.0")
    async with house(tmp_path) as home:
        async with line(home.url) as connection:
            await connection.say(old)
            answer = await connection.hear()
            assert answer is not None
            assert answer.status == 200
            assert answer.json()["choices"]
            assert await connection.ended()
        nameless = await ask(home.url, old.replace(b"Host: 127.0.0.1\r\n", b""))
        assert nameless is not None
        assert nameless.status == 403
        assert "Host" in complained(OPENAI, 403, nameless.headers, nameless.body)


async def test_a_body_is_only_invited_where_it_may_come(tmp_path: Path) -> None:
    body = json.dumps(body_of(OPENAI)).encode()
    waiting = HEADS[OPENAI] + "Expect: 100-continue\r\n"
    async with house(tmp_path) as home:
        async with line(home.url) as connection:
            whole = request(PATHS[OPENAI], body, waiting)
            await connection.say(whole[: -len(body)])
            invited = await connection.hear()
            assert invited is not None
            assert invited.status == 100
            await connection.say(body)
            answer = await connection.hear()
            assert answer is not None
            assert answer.status == 200
            assert home.sim.requests[-1].header("expect") is None
        for target, host, length in (
            ("/v1/responses", "localhost", 10),
            (PATHS[OPENAI], "evil.example", 10),
            (PATHS[OPENAI], "localhost", 2**40),
        ):
            async with line(home.url) as connection:
                head = (
                    f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{waiting}Content-Length: {length}"
                )
                await connection.say(head.encode() + b"\r\n\r\n")
                answer = await connection.hear()
                assert answer is not None
                assert answer.status in {403, 404, 413}
        odd = await ask(home.url, request(PATHS[OPENAI], body, HEADS[OPENAI] + "Expect: cake\r\n"))
        assert odd is not None
        assert odd.status == 200


async def test_a_fault_of_ours_is_said_in_the_dialect_and_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    with capture_logs() as logs:
        async with house(tmp_path) as home:
            monkeypatch.setattr("budgetd.proxy.reception.take", broken)
            for dialect in (OPENAI, ANTHROPIC):
                data = json.dumps(body_of(dialect, note=WORD)).encode()
                status, headers, body = await post(home, dialect, data)
                assert status == 500
                assert "its log" in complained(dialect, status, headers, body)
                assert sdk_error(dialect, status, headers, body) is not None
                clean([body.decode()], "a bug", WORD)
            assert home.daemon.gateway._intake.held_bytes == 0
            monkeypatch.undo()
            await untouched(home)
    told = [entry for entry in logs if entry["event"] == "internal error"]
    assert len(told) == 2
    clean([str(entry) for entry in logs], WORD, OPENAI_KEY, ANTHROPIC_KEY)


def test_the_table_of_heard_answers_reads_json() -> None:
    assert Heard(200, {}, b'{"a": 1}').json() == {"a": 1}
