"""`budgetd config`: what is wrong, what can be, what is."""

from __future__ import annotations

import json
from pathlib import Path

from ruamel.yaml import YAML

from tests.cli.town import SECRET, command

ROOT = Path(__file__).resolve().parents[2]


async def test_a_good_file() -> None:
    said = await command("config", "check", str(ROOT / "config.example.yaml"))
    assert said.code == 0, said
    assert "good" in said.out


async def test_every_mistake_has_its_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("listen: nowhere\nlog: {levle: info}\nkeys:\n  a: 1 per fortnight\n")
    said = await command("config", "check", str(config))
    assert said.code == 1
    for place in (":1: listen", ":2: log.levle", ":4: keys.a"):
        assert f"{config}{place}" in said.out
    assert "did you mean level?" in said.out
    assert "3 mistakes" in said.err
    told = json.loads((await command("config", "check", str(config), "--json")).out)
    assert told["ok"] is False
    assert [problem["line"] for problem in told["problems"]] == [1, 2, 4]


async def test_mistakes_that_only_building_finds(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("keys:\n  a: {credentials: [{env: ONE}]}\n  b: {credentials: [{env: TWO}]}\n")
    env = {"ONE": SECRET, "TWO": SECRET}
    said = await command("config", "check", str(config), env=env)
    assert said.code == 1
    assert SECRET not in said.out + said.err
    assert (
        await command("config", "check", str(config), env={"ONE": SECRET, "TWO": "x"})
    ).code == 0


async def test_a_doubtful_price_is_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("providers: {openai: {prices: {gpt-4o: {input: 900, output: 10}}}}\n")
    said = await command("config", "check", str(config))
    assert said.code == 0
    assert "warning: " in said.out


async def test_schema_is_the_one_in_docs() -> None:
    said = await command("config", "schema")
    assert said.code == 0
    assert said.out == (ROOT / "docs" / "config.schema.json").read_text()


async def test_show_is_what_is_in_force(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "providers: {openai: {credential: {env: PROVIDER_KEY}}}\nlog: {level: debug}\n"
    )
    env = {"PROVIDER_KEY": SECRET, "BUDGETD_LISTEN": "127.0.0.1:4999"}
    said = await command("config", "show", "--config", str(config), env=env)
    assert said.code == 0, said
    data = YAML(typ="safe").load(said.out)
    assert data["listen"] == "127.0.0.1:4999"
    assert data["log"]["level"] == "debug"
    assert data["patience"]["connect"] == "20s"
    assert data["providers"]["openai"]["credential"] == {"env": "PROVIDER_KEY"}
    assert SECRET not in said.out
    assert json.loads((await command("config", "show", "--json")).out)["listen"] == "127.0.0.1:4141"


async def test_a_secret_that_only_the_daemon_has_is_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "providers: {openai: {credential: {env: ONLY_THE_DAEMONS}}}\n"
        "keys: {a: {budgets: 1 total, credentials: [{env: A_KEY}, {credential: a}]}}\n"
    )
    named = ("--config", str(config))
    said = await command("config", "check", str(config))
    assert said.code == 0, said
    assert "warning: environment variable ONLY_THE_DAEMONS is not set in this shell" in said.out
    assert "warning: environment variable A_KEY is not set in this shell" in said.out
    assert "the daemon must have it" in said.out
    assert (await command("config", "show", *named)).code == 0
    assert (await command("prices", "show", "openai", "gpt-4o", *named)).code == 0
    price = ("openai", "mine", "--input", "1", "--output", "2")
    assert (await command("prices", "set", *price, *named)).code == 0
    said = await command("doctor", "--offline", "--json", "--state", str(tmp_path / "s"), *named)
    assert said.code == 0
    assert "ONLY_THE_DAEMONS" in said.out

    said = await command("run", "--state", str(tmp_path / "s"), *named)
    assert said.code == 1
    assert "ONLY_THE_DAEMONS is not set" in said.err


async def test_a_file_that_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("keys: {a: {budgets: 1 total, credentials: [{file: secrets/a.txt}]}}\n")
    said = await command("config", "check", str(config))
    assert said.code == 1
    assert f"file {tmp_path / 'secrets' / 'a.txt'} does not exist" in said.out
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a.txt").write_text(SECRET)
    (tmp_path / "secrets" / "a.txt").chmod(0o644)
    said = await command("config", "check", str(config))
    assert said.code == 0
    assert f"chmod 600 {tmp_path / 'secrets' / 'a.txt'}" in said.out
