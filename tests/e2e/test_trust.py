"""Who is let in, what travels to whom, and what nobody gets to see.

Secrets first: a provider's credential, an issued token, the admin token and the local secret are
looked for in every answer, every page of the status API, every log line and every file.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from budgetd.config.load import load
from budgetd.daemon import Daemon
from budgetd.simulator import Script, Simulator
from tests.e2e.line import (
    ANTHROPIC,
    HEADS,
    OPENAI,
    PATHS,
    ask,
    body_of,
    clean,
    complained,
    headers_of,
    request,
    untouched,
)
from tests.rig import DaemonProcess, HandClock, House, config_text, house

OURS = {"OURS_OPENAI": "sk-proj-ours-0penai", "OURS_ANTHROPIC": "sk-ant-api03-0urs"}
VAULT = (
    "  openai: {{base_url: {sim}, credential: {{env: OURS_OPENAI}}}}\n"
    "  anthropic: {{base_url: {sim}, credential: {{env: OURS_ANTHROPIC}}}}\n"
    "  local: {{base_url: {sim}, dialects: [openai_chat, anthropic], needs_credential: false,"
    " unknown_price: free}}\n"
)
KEYS = """
keys:
  team: {custody: issued, budgets: 1.00 per 5h}
  other: {custody: issued, budgets: 1.00 per 5h}
  short: {custody: issued, budgets: 1.00 per 5h, expires: 2026-11-21T00:00:00Z}
  mine: {budgets: 1.00 per 5h, credentials: [{env: MINE}]}
  agent-*: {custody: issued, budgets: 1.00 per 5h}
"""
MINE = "sk-proj-somebodys-own"
BOTH = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])


@asynccontextmanager
async def vault(directory: Path, extra: str = ""):
    """A house whose daemon holds the providers' credentials, with keys of every custody."""
    import aiohttp

    clock, state, config = HandClock(), directory / "state", directory / "config.yaml"
    environ = {**OURS, "MINE": MINE}
    async with Simulator(script=Script()) as sim:
        text = config_text(sim.url, state, extra + KEYS)
        start, _, rest = text.partition("providers:\n")
        end = rest.partition("\n" + (extra + KEYS)[:10])[2]
        config.write_text(
            start + "providers:\n" + VAULT.format(sim=sim.url) + (extra + KEYS)[:10] + end
        )
        daemon = Daemon(load(config, environ), environ, clock)
        await daemon.start()
        try:
            async with aiohttp.ClientSession() as http:
                yield House(daemon, sim, http, clock, config, state)
        finally:
            await daemon.stop()


async def issued(home: House, key: str = "team", **more: Any) -> str:
    """A new token for a key."""
    status, told = await home.control("keys/issue", key=key, **more)
    assert status == 200, told
    token: str = told["token"]
    return token


