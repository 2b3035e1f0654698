"""Reading scripts, and which of them wins."""

from __future__ import annotations

import pytest

from budgetd.simulator import Script, ScriptError
from budgetd.simulator.script import DEFAULT, amend, read_script, spoken


def test_a_script_is_read_field_by_field():
    script = read_script('{"tokens": 3, "pace": 1, "headers": {"a": "b"}, "arguments": {"x": 1}}')
    assert script == Script(tokens=3, pace=1, headers=(("a", "b"),), arguments='{"x": 1}')


@pytest.mark.parametrize(
    "text",
    [
        '{"tokns": 3}',
        '{"tokens": "3"}',
        '{"tokens": true}',
        '{"flavour": "vanilla"}',
        '{"crlf": 1}',
        '{"headers": "x"}',
        "[]",
        "{",
    ],
)
def test_what_cannot_be_read_is_refused(text: str):
    with pytest.raises(ScriptError):
        read_script(text)


def test_the_newest_words_win_and_ordinary_text_is_ignored():
    texts = ['first SIM{"tokens": 1}', 'then SIM{"tokens": 2} more', "SIM{ no json", "plain"]
    assert spoken(texts, DEFAULT).tokens == 2
    assert spoken(["nothing"], DEFAULT) is DEFAULT
    assert spoken([*texts, "SIM{}"], Script(tokens=9)).tokens == 9


def test_calm_keeps_the_answer_and_drops_the_faults():
    script = Script(tokens=5, status=429, cut_after_event=2, fail_first=3, retry_after=7)
    assert script.calm() == amend(script, {"status": 200, "cut_after_event": None})


async def test_header_over_words_over_default(client):
    client.sim.script = Script(tokens=1, chunk_tokens=2)
    said = 'SIM{"tokens": 2, "service_tier": "said"}'
    plain = (await client.chat()).json
    spoken_to = (await client.chat(text=said)).json
    header = (await client.chat({"tokens": 3}, text=said)).json
    assert [r["usage"]["completion_tokens"] for r in (plain, spoken_to, header)] == [1, 2, 3]
    assert header["service_tier"] == "said"


async def test_a_bad_script_is_a_400_that_says_why(client):
    reply = await client.chat({"nonsense": 1})
    assert reply.status == 400
    assert "nonsense" in reply.json["error"]["message"]


async def test_the_first_n_requests_fail_then_all_is_well(client):
    script = {"status": 503, "fail_first": 2}
    assert [(await client.chat(script)).status for _ in range(3)] == [503, 503, 200]
    client.sim.script = Script(status=429, fail_first=1)
    assert [(await client.chat()).status for _ in range(2)] == [429, 200]
    client.sim.reset()
    assert [(await client.chat()).status for _ in range(2)] == [200, 200]
