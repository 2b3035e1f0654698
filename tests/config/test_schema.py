"""The schema for editors: fresh, described, and of the same mind as the loader."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from budgetd.config.document import parse
from budgetd.config.schema import FILE, schema, schema_text, write

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = Draft202012Validator(schema())


def numbers(value: Any) -> Any:
    """Decimals as the floats that an editor sees."""
    if isinstance(value, dict):
        return {name: numbers(below) for name, below in value.items()}
    if isinstance(value, list):
        return [numbers(below) for below in value]
    return float(value) if isinstance(value, Decimal) else value


def complaints(text: str | bytes) -> list[str]:
    return [
        error.json_path for error in VALIDATOR.iter_errors(numbers(parse(text, "c.yaml").data()))
    ]


def test_the_file_is_fresh(tmp_path):
    write(tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text() == schema_text()
    assert (ROOT / FILE).read_text() == schema_text(), "run: python -m budgetd.config.schema"


def test_it_is_a_schema_and_the_example_fits_it():
    Draft202012Validator.check_schema(schema())
    example = (ROOT / "config.example.yaml").read_text()
    assert complaints(example) == []
    assert example.splitlines()[0] == f"# yaml-language-server: $schema={FILE}"


def test_every_setting_is_described():
    undescribed = []
    parts = {"": schema(), **schema()["$defs"]}
    for name, part in parts.items():
        long = next((form for form in part.get("anyOf", ()) if "properties" in form), part)
        for field, about in long["properties"].items():
            target = (
                schema()["$defs"][about["$ref"].rpartition("/")[2]] if "$ref" in about else about
            )
            if not target.get("description"):
                undescribed.append(f"{name}.{field}")
    assert undescribed == []
    assert "Decimal" not in json.dumps(schema())


@pytest.mark.parametrize(
    "text",
    [
        "keys: {a: 2.00 per 5h, b: [1 per day, {limit: 1, every: week}], c: , d: {budgets: $1 / day}}",
        "budgets: 50 total",
        "default_key: 1 per day",
        "limits: {body_bytes: 32MiB}\npatience: {idle: 1h30m}",
        "labels: {thesis: 10 per week, ci-*: [1 per day, {limit: 1, every: 5h}], x: }",
        "budgets: [2.00 per session, $1/agent, {limit: 1, per: agent}]",
        "keys: {a: {budgets: {limit: 1, every: day, per: session, models: [claude-*]}}}",
        "default_key: {sessions: {nightly: 1 per day}, loops: refuse, caps: {context_tokens: 9}}",
        "keys: {a: [{limit: 1, every: day, models: claude-*}]}",
        "providers: {openai: , x: {base_url: 'https://x', dialects: [anthropic]}}",
    ],
)
def test_what_loads_fits(text):
    assert complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "lisetn: x",
        "keys: {a: 5}",
        "budgets: [2.00]",
        "patience: {idle: 30}",
        "log: {level: loud}",
        "providers: {openai: {credential: sk-x}}",
        "defaults: {openai: openai}",
        "labels: [thesis]",
        "labels: {thesis: 10}",
        "budgets: {limit: 1}",
        "budgets: {limit: 1, per: day}",
        "keys: {a: [{limit: 1, every: day, models: []}]}",
        "keys: {a: {loops: deny}}",
        "keys: {a: {caps: {turns: 5}}}",
        "keys: {a: {caps: 5}}",
        "keys: {a: {sessions: nightly}}",
    ],
)
def test_what_does_not_load_does_not_fit(text):
    assert complaints(text)