async def call(
    home: House, dialect: str, label: str = "", **headers: str
) -> tuple[int, Any, bytes]:
    """A request with these credentials and no other: (status, headers, body)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if dialect == ANTHROPIC:
        named["anthropic-version"] = "2023-06-01"
    url = home.url + label + PATHS[dialect]
    async with home.http.post(url, json=body_of(dialect), headers=named) as answer:
        return answer.status, answer.headers, await answer.read()


@BOTH
async def test_an_issued_token_is_replaced_by_the_providers_credential(
    dialect: str, tmp_path: Path
) -> None:
    async with vault(tmp_path) as home:
        token = await issued(home)
        forms: tuple[dict[str, str], ...] = (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"bearer  {token}"},
            {"authorization": token},
            {"x_api_key": token},
            {"api_key": token},
            {"authorization": "Bearer placeholder", "x_api_key": token},
            {"authorization": f"Bearer {token}", "x_api_key": "sk-ant-of-the-agent"},
            {"authorization": f"Bearer {token}", "x_goog_api_key": "AIza-of-the-agent"},
            {"authorization": f"Bearer {token}", "proxy_authorization": f"Bearer {token}"},
        )
        for headers in forms:
            status, _, body = await call(home, dialect, **headers)
            assert status == 200, (headers.keys(), body)
            sent = home.sim.requests[-1]
            everything = str(sent.headers) + sent.path + sent.body.decode()
            clean([everything], token, "of-the-agent", "placeholder")
            if dialect == OPENAI:
                assert sent.header("authorization") == f"Bearer {OURS['OURS_OPENAI']}"
                assert sent.header("x-api-key") is None
            else:
                assert sent.header("x-api-key") == OURS["OURS_ANTHROPIC"]
                assert sent.header("authorization") is None
        await home.quiet()
        spent = await home.status("/status/keys/team")
        assert len(spent["calls"]) == len(forms)


@BOTH
async def test_tokens_that_do_not_let_anybody_in(dialect: str, tmp_path: Path) -> None:
    async with vault(tmp_path) as home:
        good, revoked = await issued(home), await issued(home, "other")
        brief = await issued(home, expires_in_s=60)
        late = await issued(home, "short")
        await home.control("keys/revoke", key="other")
        home.clock.advance(61)
        cases: dict[str, tuple[str, dict[str, str], int, str]] = {
            "no token": ("/k/team", {}, 401, "budgetd token"),
            "the key's name alone": ("/k/agent-7", {}, 401, "budgetd token"),
            "somebody's credential": ("/k/team", headers_of(dialect), 401, "budgetd token"),
            "unknown": ("", {"x_api_key": "bgd_" + "x" * 32}, 401, "not known"),
            "nearly right": ("", {"x_api_key": good[:-1]}, 401, "not known"),
            "nothing after the prefix": ("", {"x_api_key": "bgd_"}, 401, "not known"),
            "revoked": ("", {"x_api_key": revoked}, 401, "revoked"),
            "expired": ("", {"x_api_key": brief}, 401, "expired"),
            "for another key": ("/k/other", {"x_api_key": good}, 403, "another key"),
            "for the default key": ("/k/default", {"x_api_key": good}, 403, "another key"),
            "a claimed credential under another name": (
                "/k/agent-1",
                {"authorization": f"Bearer {MINE}"},
                403,
                "another key",
            ),
            "no such key": ("/k/nobody", headers_of(dialect), 404, "no key named"),
            "a pattern as a name": ("/k/agent-*", {}, 401, "budgetd token"),
        }
        for name, (label, headers, expected, words) in cases.items():
            named = {key.replace("-", "_"): value for key, value in headers.items()}
            status, answered, body = await call(home, dialect, label, **named)
            assert status == expected, (name, status, body)
            message = complained(dialect, status, answered, body)
            assert words in message, (name, message)
            clean([body.decode(), str(answered)], good, revoked, brief, MINE, *OURS.values())
        home.clock.advance(3 * 86_400)
        status, answered, body = await call(home, dialect, x_api_key=late)
        assert status == 401
        assert "expired" in complained(dialect, status, answered, body)
        await untouched(home)


@BOTH
async def test_revoking_works_at_once_and_for_one_token_alone(dialect: str, tmp_path: Path) -> None:
    async with vault(tmp_path) as home:
        first, second = await issued(home), await issued(home)
        await home.control("keys/revoke", key="team", hint=first[:8])
        assert (await call(home, dialect, x_api_key=first))[0] == 401
        assert (await call(home, dialect, x_api_key=second))[0] == 200


async def test_a_credential_goes_only_where_it_belongs(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        ant, own = "sk-ant-api03-belongs-to-anthropic", "sk-proj-belongs-to-openai"
        refused: tuple[tuple[str, str, dict[str, str]], ...] = (
            (OPENAI, "", {"authorization": f"Bearer {ant}"}),
            (OPENAI, "", {"authorization": f"Bearer {own}", "x_api_key": ant}),
            (OPENAI, "", {"authorization": f"Bearer {own}", "api_key": ant}),
            (OPENAI, "", {"authorization": ant}),
            (OPENAI, "/p/openai", {"authorization": f"Bearer {ant}"}),
            (ANTHROPIC, "/p/anthropic", {"x_api_key": own}),
            (ANTHROPIC, "/p/anthropic", {"x_api_key": "sk-or-v1-belongs-to-openrouter"}),
            (OPENAI, "/p/groq", {"authorization": f"Bearer {own}"}),
        )
        for dialect, label, headers in refused:
            status, answered, body = await call(home, dialect, label, **headers)
            assert status in {400, 403}, (headers.keys(), status, body)
            complained(dialect, status, answered, body)
            clean([body.decode()], ant, own)
        await untouched(home)


async def test_a_local_server_gets_nobodys_credential(tmp_path: Path) -> None:
    async with vault(tmp_path) as home:
        token = await issued(home)
        for headers in (
            {"authorization": "Bearer anything"},
            {"x_api_key": token},
            {"authorization": f"Bearer {MINE}"},
            {},
        ):
            for dialect in (OPENAI, ANTHROPIC):
                await call(home, dialect, "/p/local", **headers)
                sent = home.sim.requests[-1]
                assert not {name.lower() for name, _ in sent.headers} & {
                    "authorization",
                    "x-api-key",
                    "api-key",
                }
        await home.quiet()


async def test_two_credentials_of_different_keys(tmp_path: Path) -> None:
    """The one that is looked at first must not decide alone: the provider may take the other."""
    async with vault(tmp_path) as home:
        status, _, body = await call(
            home, OPENAI, authorization="Bearer sk-proj-junk", x_api_key=MINE
        )
        assert status == 200, body
        await home.quiet()
        assert len((await home.status("/status/keys/mine"))["calls"]) == 1
        assert (await home.status("/status/keys/default"))["calls"] == []


@BOTH
async def test_web_pages_and_foreign_hosts(dialect: str, tmp_path: Path) -> None:
    path, body = PATHS[dialect], json.dumps(body_of(dialect)).encode()
    hosts = {
        "evil.example": 403,
        "evil.example:4141": 403,
        "127.0.0.1.evil.example": 403,
        "localhost.evil.example": 403,
        "": 403,
        "127.0.0.2": 403,
        "0.0.0.0": 403,  # noqa: S104  a name that is refused
        "localhost@evil.example": 403,
        "localhost": 200,
        "LOCALHOST:4141": 200,
        "127.0.0.1:1": 200,
        "[::1]:4141": 200,
        "[::1]": 200,
        "budget.lan": 200,
        "Budget.LAN:80": 200,
    }
    async with house(tmp_path, "hosts: [budget.lan]") as home:
        for host, expected in hosts.items():
            for target in (path, "/status", "/v1/usage", "/healthz", "/"):
                method = "POST" if target == path else "GET"
                data = request(
                    target, body if method == "POST" else b"", HEADS[dialect], method, host
                )
                heard = await ask(home.url, data)
                assert heard is not None
                assert heard.status == expected, (host, target)
        for origin in ("http://evil.example", "null", home.url, "http://localhost:4141", ""):
            for target in (path, "/status", "/v1/usage", "/", "/v1/models", "/control/stop"):
                method = "POST" if target in {path, "/control/stop"} else "GET"
                extra = HEADS[dialect] + f"Origin: {origin}\r\n"
                heard = await ask(home.url, request(target, body, extra, method))
                assert heard is not None
                assert heard.status == 403, (origin, target)
            preflight = request(path, b"", f"Origin: {origin}\r\n", "OPTIONS")
            heard = await ask(home.url, preflight)
            assert heard is not None
            assert heard.status == 403
            assert not [name for name in heard.headers if name.startswith("access-control")]
        await home.quiet()
        assert len(home.sim.requests) == sum(status == 200 for status in hosts.values())


CONTROLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("topup", {"key": "team", "usd": "1"}),
    ("stop", {"all": True, "now": True}),
    ("adjust", {"call": "x", "usd": "1"}),
    ("keys/issue", {"key": "team"}),
    ("keys/revoke", {"key": "team"}),
    ("reload", {}),
    ("audit", {}),
)


async def test_what_changes_something_needs_the_admin_token(tmp_path: Path) -> None:
    async with vault(tmp_path) as home:
        admin = (home.state / "admin.token").read_text().strip()
        token = await issued(home)
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"authorization": "Bearer "},
            {"authorization": f"Bearer {admin[:-1]}"},
            {"authorization": f"Bearer {admin}x"},
            {"authorization": f"Basic {admin}"},
            {"authorization": admin},
            {"x-api-key": admin},
            {"authorization": f"Bearer {token}"},
            {"authorization": f"Bearer {OURS['OURS_OPENAI']}"},
            {"authorization": f"Bearer {admin}", "origin": home.url},
            {"authorization": f"Bearer {admin}", "host": "evil.example"},
        )
        before = await home.status()
        for verb, arguments in CONTROLS:
            for headers in wrong:
                url = f"{home.url}/control/{verb}"
                async with home.http.post(url, json=arguments, headers=headers) as answer:
                    expected = 403 if {"origin", "host"} & set(headers) else 401
                    assert answer.status == expected, (verb, headers.keys())
                    assert answer.headers["content-type"].startswith("application/problem+json")
                    told = await answer.json(content_type=None)
                    assert set(told) == {"type", "title", "status", "detail"}
                    clean([str(told)], admin, token)
            async with home.http.get(f"{home.url}/control/{verb}") as answer:
                assert answer.status == 404
        after = await home.status()
        assert before | {"now": 0} == after | {"now": 0}
        assert [key["stopped"] for key in after["keys"]] == [None] * len(after["keys"])


async def test_control_routes_say_what_is_wrong_with_their_arguments(tmp_path: Path) -> None:
    async with vault(tmp_path) as home:
        cases: tuple[tuple[str, Any, int], ...] = (
            ("topup", {"key": "nobody", "usd": "1"}, 404),
            ("topup", {"key": ["team"], "usd": "1"}, 404),
            ("topup", {"key": "team", "usd": 0.5}, 400),
            ("topup", {"key": "team", "usd": "-1"}, 400),
            ("topup", {"key": "team", "usd": "1e400"}, 400),
            ("topup", {"key": "team", "usd": "99999999999999999999"}, 400),
            ("topup", {"key": "team", "usd": True}, 400),
            ("topup", {"key": "team", "usd": "1", "budget": "none"}, 404),
            ("topup", {"key": "team", "usd": "1", "note": "x" * 501}, 400),
            ("stop", {}, 404),
            ("adjust", {"call": "none", "usd": "1"}, 404),
            ("adjust", {"call": 5, "usd": "1"}, 400),
            ("keys/issue", {"key": "mine"}, 409),
            ("keys/issue", {"key": "agent-*"}, 404),
            ("keys/issue", {"key": "\ud800"}, 400),
            ("keys/issue", {"key": "team", "expires_in_s": "soon"}, 400),
            ("keys/issue", {"key": "team", "expires_in_s": -1}, 400),
            ("keys/issue", {"key": "team", "expires_in_s": 10**30}, 400),
            ("keys/issue", {"key": "team", "expires_in_s": True}, 400),
            ("keys/issue", {"key": "team", "expires_in": 5}, 400),
            ("keys/revoke", {}, 400),
            ("keys/revoke", {"key": "team", "hint": 5}, 400),
            ("keys/revoke", {"key": "team", "hint": ""}, 400),
            ("keys/revoke", {"key": "team", "token": "bgd_abcd"}, 400),
            ("stop", {"all": "yes"}, 400),
            ("stop", {"all": True, "now": "yes"}, 400),
            ("stop", {"all": True, "lift": "true"}, 400),
            ("reload", {"file": "/etc/passwd"}, 400),
            ("keys/revoke", {"key": "\ud800"}, 400),
            ("stop", {"key": "team", "note": "\ud800"}, 400),
        )
        for verb, arguments, expected in cases:
            status, told = await home.control(verb, **arguments)
            assert status == expected, (verb, arguments, told)
            assert told["status"] == expected
        token = (home.state / "admin.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        for data, expected in ((b"[]", 400), (b"{", 400), (b"\xff", 400), (b" " * 100_000, 413)):
            url = f"{home.url}/control/stop"
            async with home.http.post(url, data=data, headers=headers) as answer:
                assert answer.status == expected, data[:10]
        assert (await home.status())["stops"] == []


def test_the_admin_token_is_compared_in_constant_time() -> None:
    import inspect

    from budgetd.status.control import Control

    source = inspect.getsource(Control._authorise)
    assert "compare_digest" in source
    assert "==" not in source


async def test_files_are_for_the_daemons_user_alone(tmp_path: Path) -> None:
    previous = os.umask(0)  # the most careless setting: nothing may depend on it
    try:
        async with vault(tmp_path) as home:
            await issued(home)
            async with home.chat() as answer:
                assert answer.status == 200
            await home.quiet()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.state.iterdir()}
            assert stat.S_IMODE(home.state.stat().st_mode) == 0o700
    finally:
        os.umask(previous)
    assert {"admin.token", "local.secret", "ledger.db"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


async def test_no_secret_is_shown_stored_or_logged(tmp_path: Path) -> None:
    words, answer_words = "what the agent asked", "what the provider said"
    with capture_logs() as logs:
        async with vault(tmp_path) as home:
            token = await issued(home)
            admin = (home.state / "admin.token").read_text().strip()
            local = (home.state / "local.secret").read_bytes()
            home.sim.script = Script(text=answer_words)
            shown = []
            for dialect in (OPENAI, ANTHROPIC):
                for headers in ({"x-api-key": token}, {"authorization": f"Bearer {MINE}"}):
                    body = body_of(dialect, messages=[{"role": "user", "content": words}])
                    url = home.url + "/p/local" + PATHS[dialect]
                    async with home.http.post(url, json=body, headers=headers) as answer:
                        shown.append(str(answer.headers))
            await home.control("stop", key="team")
            assert (await call(home, OPENAI, x_api_key=token))[0] == 429
            pages = ("/status", "/status/keys", "/status/keys/team", "/status/keys/mine")
            shown += [json.dumps(await home.status(path)) for path in pages]
            async with home.http.get(
                f"{home.url}/v1/usage", headers={"authorization": f"Bearer {token}"}
            ) as answer:
                shown.append(await answer.text())
            await home.quiet()
            setup = home.daemon.gateway.setup
            shown += [repr(setup), repr(setup.rules), repr(setup.callers), repr(home.daemon)]
        stored = [
            path.read_bytes().decode("latin-1")
            for path in home.state.iterdir()
            if path.name not in {"admin.token", "local.secret"}
        ]
    secrets = (token, admin, MINE, *OURS.values(), local.hex(), local.decode("latin-1"))
    clean([*shown, *stored, *(str(entry) for entry in logs)], *secrets, words, answer_words)
    assert token[:8] in shown[-6] + "".join(shown)  # its hint is shown, so the pages were not empty


async def test_a_real_daemon_at_debug_level_logs_no_secret(tmp_path: Path) -> None:
    async with Simulator() as sim:
        config = tmp_path / "config.yaml"
        extra = "log: {level: debug, format: json}\nkeys: {team: {custody: issued}}"
        text = config_text(sim.url, tmp_path / "state", extra)
        text = text.replace(
            f"openai: {{base_url: {sim.url}}}",
            f"openai: {{base_url: {sim.url}, credential: {{env: OURS_OPENAI}}}}",
        )
        config.write_text(text)
        process = DaemonProcess(config, OURS)
        await process.start()
        try:
            admin = (tmp_path / "state" / "admin.token").read_text().strip()
            import aiohttp

            async with aiohttp.ClientSession() as http:
                headers = {"authorization": f"Bearer {admin}"}
                url = f"{process.url}/control/keys/issue"
                async with http.post(url, json={"key": "team"}, headers=headers) as answer:
                    token = (await answer.json())["token"]
                for credential in (token, "sk-proj-the-agents-own", "bgd_wrong", "sk-ant-foreign"):
                    url = process.url + PATHS[OPENAI]
                    mine = {"authorization": f"Bearer {credential}"}
                    body = body_of(OPENAI, messages=[{"role": "user", "content": "my words"}])
                    async with http.post(url, json=body, headers=mine) as answer:
                        await answer.read()
            for junk in (
                b"GET / HTTP/1.1\r\nauthorization: Bearer sk-in-a-bad-head\0\r\n\r\n",
                b"sk-in-a-bad-head\r\n\r\n",
            ):
                await ask(process.url, junk)
        finally:
            assert await process.end() == 0
    log = "".join(process.errors)
    assert '"call"' in log
    clean(
        [log],
        admin,
        token,
        "the-agents-own",
        "sk-in-a-bad-head",
        "sk-ant-foreign",
        "my words",
        *OURS.values(),
    )


async def test_usage_shows_a_key_to_itself_alone(tmp_path: Path) -> None:
    async def usage(label: str = "", **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with home.http.get(f"{home.url}{label}/v1/usage", headers=named) as answer:
            assert answer.headers.get("cache-control") == "no-store" or answer.status >= 400
            return answer.status, await answer.json()

    async with vault(tmp_path, "budgets: [50 per day]\n") as home:
        token = await issued(home)
        assert (await call(home, OPENAI, x_api_key=token))[0] == 200
        await home.quiet()
        status, mine = await usage(x_api_key=token)
        assert status == 200
        assert mine["key"] == "team"
        assert [budget["limit"] for budget in mine["budgets"]] == [1]
        assert set(mine["budget"]) == {"name", "limit", "spent", "held", "remaining", "resets_at"}
        assert mine["budget"]["spent"] > 0
        assert mine["budget"]["spent"] + mine["budget"]["remaining"] == 1
        assert (await usage("/k/team", x_api_key=token))[1] == mine
        assert (await usage(authorization=f"Bearer {MINE}"))[1]["key"] == "mine"
        assert (await usage())[1]["key"] == "default"
        for label, headers, expected in (
            ("/k/team", {}, 401),
            ("/k/agent-9", {}, 401),
            ("/k/other", {"x_api_key": token}, 403),
            ("/k/nobody", {}, 404),
            ("", {"x_api_key": "bgd_guess"}, 401),
            ("/k/team", {"authorization": f"Bearer {MINE}"}, 403),
        ):
            status, told = await usage(label, **headers)
            assert status == expected, (label, told)
            assert told["error"]["message"].startswith("budgetd: ")


async def test_what_an_account_claims_is_claimed_for_its_key_alone(tmp_path: Path) -> None:
    """Claude Code under a plan: rotating tokens, known by the account in its metadata."""
    extra = (
        "keys:\n  plan: {accounts: [11111111-2222], budgets: [{limit: 9, every: day,"
        " counts: notional}, 0.50 per day]}\n"
    )
    user = json.dumps({"device_id": "d", "account_uuid": "11111111-2222", "session_id": "s"})
    async with house(tmp_path, extra) as home:
        for turn in range(3):
            bearer = f"Bearer sk-ant-oat01-rotated-{turn}"
            headers = {"authorization": bearer, "anthropic-version": "2023-06-01"}
            body = body_of(ANTHROPIC, metadata={"user_id": user})
            url = home.url + PATHS[ANTHROPIC]
            async with home.http.post(url, json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
            assert home.sim.requests[-1].header("authorization") == headers["authorization"]
        await home.quiet()
        plan = await home.status("/status/keys/plan")
        spent = {budget["counts"]: budget["spent_usd"] for budget in plan["budgets"]}
        assert float(spent["notional"]) > 0  # a comparison, not a sum
        assert spent["real"] == "0"
        assert {call["money"] for call in plan["calls"]} == {"notional"}
        assert set((await home.status())["last_24h"]) == {"notional"}


async def test_state_that_others_could_write_is_not_made(tmp_path: Path) -> None:
    async with house(tmp_path) as first:
        token = (first.state / "admin.token").read_text()
    async with house(tmp_path) as second:  # a restart keeps it: scripts know it
        assert (second.state / "admin.token").read_text() == token
        assert token.startswith("bga_")
        assert len(token.strip()) == 36
        await asyncio.sleep(0)
