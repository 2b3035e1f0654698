"""How money, time and shares look, where the daemon is, and what a quick command loads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from budgetd.cli import paper
from budgetd.cli.fault import CommandFault
from budgetd.cli.link import Link, daemon_url
from tests.cli.town import BARE, command, town

NOW = "2026-11-20T17:00:00Z"


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ("2026-11-20T16:59:00Z", "0s"),
        ("2026-11-20T17:00:45Z", "45s"),
        ("2026-11-20T17:01:05Z", "1m05s"),
        ("2026-11-20T17:37:59Z", "37m"),
        ("2026-11-20T21:10:00Z", "4h10m"),
        ("2026-11-26T20:00:00Z", "6d3h"),
        (None, "never"),
    ],
)
def test_time_left(then: str | None, words: str) -> None:
    assert paper.until(then, NOW) == words


@pytest.mark.parametrize(
    ("spent", "held", "limit", "cells", "style"),
    [
        (0, 0, 100, "░░░░░░░░░░", "green"),
        (50, 20, 100, "█████▒▒░░░", "green"),
        (75, 0, 100, "████████░░", "yellow"),
        (95, 20, 100, "██████████", "red"),
        (300, 0, 100, "██████████", "red"),
        (0, 0, 0, "██████████", "red"),
    ],
)
def test_bars(spent: int, held: int, limit: int, cells: str, style: str) -> None:
    bar = paper.bar(spent, held, limit, 10)
    assert bar.plain == cells
    assert str(bar.style) == style


def test_shares_round_down() -> None:
    assert paper.percent(999, 1000) == "99%"
    assert paper.percent(1000, 1000) == "100%"
    assert paper.percent(5, 0) == "-"


@pytest.mark.parametrize(
    ("number", "words"),
    [(812, "812"), (41_200, "41.2k"), (3_140_000, "3.14M"), (25_000_000, "25M")],
)
def test_counts(number: int, words: str) -> None:
    assert paper.count(number) == words


def test_where_the_daemon_is(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("listen: 0.0.0.0:4500\nkeys: {a: nonsense}\n")
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path)}
    configured = {"BUDGETD_CONFIG": str(config)}
    assert daemon_url(None, nowhere) == "http://127.0.0.1:4141"
    assert daemon_url(None, configured) == "http://127.0.0.1:4500"
    assert daemon_url(None, configured | {"BUDGETD_LISTEN": "[::1]:7"}) == "http://[::1]:7"
    assert daemon_url("localhost:9/x", configured) == "http://localhost:9"
    config.write_text("listen: [broken\n")
    assert daemon_url(None, configured) == "http://127.0.0.1:4141"
    config.write_text("listen: 127.0.0.1:0\n")
    with pytest.raises(CommandFault, match="system choose the port"):
        daemon_url(None, configured)


def test_the_admin_token_goes_to_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def status(link: Link) -> dict[str, str]:
        asked.append(link.url)
        return {"state": "/etc"}

    monkeypatch.setattr(Link, "status", status)
    with pytest.raises(CommandFault, match="another machine"):
        Link("http://192.0.2.1:4141").change("reload")


async def test_a_quick_command_loads_nothing_heavy(tmp_path: Path) -> None:
    """The status of a running daemon: no web server, no price data, no settings."""
    heavy = {"aiohttp", "genai_prices", "pydantic_settings", "uvloop", "structlog"}
    code = (
        "import sys\nfrom budgetd.cli.app import main\n"
        "try: main(['status'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    import asyncio

    async with town(tmp_path) as it:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**BARE, **it.env},
        )
        out, err = await process.communicate()
    assert b"budgetd 0." in out
    assert err.strip() == b"[]"


async def test_completion_is_there() -> None:
    env = {"_BUDGETD_COMPLETE": "complete_bash", "COMP_WORDS": "budgetd ke", "COMP_CWORD": "1"}
    assert (await command(env=env)).out.split() == ["keys"]
