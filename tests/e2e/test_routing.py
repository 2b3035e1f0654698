"""Where requests go, and where none may go: paths, providers, redirects, proxies.

The bypass is the point: whatever a path looks like, a request reaches the provider only as a priced
call, as one of the few free ones, or because the owner listed its path.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgetd.simulator import Script, Simulator
from tests.e2e.books import entries
from tests.e2e.line import (
    ANTHROPIC,
    HEADS,
    OPENAI,
    PATHS,
    Heard,
    ask,
    body_of,
    complained,
    headers_of,
    line,
    request,
    untouched,
)
from tests.e2e.witness import watched
from tests.rig import House, house

UNKNOWN = (
    "/v1/responses",
    "/v1/files",
    "/v1/batches",
    "/v1/messages/batches",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/realtime/sessions",
    "/v1/fine_tuning/jobs",
    "/v1/moderations",
    "/v1/assistants",
    "/v1/threads/runs",
    "/v1/complete",
    "/v1/organizations/api_keys",
    "/v1beta/models/gemini-pro:generateContent",
    "/v1/engines/davinci/completions",
    "/openai/v1/chat/completions",
    "/v2/messages",
    "/v2/chat/completions",
)
OURS = ("/control/nothing", "/status/nothing/here", "/healthz/deep")
TRICKS = (
    "//v1/messages",
    "/v1//messages",
    "/v1/messages/",
    "/v1/messages//",
    "/V1/MESSAGES",
    "/v1/Messages",
    "/v1/messages;a=b",
    "/v1;x/messages",
    "/v1/messages%20",
    "/v1/messages%00",
    "/v1/%6dessages",
    "/%76%31/messages",
    "/v1%2Fmessages",
    "/v1/messages%3Fbeta=true",
    "/v1\\messages",
    "/v1/messages/../messages",
    "/v1/./messages",
    "/v1/x/../messages",
    "/v1/%2e%2e/v1/messages",
    "/v1/%2E./v1/messages",
    "/v1/..%2fv1/messages",
    "/v1/models/..",
    "/v1/models/%2e%2e",
    "/v1/models/..%2fmessages",
    "/v1/models/%252e%252e%252fmessages",
    "/v1/models/..\\messages",
    "/v1/models/..;/messages",
    "/v1/models/a/b",
    "/v1/models/",
    "/l/../v1/messages",
    "/s/x/../../v1/messages",
    "/v1/v1/v1/messages",
    "/v1/messages/count_tokens/",
    "/v1/messages:batch",
    "http://api.anthropic.com/v1/messages",
    "https://127.0.0.1/v1/messages",
    "http://127.0.0.1@evil.example/v1/messages",
    "*",
    "evil.example:443",
    "v1/messages",
    "?/v1/messages",
)
METHODS = ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "SPEND", "get", "post")


async def send(home: House, target: str, method: str = "POST", extra: str = "") -> Heard:
    """A good body to any target."""
    body = json.dumps(body_of(ANTHROPIC)).encode()
    data = request(target, body, HEADS[ANTHROPIC] + extra, method)
    async with line(home.url) as connection:
        await connection.say(data)
        heard = await connection.hear(head=method == "HEAD")
    assert heard is not None, (method, target)
    return heard


async def test_paths_that_are_not_understood_reach_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as home, watched(home) as witness:
        for target in UNKNOWN:
            for method in ("POST", "GET", "PUT", "DELETE"):
                heard = await send(home, target, method)
                assert heard.status == 404, (method, target)
                message = complained(ANTHROPIC, 404, heard.headers, heard.body)
                assert "unpriced_paths" in message
                assert f"{method} {target}" in message
        for target in OURS:  # no advice to let it through: it is no provider's
            heard = await send(home, target)
            message = complained(ANTHROPIC, 404, heard.headers, heard.body)
            assert f"budgetd has no POST {target}" in message
        assert witness.requests == []
        await untouched(home)


async def test_no_spelling_of_a_path_leads_around_the_price(tmp_path: Path) -> None:
    async with house(tmp_path) as home, watched(home) as witness:
        for label in ("", "/k/default", "/p/anthropic/s/one"):
            for target in TRICKS:
                if label and not target.startswith("/"):
                    continue
                heard = await send(home, label + target)
                assert heard.status in {400, 404, 405}, (label, target, heard)
                complained(ANTHROPIC, heard.status, heard.headers, heard.body)
        for method in METHODS:
            for path in (PATHS[ANTHROPIC], PATHS[OPENAI], "/v1/embeddings"):
                heard = await send(home, path, method)
                assert heard.status in {400, 404, 405}, (method, path)
        heard = await send(home, PATHS[ANTHROPIC], "GET")
        message = complained(ANTHROPIC, 405, heard.headers, heard.body)
        assert f"{PATHS[ANTHROPIC]} is asked by POST" in message
        assert heard.headers["allow"] == "POST"
        assert witness.requests == []
        await untouched(home)


async def test_a_base_url_with_a_version_too_many_is_understood(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await send(home, "/v1/v1/messages")).status == 200
        assert home.sim.requests[-1].path == "/v1/messages"


async def test_a_listed_path_passes_as_it_came(tmp_path: Path) -> None:
    extra = "unpriced_paths: [/v1/files, /v1/files/*, /v1/messages/batches]\n"
    async with house(tmp_path, extra) as home, watched(home) as witness:
        multipart = (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n\xff\xfe{}\r\n--x--\r\n'
        )
        kinds = "Content-Type: multipart/form-data; boundary=x\r\n"
        for target, body in (
            ("/v1/files?purpose=batch", multipart),
            ("/v1/files/file-1/content", b""),
            ("/v1/messages/batches", b'{"requests": []}'),
        ):
            heard = await ask(home.url, request(target, body, HEADS[ANTHROPIC] + kinds))
            assert heard is not None
            assert heard.status == 200, heard
            sent = witness.requests[-1]
            assert (sent.method, sent.target, sent.body) == ("POST", target, body)
            assert sent.headers["content-type"] == "multipart/form-data; boundary=x"
        assert (await send(home, "/v1/files/1", "HEAD")).status == 200
        assert witness.requests[-1].method == "HEAD"
        reached = len(witness.requests)
        for target in (
            "/v1/files/../messages",
            "/v1/files/%2e%2e/messages",
            "/v1/files/..%2fmessages",
            "/v1/files/%252e%252e/messages",
            "/v1/files/..\\messages",
            "/v1/files/x/../../messages",
            "/v1/filesystem",
            "/V1/files",
            "/v1/messages/batches/1",
        ):
            heard = await send(home, target)
            assert heard.status in {400, 404}, target
        assert len(witness.requests) == reached
        await untouched(home)


async def test_a_priced_path_stays_priced_however_wide_the_list_is(tmp_path: Path) -> None:
    extra = "unpriced_paths: ['/*']\ndefault_key: {budgets: [0 per day]}\n"
    async with house(tmp_path, extra) as home:
        for path in PATHS.values():
            heard = await ask(home.url, request(path, json.dumps(body_of(OPENAI)).encode()))
            assert heard is not None
            assert heard.status == 429, path
        await untouched(home)


async def test_the_list_of_models_is_answered_without_a_credential_and_asked_for_with_one(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        async with home.http.get(home.url + "/v1/models") as answer:
            local = await answer.json()
        assert local["object"] == "list"
        assert {"id", "object", "created", "owned_by"} == set(local["data"][0])
        assert "gpt-4o" in {model["id"] for model in local["data"]}
        named = {"anthropic-version": "2023-06-01"}
        async with home.http.get(home.url + "/v1/models", headers=named) as answer:
            theirs = await answer.json()
        assert any(model["id"].startswith("claude") for model in theirs["data"])
        await untouched(home)
        for dialect in (OPENAI, ANTHROPIC):
            headers = headers_of(dialect)
            async with home.http.get(home.url + "/v1/models", headers=headers) as answer:
                assert answer.status == 200
                assert (await answer.json())["data"] != local["data"]
        assert len(home.sim.requests) == 2
        async with watched(home) as witness:
            heard = await ask(
                home.url, request("/v1/models/meta%2Fllama", b"", HEADS[OPENAI], "GET")
            )
            assert heard is not None
            assert witness.requests[-1].target == "/v1/models/meta%2Fllama"


async def test_a_redirect_is_the_clients_to_follow(tmp_path: Path) -> None:
    async with Simulator() as elsewhere, house(tmp_path) as home:
        where = f"{elsewhere.url}/v1/chat/completions"
        for status in (301, 302, 303, 307, 308):
            home.sim.script = Script(status=status, headers=(("Location", where),))
            url = home.url + PATHS[OPENAI]
            async with home.http.post(
                url, json=body_of(OPENAI), headers=headers_of(OPENAI), allow_redirects=False
            ) as answer:
                assert answer.status == status
                assert answer.headers["location"] == where
        await home.quiet()
        assert len(home.sim.requests) == 5
        assert not elsewhere.requests
        assert (await home.status())["calls"]["holds"] == 0


@asynccontextmanager
async def forward_proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The smallest proxy there is: writes down what it is asked, and refuses it."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_the_environments_proxy_is_used_and_told_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through CONNECT; and a proxy that says no costs nothing, because nothing was sent."""
    async with forward_proxy() as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:p%40ss@{address}")
        monkeypatch.setenv("NO_PROXY", "straight.invalid")
        netrc = tmp_path / "netrc"
        netrc.write_text("default login somebody password netrc-secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        far = (
            "  far: {base_url: 'https://far.invalid', dialects: [openai_chat],"
            " prices: {away-1: {input: 1, output: 1}}}\n"
            "routes: [{model: away-*, provider: far}]"
        )
        async with house(tmp_path, far) as home:
            url, away = home.url + PATHS[OPENAI], {"authorization": "Bearer far-secret"}
            async with home.http.post(
                url, json=body_of(OPENAI, model="away-1"), headers=away
            ) as answer:
                assert answer.status == 502, await answer.text()
                assert "far.invalid" in (await answer.json())["error"]["message"]
            async with home.chat() as answer:  # this machine is reached without a proxy
                assert answer.status == 200
            assert home.sim.requests[-1].header("authorization") == "Bearer sk-proj-test"
            async with home.http.get(home.url + "/v1/models", headers={"api-key": "x"}) as answer:
                await answer.read()
            assert home.sim.requests[-1].header("authorization") is None  # nothing of ~/.netrc
            await home.quiet()
            calls = (await home.status("/status/keys/default"))["calls"]
            refused = next(call for call in calls if call["provider"] == "far")
            assert refused["cost_usd"] == "0"
    [connect] = asked
    assert connect.startswith(b"CONNECT far.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic c29tZWJvZHk6cEBzcw==\r\n" in connect
    assert b"far-secret" not in connect


def words(text: str) -> st.SearchStrategy[str]:
    """One of these words; one that is there twice comes twice as often."""
    return st.sampled_from(text.split())


_PARTS = words(
    "/v1 /messages /chat /completions /models /count_tokens /k /s /p /l /default /openai /anthropic"
    " / // /.. /. %2e %2f ? # ; @ /status /keys /control /topup /v1/usage /embeddings x é \\ : *"
)
_GOOD = st.sampled_from(
    [*PATHS.values(), "/v1/models", "/v1/messages/count_tokens", "/v1/embeddings"]
)
_TARGETS = st.one_of(
    _GOOD,
    st.tuples(st.sampled_from(["/k/default", "/s/x", "/l/%20", "/p/openai", "/v1"]), _GOOD).map(
        "".join
    ),
    st.lists(_PARTS, max_size=8).map("".join),
    st.text(st.characters(codec="latin-1"), max_size=40),
)
_NAMES = words(
    "authorization x-api-key api-key anthropic-version content-encoding expect content-type"
    " transfer-encoding content-length host origin connection te upgrade x-stainless-retry-count"
    " user-agent cookie x-budgetd-session range"
)
_VALUES = st.one_of(
    st.sampled_from(["Bearer sk-proj-x", "Bearer sk-ant-x", "bgd_x", "Basic eDpiZ2RfeA==", "gzip"])
    | st.sampled_from(["chunked", "100-continue", "0", "-1", "9999999999", "evil", "websocket"]),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_FIELDS = words(
    "model messages max_tokens max_completion_tokens stream stream_options n tools tool_choice"
    " thinking metadata service_tier system prompt input web_search_options prediction mcp_servers"
    " context_management speed best_of"
)
_BODIES = st.one_of(
    st.dictionaries(_FIELDS, _JSON, max_size=2).map(
        lambda fields: json.dumps(body_of(OPENAI, max_tokens=9) | fields).encode()
    ),
    st.binary(max_size=60),
)
Headers = list[tuple[str, str]]
PRICED = {("POST", path) for path in (*PATHS.values(), "/v1/completions", "/v1/embeddings")}
_METHODS = words("POST POST POST POST POST POST GET HEAD OPTIONS DELETE PUT CONNECT X")


async def test_nothing_at_all_gets_a_500_or_around_the_ledger(tmp_path: Path) -> None:
    """Random requests over a raw socket: whatever they are, the daemon stays in charge."""
    loop = asyncio.get_running_loop()
    extra = "default_key: {budgets: [100000 per day]}\npatience: {head: 200ms}\n"
    async with house(tmp_path, extra) as home, watched(home) as witness:

        async def one(method: str, target: str, headers: Headers, body: bytes) -> None:
            witness.requests.clear()
            head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in headers)
            if not {"content-length", "transfer-encoding"} & {name for name, _ in headers}:
                head += f"Content-Length: {len(body)}\r\n"
            data = head.encode("latin-1", "replace") + b"\r\n" + body
            async with line(home.url) as connection:
                await connection.say(data)
                heard = await connection.hear(head=method == "HEAD")
            assert heard is None or heard.status not in {500, 501}, (heard, data)
            await home.quiet()
            assert (await home.status())["calls"] == {"open": 0, "holds": 0, "held_usd": "0"}
            paths = [(sent.method, sent.target.partition("?")[0]) for sent in witness.requests]
            spent = [one for one in paths if one in PRICED]
            for how, path in set(paths) - PRICED:
                assert (how, path) == ("POST", "/v1/messages/count_tokens") or (
                    how == "GET" and path.startswith("/v1/models")
                ), path
            calls = len(entries(home.state))
            assert calls - seen["calls"] >= len(spent)
            seen["calls"] = calls
            seen["upstream"] += len(paths)

        seen = {"calls": 0, "upstream": 0}

        def run() -> None:
            @settings(
                max_examples=250,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            )
            @given(_METHODS, _TARGETS, st.lists(st.tuples(_NAMES, _VALUES), max_size=2), _BODIES)
            def fuzz(method: str, target: str, headers: Headers, body: bytes) -> None:
                asyncio.run_coroutine_threadsafe(one(method, target, headers, body), loop).result(
                    60
                )

            fuzz()

        await asyncio.to_thread(run)
        assert seen["upstream"] >= 5  # some of it must have been good, or nothing was tried
