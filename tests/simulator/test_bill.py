"""The bill and its journal."""

from __future__ import annotations

import json
from pathlib import Path

from budgetd.simulator import MODELS, Bill, Tokens, read_bill

GPT = MODELS["gpt-4o"]


def wall() -> float:
    return 50.0


def test_a_line_grows_from_prompt_to_answer_and_the_total_follows():
    bill = Bill(wall)
    meter = bill.begin("a", GPT, Tokens(input=100), "default")
    assert bill.total_pico == 250_000_000
    meter.add(output=10)
    meter.add(output=5, reasoning=5)
    assert bill.total_pico == 250_000_000 + 150_000_000
    meter.end("complete")
    line = bill.line("a")
    assert line.ended
    assert line.ended_at == 50.0
    assert line.tokens == Tokens(input=100, output=15, reasoning=5)


def test_open_lines_count_and_a_line_ends_once():
    bill = Bill(wall)
    bill.begin("a", GPT, Tokens(input=1), "default")
    second = bill.begin("b", GPT, Tokens(input=2), "default")
    second.end("client_left")
    second.end("complete")
    assert [line.how for line in bill.lines] == ["open", "client_left"]
    assert bill.total_pico == 7_500_000


def test_amounts_are_decimal_strings():
    bill = Bill(wall)
    bill.begin("a", GPT, Tokens(input=1), "default")
    shown = json.loads(json.dumps(bill.as_json()))
    assert shown["total_pico"] == "2500000"
    assert shown["lines"][0]["pico"] == "2500000"
    assert shown["lines"][0]["ended"] is False


def test_the_journal_has_the_same_lines_at_every_moment(tmp_path: Path):
    path = tmp_path / "bill.jsonl"
    bill = Bill(wall, path)
    meter = bill.begin("a", GPT, Tokens(input=100), "default")
    assert read_bill(path) == bill.lines
    meter.add(output=10)
    assert read_bill(path) == bill.lines
    meter.end("complete")
    assert read_bill(path) == bill.lines
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds == ["begin", "delta", "end"]
    bill.close()


def test_a_torn_record_is_ignored_and_a_reset_forgets(tmp_path: Path):
    path = tmp_path / "bill.jsonl"
    bill = Bill(wall, path)
    bill.begin("a", GPT, Tokens(input=100), "default")
    bill.reset()
    meter = bill.begin("b", GPT, Tokens(input=100), "default")
    with path.open("ab") as file:
        file.write(b'{"kind": "delta", "id": "b", "tok')
    assert [line.id for line in read_bill(path)] == ["b"]
    bill.reset()
    meter.add(output=5)
    meter.end("complete")
    assert bill.lines == ()
    assert bill.total_pico == 0
    bill.close()
