"""`budgetd prices`: showing them without a daemon, and writing the owner's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.town import command

FILE = """\
# my budgets
keys:
    writer: 2.00 per 5h     # cheap
    coder:
        budgets:
        - limit: 3.50
          every: day   # midnight
providers:
    # a server of my own
    local: {base_url: "http://127.0.0.1:9", dialects: [openai_chat]}
log: {level: warning}
"""


async def test_every_bucket_with_source_and_date() -> None:
    said = await command("prices", "show", "anthropic", "claude-sonnet-4-5")
    assert said.code == 0
    assert said.widest <= 80
    rows = {line[:22].strip(): line.split() for line in said.out.splitlines()}
    assert rows["input"][1] == "$3.00"
    assert rows["output"][1] == "$15.00"
    assert rows["cache read"][2] == "$0.30"
    assert "$3.75" in rows["cache write, 5 minutes"]
    assert "$6.00" in rows["cache write, an hour"]
    assert "Source: genai-prices" in said.out
    assert "data up to 20" in said.out


async def test_providers_models_and_a_model_alone() -> None:
    said = await command("prices", "show")
    assert said.code == 0
    assert "openai" in said.out
    said = await command("prices", "show", "openai")
    assert "gpt-4o-mini" in said.out
    assert said.widest <= 80
    said = await command("prices", "show", "claude-sonnet-4-5", "--json")
    assert "anthropic" in {card["provider"] for card in json.loads(said.out)}
    said = await command("prices", "show", "openai", "gpt-4p")
    assert said.code == 1
    assert "did you mean" in said.err
    assert "budgetd prices set openai gpt-4p" in said.err
    assert (await command("prices", "show", "opnai")).code == 1


async def test_set_changes_one_place(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(FILE)
    config.chmod(0o640)
    said = await command(
        *("prices", "set", "local", "mine", "--input", "2.50", "--output", "$10"),
        *("--other", "cache_read=0.125", "--config", str(config)),
    )
    assert said.code == 0, said
    prices = "prices: {mine: {input: 2.50, output: 10, cache_read: 0.125}}}"
    line = f'    local: {{base_url: "http://127.0.0.1:9", dialects: [openai_chat], {prices}'
    before = FILE.splitlines()
    assert config.read_text().splitlines() == [*before[:9], line, *before[10:]]
    assert config.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]

    shown = await command("prices", "show", "local", "mine", "--json", "--config", str(config))
    card = json.loads(shown.out)
    assert card["source"] == "config"
    assert card["usd_per_million"]["cache_read"] == "0.125"

    said = await command(
        "prices", "set", "local", "mine", "--other", "free=true", "--config", str(config)
    )
    assert said.code == 0
    assert "{mine: {free: true}}" in config.read_text()


async def test_set_overrides_a_listed_price_and_doubts_it(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    said = await command(
        *("prices", "set", "openai", "gpt-4o", "--input", "25", "--output", "10"),
        *("--config", str(config)),
    )
    assert said.code == 0
    assert "check which is right" in said.out
    assert "Its list prices for batch, fast, priority stay" in said.out
    assert "restart" in said.out  # nobody watches a file that was not there
    said = await command("prices", "show", "openai", "gpt-4o", "--config", str(config))
    assert "$25.00" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("local", "mine", "--input", "1"),  # output is missing
        ("local", "mine", "--input", "1", "--output", "-2"),
        ("local", "mine", "--input", "much", "--output", "2"),
        ("local", "mine", "--input", "1", "--output", "1", "--other", "inptu=1"),
        ("nowhere", "mine", "--input", "1", "--output", "2"),
    ],
)
async def test_a_bad_price_leaves_the_file(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(FILE)
    said = await command("prices", "set", *arguments, "--config", str(config))
    assert said.code == 1, said
    assert ".config.yaml." not in said.err  # no draft is named, and no line of it
    assert "config.yaml:" not in said.err
    assert config.read_text() == FILE
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


async def test_set_needs_a_price_and_a_file_that_is_right(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("keys: [\n")
    assert (await command("prices", "set", "openai", "m", "--config", str(config))).code == 2
    said = await command(
        *("prices", "set", "openai", "m", "--input", "1", "--output", "1"),
        *("--config", str(config)),
    )
    assert said.code == 1
    assert f"{config}:" in said.err
    assert config.read_text() == "keys: [\n"


async def test_update_says_how() -> None:
    said = await command("prices", "update")
    assert said.code == 0
    assert "pip install --upgrade 'genai-prices" in said.out
    told = json.loads((await command("prices", "update", "--json")).out)
    assert told["package"] == "genai-prices"
    assert told["age_days"] >= 0


def test_the_example_survives_a_round_trip(tmp_path: Path) -> None:
    """The longest file with comments that there is: nothing but the price changes."""
    from difflib import unified_diff

    from budgetd.cli.pricefile import set_price

    example = Path(__file__).resolve().parents[2] / "config.example.yaml"
    config = tmp_path / "config.yaml"
    config.write_text(example.read_text())
    set_price(config, ("openai", "mine"), {"input": "1", "output": "2.0"}, {})
    diff = unified_diff(
        example.read_text().splitlines(), config.read_text().splitlines(), n=0, lineterm=""
    )
    changed = [line for line in list(diff)[2:] if not line.startswith("@@")]
    assert changed == [
        "+    prices:",
        "+      mine:",
        "+        input: 1",
        "+        output: 2.0",
    ]


async def test_an_unknown_price_is_told_which_there_are(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    given = ("--input", "1", "--output", "1", "--other", "cached=1", "--config", str(config))
    said = await command("prices", "set", "openai", "m", *given)
    assert said.code == 1
    assert "cached is no price" in said.err
    for name in ("cache_read", "cache_write_5m", "per_request", "free"):
        assert name in said.err
    assert said.widest <= 80
    assert not config.exists()


async def test_a_read_only_file_stays(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(FILE)
    config.chmod(0o444)
    given = ("--input", "1", "--output", "1", "--config", str(config))
    said = await command("prices", "set", "openai", "m", *given)
    assert said.code == 1
    assert said.err.strip() == f"budgetd: {config} is read-only: nothing was changed"
    assert config.read_text() == FILE
