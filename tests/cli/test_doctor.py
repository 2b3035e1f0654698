"""`budgetd doctor`: healthy and ill."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from budgetd.cli import checkup, doctor
from budgetd.cli.doctor import Finding, Patient
from budgetd.cli.reach import providers, surroundings
from tests.cli.town import command, town


def graded(text: str) -> dict[str, list[dict[str, Any]]]:
    """Findings by check."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(text)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


async def test_a_healthy_house(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        assert (await it.chat())[0] == 200
        it.env |= {
            "ANTHROPIC_BASE_URL": it.daemon.url,
            "OPENAI_BASE_URL": f"{it.daemon.url.replace('127.0.0.1', 'localhost')}/k/default/v1",
        }
        text = await it.good("doctor")
        assert "fail" not in text.replace("failed", "")
        assert it.sim.url in " ".join(text.split())  # its providers were reached
        assert "every window equals" in " ".join(text.split())
        found = graded(await it.good("doctor", "--offline", "--json"))
        assert {grade["grade"] for checks in found.values() for grade in checks} == {"ok"}
        assert "openai" not in found


async def test_a_bypass_is_seen(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        it.env |= {
            "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
            "OPENAI_BASE_URL": it.daemon.url,
        }
        said = await it.run("doctor", "--offline", "--json")
        shell = graded(said.out)["this shell"]
        assert [finding["grade"] for finding in shell] == ["warn", "fail"]  # elsewhere; without /v1
        assert said.code == 1


async def test_without_a_daemon_the_ledger_is_looked_at(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        assert (await it.chat())[0] == 200
        env, state = {"BUDGETD_CONFIG": str(it.config), "BUDGETD_URL": ""}, it.state
        it.config.write_text(it.config.read_text().replace("127.0.0.1:0", "127.0.0.1:1"))
    said = await command("doctor", "--offline", "--json", env=env)
    found = graded(said.out)
    assert said.code == 0
    assert found["daemon"][0]["grade"] == "warn"
    assert [finding["grade"] for finding in found["ledger"]] == ["ok", "ok"]

    with sqlite3.connect(state / "ledger.db") as db:
        db.execute("UPDATE window SET settled = settled + 1")
    found = graded((await command("doctor", "--offline", "--json", env=env)).out)
    assert found["ledger"][-1]["grade"] == "fail"
    assert "settled" in found["ledger"][-1]["finding"]

    (state / "ledger.db").write_bytes(b"no database at all" * 300)
    said = await command("doctor", "--offline", env=env)
    assert said.code == 1
    assert said.widest <= 80
    assert "not a database" in said.out


async def test_open_doors_and_bad_files_are_seen(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "admin.token").write_text("x")
    (state / "admin.token").chmod(0o644)
    said = await command("doctor", "--offline", "--json", "--state", str(state))
    assert graded(said.out)["state"][0]["grade"] == "warn"
    assert "admin.token" in graded(said.out)["state"][0]["finding"]

    config = tmp_path / "config.yaml"
    config.write_text("listen: nowhere\n")
    said = await command("doctor", "--offline", "--json", "--config", str(config))
    assert said.code == 1
    assert f"{config}:1" in graded(said.out)["config"][0]["finding"]


async def test_somebody_else_at_the_address(tmp_path: Path) -> None:
    async with town(tmp_path) as it:
        said = await command("doctor", "--offline", "--json", "--url", it.sim.url, env=it.env)
        assert said.code == 1
        assert "is not budgetd" in graded(said.out)["daemon"][0]["finding"]


def test_a_provider_that_cannot_be_reached(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        config = tmp_path / "config.yaml"
        url = f"http://127.0.0.1:{port}"
        config.write_text(
            f"providers: {{openai: {{base_url: {url}}}, anthropic: {{base_url: {url}}}}}"
        )
        found = list(providers(Patient(config=config, environ={"NO_PROXY": "127.0.0.1"})))
    assert {finding.grade for finding in found} == {"warn"}
    assert {finding.what for finding in found} == {"openai", "anthropic"}


def test_a_ledger_of_somebody_else_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.db").write_bytes(b"")
    patient = Patient(state=tmp_path, url="http://127.0.0.1:1", environ={})
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root
    (finding,) = checkup.ledger(patient)
    assert finding.grade == "fail"
    assert "not yours" in finding.said
    assert finding.advice == "run this as the user that runs budgetd"

    def closed(_: Patient) -> Iterator[Finding]:
        yield from ()
        raise PermissionError(13, "Permission denied", str(tmp_path))

    (finding,) = doctor._careful(closed, patient)
    assert "Errno" not in finding.said
    assert finding.advice == "run this as the user that runs budgetd"


def test_without_a_daemon_a_checkout_looks_where_its_script_keeps_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, home = tmp_path / "state", tmp_path / "home"
    monkeypatch.setattr(checkup, "checkout_state", lambda: kept)
    patient = Patient(url="http://127.0.0.1:1", environ={"HOME": str(home)})
    (finding,) = checkup.ledger(patient)
    assert f"none yet in {home / '.local/state/budgetd'}" in finding.said
    kept.mkdir()
    (kept / "ledger.db").write_bytes(b"")
    assert str(kept / "ledger.db") in next(checkup.ledger(patient)).said


async def test_a_key_that_there_is_not_is_seen(tmp_path: Path) -> None:
    async with town(tmp_path, "keys: {mine: 1 total, team-*: 1 total}") as it:
        env, url = it.env, it.daemon.url
        for label, grade in (("mine", "ok"), ("team-1", "ok"), ("nosuch", "warn")):
            it.env = env | {"ANTHROPIC_BASE_URL": f"{url}/k/{label}"}
            said = await it.run("doctor", "--offline", "--json")
            (finding,) = (f for f in graded(said.out)["this shell"] if "ANTHROPIC" in f["finding"])
            assert finding["grade"] == grade, finding
    it.config.write_text(it.config.read_text().replace("127.0.0.1:0", "127.0.0.1:1"))
    env = {"BUDGETD_CONFIG": str(it.config), "BUDGETD_URL": ""}
    for label, grade in (("mine", "ok"), ("nosuch", "warn")):
        base = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:1/k/{label}"}
        said = await command("doctor", "--offline", "--json", env=env | base)
        assert graded(said.out)["this shell"][0]["grade"] == grade


@pytest.mark.parametrize(
    ("proxy", "grade", "words"),
    [
        ("http://user:hidden@127.0.0.1:1", "ok", "https goes through http://127.0.0.1:1"),
        ("nonsense", "ok", "https goes through http://nonsense"),
        ("socks5://127.0.0.1:1", "warn", "HTTPS_PROXY is not used"),
    ],
)
def test_the_proxy_is_the_daemons(
    monkeypatch: pytest.MonkeyPatch, proxy: str, grade: str, words: str
) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    told = list(surroundings(Patient(environ=dict(os.environ))))
    assert (told[1].grade, told[1].said) == (grade, words)


def test_a_provider_behind_a_proxy_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    config = tmp_path / "config.yaml"
    url = "https://api.provider.invalid"
    config.write_text(f"providers: {{openai: {{base_url: {url}}}, anthropic: {{base_url: {url}}}}}")
    for finding in providers(Patient(config=config, environ={})):
        assert finding.grade == "warn"
        assert "cannot be reached through http://127.0.0.1:1" in finding.said
