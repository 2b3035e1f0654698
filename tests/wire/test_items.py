"""Entries of a history: every form of the same content is one item, and any other content another."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from budgetd.core.transcript import Item
from budgetd.wire.content import MOST_PARTS
from budgetd.wire.items import Entry, opaque, read_entry
from tests.wire.conversations import (
    DIALECTS,
    WORDS,
    Asked,
    Got,
    Piece,
    Said,
    entry,
    pieces,
    spelled,
)

SEED = 7
CHANCE = st.integers(0, 2**32).map(random.Random)
EMPTY = xxh3_64_intdigest(b"") >> 1


def read(value: Any, seed: int = SEED) -> Entry:
    return read_bytes(json.dumps(value).encode(), seed)


def read_bytes(raw: bytes, seed: int = SEED) -> Entry:
    return read_entry(memoryview(raw), seed)


def item(value: Any) -> Item:
    return read(value).item


def digest(value: Any) -> bytes:
    return item(value).digest


def meaning(one: Item) -> Item:
    """All of an item that does not depend on how it was written."""
    return replace(one, size=0, results=tuple(replace(result, size=0) for result in one.results))


@given(pieces(), st.sampled_from(sorted(DIALECTS)), CHANCE, CHANCE)
def test_every_form_of_an_entry_is_the_same_item(
    piece: Piece, dialect: str, one: random.Random, other: random.Random
) -> None:
    first, second = (
        read_bytes(spelled(entry(piece, dialect, chance), chance).encode("utf-8", "surrogatepass"))
        for chance in (one, other)
    )
    assert meaning(first.item) == meaning(second.item)


def changed(piece: Piece, extra: str, which: int) -> Piece:
    """The same piece but for one thing."""
    match piece:
        case Said(role, texts):
            other = "assistant" if role == "user" else "user"
            return [Said(other, texts), Said(role, (texts[0] + extra, *texts[1:])),
                    Said(role, (*texts, extra))][which % 3]  # fmt: skip  # a table of changes
        case Asked(at, name, arguments):
            return [
                replace(piece, id=at + extra),
                replace(piece, name=name + extra),
                replace(piece, arguments={**arguments, "path": [extra]}),
            ][which % 3]
        case Got(at, _, text):
            return [replace(piece, id=at + extra), replace(piece, text=text + extra)][which % 2]


@given(
    pieces(), st.sampled_from(sorted(DIALECTS)), st.text(min_size=1, max_size=3), st.integers(0, 5)
)
def test_another_content_is_another_item(
    piece: Piece, dialect: str, extra: str, which: int
) -> None:
    chance = random.Random(1)
    before = entry(piece, dialect, chance)
    after = entry(changed(piece, extra, which), dialect, chance)
    one, other = (
        spelled(value, chance).encode("utf-8", "surrogatepass") for value in (before, after)
    )
    assert read_bytes(one).item.digest != read_bytes(other).item.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "ab"}, {"role": "user", "content": ["a", "b"]}),
        ({"role": "user", "content": ["a", "b"]}, {"role": "user", "content": "atb"}),
        ({"role": "user", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "user", "content": "a", "parts": []}, {"role": "user", "parts": ["b"], "content": "a"}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a", "name": "n"}),
        ({"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "x", "text": "a"}]}),
        ({"role": "user", "content": 5}, {"role": "user", "content": "5"}),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, {"role": "user", "content": []}),
        (
            {"role": "user", "content": [{"type": "image", "source": {"data": "AAAA"}}]},
            {"role": "user", "content": [{"type": "image", "source": {"data": "AAAB"}}]},
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "a"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "b"}]},
        ),
        (
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "a", "reasoning_content": "b"},
        ),
        (
            {"role": "model", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"text": "a", "thoughtSignature": "b"}]},
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "content": "a", "is_error": True}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "a", "is_error": False}]},
        ),
        (  # the words stand beside the result, or in it
            {"role": "user", "content": [{"type": "tool_result", "content": ["a"]}, "b"]},
            {"role": "user", "content": [{"type": "tool_result", "content": ["a", "b"]}]},
        ),
        (
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"a": 1.0}}}]},
        ),
        ({"role": "user", "content": [0]}, {"role": "user", "content": []}),
        ({"role": "user", "content": [False]}, {"role": "user", "content": []}),
    ],
)  # fmt: skip  # pairs side by side
def test_what_must_not_look_alike(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "input_text", "text": "a"}]}),
        ({"role": "user", "content": "a"}, {"type": "message", "role": "user", "content": "a"}),
        ({"role": "user", "content": "a"}, "a"),
        ({"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "content": ["a", ""]}),
        ({"role": "user", "content": None}, {"role": "user"}),
        ({"role": "user", "content": None, "name": ""}, {"role": "user", "content": [{}]}),
        ({"role": "user", "content": [{"type": "text"}]}, {"role": "user", "content": {}}),
        (
            {"role": "user", "content": [{"type": "image", "url": "u", "cache_control": {"ttl": "1h"}}]},
            {"role": "user", "content": [{"type": "image", "url": "u", "detail": None}]},
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "content": "a", "cache_control": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "a"}]}]},
        ),
        (
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "a", "cache_control": {}}]},
            {"role": "tool", "tool_call_id": "1", "content": "a"},
        ),
        ({"role": "user", "content": "a", "cache_control": {}}, {"role": "user", "content": "a"}),
        (
            {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": []},
            {"role": "assistant", "content": ""},
        ),
    ],
)  # fmt: skip  # pairs side by side
def test_what_must_look_alike(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


def test_a_cache_mark_within_arguments_is_an_argument() -> None:
    def asking(given: Any) -> Item:
        return item(
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "input": given}]}
        )

    assert asking({"a": 1}).digest != asking({"a": 1, "cache_control": {}}).digest
    assert asking({"a": 1}).calls != asking({"a": 1, "cache_control": {}}).calls


def test_the_seed_is_in_every_digest_but_not_in_what_is_compared_elsewhere() -> None:
    one, other = (read({"role": "user", "content": "a"}, seed).item for seed in (1, 2))
    assert one.digest != other.digest
    assert len(one.digest) == 16
    assert one.says == other.says


def test_words_without_space_and_without_thoughts_are_what_an_item_says() -> None:
    said = item(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": " a\n\tb"},
                {"type": "text", "text": "c", "citations": [{"url": "u"}]},
                {"type": "tool_use", "id": "1", "name": "n", "input": {}},
            ],
        }
    )
    assert said.says == xxh3_64_intdigest(b"abc") >> 1
    assert (
        item({"role": "model", "parts": [{"text": "x", "thought": True}, {"text": "abc"}]}).says
        == said.says
    )
    assert item({"role": "user", "content": " \n"}).says == 0
    assert item({"role": "user", "content": [{"type": "thinking", "text": "x"}]}).says == 0
    assert item({"role": "tool", "content": "abc"}).says == 0
    assert said.says < 2**63
    assert item({"role": "user", "content": "abc", "parts": ["x"]}).says == said.says


@pytest.mark.parametrize(
    ("value", "author"),
    [
        ({"role": "system", "content": "a"}, "system"),
        ({"role": "developer", "content": "a"}, "system"),
        ({"role": "user", "content": "a"}, "user"),
        ({"role": "assistant", "content": "a"}, "assistant"),
        ({"role": "model", "parts": []}, "assistant"),
        ({"role": "tool", "content": "a"}, "tool"),
        ({"role": "function", "name": "f", "content": "a"}, "tool"),
        ({"role": "critic", "content": "a"}, "user"),
        ({"role": ["assistant"], "content": "a"}, "user"),
        ({"parts": [{"text": "a"}]}, "user"),
        ({"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}, "assistant"),
        ({"type": "web_search_call", "id": "1"}, "assistant"),
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, "assistant"),
        ({"type": "function_call_output", "call_id": "1", "output": "x"}, "tool"),
        ({"type": "item_reference", "id": "1"}, "user"),
        ({"type": ["reasoning"]}, "user"),
        ("a", "user"),
        ({"role": "user", "content": [{"type": "tool_result"}, {"type": "text", "text": "a"}]}, "tool"),
        ({"role": "user", "parts": [{"functionResponse": {"name": "f"}}]}, "tool"),
        ({"role": "user", "parts": [{"function_response": {"name": "f"}}]}, "tool"),
        ({"role": "assistant", "content": [{"type": "tool_result"}]}, "assistant"),
        ({"role": "assistant", "content": [{"type": "web_search_tool_result"}]}, "assistant"),
    ],
)  # fmt: skip  # one a line
def test_who_wrote_it(value: Any, author: str) -> None:
    assert item(value).author == author


@pytest.mark.parametrize(
    ("value", "calls"),
    [
        ({"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1, "y": 2}'}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free text"}},
            {"function": {"name": "h"}},
            {"type": "function"},
            5,
        ]}, [("a", "f"), ("b", "g"), ("h#2", "h"), ("#3", ""), ("#4", "")]),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, [("f#0", "f")]),
        ({"role": "assistant", "content": [
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"y": 2, "x": 1}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "tool_use", "name": 5},
        ]}, [("a", "f"), ("#1", "")]),
        ({"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"y":2,"x":1}'},
         [("a", "f")]),
        ({"type": "custom_tool_call", "call_id": "a", "name": "g", "input": "free text"}, [("a", "g")]),
        ({"type": "local_shell_call", "call_id": "a", "action": {"command": ["ls"]}}, [("a", "local_shell")]),
        ({"type": "web_search_call", "id": "ws_1", "action": {}}, []),
        ({"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {"x": 1, "y": 2}}},
            {"functionCall": {"id": "b", "name": "g"}},
            {"function_call": {"name": "f", "args": {}}},
            {"functionCall": None, "text": "a"},
        ]}, [("f#0", "f"), ("b", "g"), ("f#2", "f")]),
        ({"role": "assistant", "tool_calls": "nonsense"}, [("#0", "")]),
        ({"role": "user", "content": "a"}, []),
    ],
)  # fmt: skip  # a value and its calls
def test_what_was_asked_for(value: Any, calls: list[tuple[str, str]]) -> None:
    assert [(call.id, call.name) for call in item(value).calls] == calls


def test_arguments_are_the_same_whatever_their_layout() -> None:
    def arguments(value: Any) -> int:
        return item(value).calls[0].arguments

    def chat(text: Any) -> Any:
        return {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": text}}]}

    def messages(given: Any) -> Any:
        return {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": given}]}

    assert arguments(chat('{"a": [1, "\\u00e9"], "b": 2}')) == arguments(
        messages({"b": 2, "a": [1, "é"]})
    )
    assert (
        arguments(chat(""))
        == arguments(chat("{}"))
        == arguments(messages({}))
        == arguments(chat(None))
    )
    assert arguments(chat('{"a": 1}')) != arguments(chat('{"a": 2}'))
    assert arguments(chat("{broken")) != arguments(chat("{broken!"))
    assert arguments(chat('{"a": 1}')) < 2**63


def test_whether_a_call_only_looks() -> None:
    def looks(name: str, text: str) -> bool:
        call = {"id": "1", "function": {"name": name, "arguments": text}}
        return item({"role": "assistant", "tool_calls": [call]}).calls[0].reads

    assert looks("read_file", "{}")
    assert not looks("write_file", "{}")
    assert looks("bash", '{"command": "ls -l"}')
    assert not looks("bash", '{"command": "rm x"}')


@pytest.mark.parametrize(
    ("value", "results"),
    [
        ({"role": "tool", "tool_call_id": "a", "content": "fine"}, [("a", False)]),
        ({"role": "tool", "content": "Error: no"}, [("#0", True)]),
        ({"role": "function", "name": "f", "content": [{"type": "text", "text": "x"}]}, [("f#0", False)]),
        ({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "fine"},
            {"type": "tool_result", "tool_use_id": "b", "content": "fine", "is_error": True},
            {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image"}, "Error"]},
            {"type": "text", "text": "a reminder"},
        ]}, [("a", False), ("b", True), ("c", True)]),
        ({"type": "function_call_output", "call_id": "a", "output": "fine"}, [("a", False)]),
        ({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "fatal: x"}]},
         [("a", True)]),
        ({"type": "computer_call_output", "call_id": "a", "output": {"type": "screenshot"}}, [("a", False)]),
        ({"role": "user", "parts": [
            {"functionResponse": {"name": "f", "response": {"output": "fine"}}},
            {"functionResponse": {"id": "b", "name": "f", "response": {"error": "no"}}},
            {"functionResponse": {"name": "f", "response": {"output": "Traceback (most"}}},
            {"functionResponse": {"name": "f", "response": {"error": "", "result": "fine"}}},
            {"functionResponse": {"name": "f"}},
        ]}, [("f#0", False), ("b", True), ("f#2", True), ("f#3", False), ("f#4", False)]),
    ],
)  # fmt: skip  # a value and its results
def test_what_tools_answered(value: Any, results: list[tuple[str, bool]]) -> None:
    assert [(result.id, result.failed) for result in item(value).results] == results


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], False),
        (["Try something else."], True),
        (["<system-reminder>\nThe list is empty.\n</system-reminder>\n"], False),
        (["<system-reminder>x</system-reminder>", "Stop."], True),
        (["<b>Stop</b> it."], True),
        (["<unclosed> tag"], True),
        ([" "], False),
    ],
)
def test_what_is_said_beside_results(words: list[str], said: bool) -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": "fine"}
    blocks = [{"type": "text", "text": text} for text in words]
    one = item({"role": "user", "content": [result, *blocks]})
    assert (one.beside != 0) is said
    assert item({"role": "user", "content": [*blocks, result]}).beside == one.beside
    assert item({"role": "user", "content": blocks}).beside == 0


def test_a_result_says_what_stands_in_it_and_nothing_around() -> None:
    def says(value: Any) -> int:
        return item(value).results[0].says

    def messages(at: str, content: Any, **more: Any) -> Any:
        return {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": at, "content": content, **more}],
        }

    said = says(messages("a", "x y"))
    assert said == says(messages("b", [{"type": "text", "text": "x y"}], cache_control={}))
    assert said == says({"role": "tool", "tool_call_id": "c", "content": "x y"})
    assert said == says({"type": "function_call_output", "call_id": "d", "output": "x y"})
    assert said != says(messages("a", "x  y"))
    assert said != says(messages("a", "x z"))
    assert said != says(messages("a", [{"type": "image", "source": {"data": "x y"}}]))
    assert says(messages("a", None)) == says(messages("a", "")) == EMPTY
    assert said < 2**63


def test_results_share_the_bytes_of_their_entry() -> None:
    alone = {"role": "tool", "tool_call_id": "a", "content": "x" * 500}
    assert item(alone).results[0].size == len(json.dumps(alone)) == item(alone).size
    two = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "x" * 3000},
            {"type": "tool_result", "tool_use_id": "b", "content": "y" * 1000},
            {"type": "text", "text": "z" * 2000},
        ],
    }
    first, second = item(two).results
    assert first.size + second.size < len(json.dumps(two)) - 2000
    assert 2.5 < first.size / second.size < 3.0
    assert item({"role": "tool"}).results[0].size == 0


MOVING = "<info-msg>\nIt is 12:00\n</info-msg>"


@pytest.mark.parametrize(
    "content",
    [
        f"{MOVING}\nhello",
        f"hello\n{MOVING}",
        f"{MOVING}\nhello\n{MOVING}",
        [{"type": "text", "text": MOVING}, {"type": "text", "text": "hello"}],
        [{"type": "text", "text": "hello"}, {"type": "text", "text": MOVING, "cache_control": {}}],
        [{"type": "text", "text": f"{MOVING}hello"}],
    ],
)
def test_parts_that_move_are_left_out_and_counted(content: Any) -> None:
    plain, with_it = (
        item({"role": "user", "content": "hello"}),
        read({"role": "user", "content": content}),
    )
    assert with_it.item.digest == plain.digest
    assert with_it.item.says == plain.says
    assert with_it.item.moving >= len(MOVING)
    assert (
        with_it.item.moving >= with_it.item.size - plain.size - 80
    )  # JSON around a block of its own
    assert not with_it.loose
    assert plain.moving == 0


def test_what_stands_on_both_sides_of_a_moving_part_keeps_apart() -> None:
    assert digest({"role": "user", "content": f"a\n{MOVING}\nb"}) == digest(
        {"role": "user", "content": "a\nb"}
    )


def test_an_entry_with_nothing_but_moving_parts_is_loose() -> None:
    assert read({"role": "user", "content": MOVING}).loose
    assert read({"role": "user", "content": [{"type": "text", "text": MOVING}]}).loose
    assert not read({"role": "user", "content": MOVING, "name": "n"}).loose
    assert not read({"role": "user", "content": ""}).loose
    assert not read(
        {"role": "user", "content": [{"type": "text", "text": MOVING}, {"type": "image"}]}
    ).loose


@pytest.mark.parametrize(
    "value",
    [
        {"role": "assistant", "content": MOVING},
        {"role": "tool", "content": MOVING},
        {"role": "user", "content": [{"type": "tool_result", "content": MOVING}]},
        {"role": "user", "content": "<info-msg> that never ends"},
        {"role": "user", "content": "an end </info-msg> before its <info-msg>"},
    ],
)
def test_only_the_users_own_words_move(value: Any) -> None:
    found = read(value)
    assert (found.item.moving, found.loose) == (0, False)
    assert found.item.digest != digest({"role": value["role"], "content": ""})


def test_no_more_of_an_entry_moves_than_there_is() -> None:
    odd = '{"role":"user","content":"<info-msg>\ud83d' + "漢" * 500 + '</info-msg>"}'
    found = read_bytes(odd.encode("utf-8", "surrogatepass"))
    assert (found.loose, found.item.moving) == (True, found.item.size)


@given(
    st.lists(st.sampled_from(["a", "\n", "<info-msg>", "</info-msg>", "é"]), max_size=12).map(
        "".join
    )
)
def test_nothing_that_can_be_tokens_is_dropped_uncounted(words: str) -> None:
    raw = json.dumps({"role": "user", "content": words}, ensure_ascii=False).encode()
    found = read_bytes(raw).item
    spoken = len("".join(words.split()).encode())
    assert found.size == len(raw)
    if found.moving == 0:
        assert found.says == (
            xxh3_64_intdigest("".join(words.split()).encode()) >> 1 if spoken else 0
        )
    else:
        assert found.moving >= len("<info-msg></info-msg>")


def test_cache_marks_are_seen_wherever_they_are() -> None:
    mark = {"type": "ephemeral"}
    assert read(
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}]}
    ).marked
    assert read({"role": "user", "content": "a", "cache_control": mark}).marked
    first = {"type": "image", "url": "u", "cache_control": mark}
    assert read({"role": "user", "content": [first, {"type": "text", "text": "a"}]}).marked
    nested = [{"type": "text", "text": "a", "cache_control": mark}]
    assert read({"role": "user", "content": [{"type": "tool_result", "content": nested}]}).marked
    assert read(
        {
            "role": "user",
            "content": [{"type": "tool_result", "content": "a", "cache_control": mark}],
        }
    ).marked
    assert not read({"role": "user", "content": "cache_control"}).marked


@pytest.mark.parametrize(
    "raw",
    [
        b"5",
        b"true",
        b"null",
        b"[]",
        b'["a"]',
        b'{"role": "user", "content": "\xff"}',
        b'{"role": "user", "content": ' + b"9" * 5000 + b"}",
        b'{"role": "user", "content": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"role": ',
    ],
)
def test_what_nobody_can_read_is_somebodys_words(raw: bytes) -> None:
    found = read_bytes(raw)
    assert found == Entry(opaque(memoryview(raw), SEED))
    assert found.item == Item("user", found.item.digest, len(raw))
    assert found.item.digest != read_bytes(raw + b" ").item.digest


def nested(depth: int) -> bytes:
    return b'{"role":"tool","other":' + b"[" * depth + b"0" + b"]" * depth + b"}"


def test_nesting_is_read_as_deep_as_can_be_and_never_breaks() -> None:
    def is_read(depth: int) -> bool:
        return bool(read_bytes(nested(depth)).item.results)

    deepest = bisect_left(range(10_000), True, key=lambda depth: not is_read(depth))
    assert 64 < deepest < 10_000
    for depth in range(deepest - 8, deepest + 8):  # where it can be read, but not written any more
        raw = nested(depth)
        found = read_bytes(raw).item
        assert found.results or found == opaque(memoryview(raw), SEED)


def test_lone_surrogates() -> None:
    lone = read_bytes(rb'{"role": "user", "content": "\ud83d"}').item
    assert lone.author == "user"
    assert lone.says
    assert (
        lone.digest
        == read_bytes(
            '{"content": ["\ud83d"], "role": "user"}'.encode("utf-8", "surrogatepass")
        ).item.digest
    )
    assert lone.digest != read_bytes(rb'{"role": "user", "content": "\ud83e"}').item.digest
    assert lone.digest != read_bytes(rb'{"role": "user", "content": "?"}').item.digest
    pair = rb'{"role": "user", "content": "\ud83d\ude00"}'
    assert read_bytes(pair).item.digest == digest({"role": "user", "content": "\U0001f600"})
    named = rb'{"role": "user", "name": "\ud83d", "content": [1.5]}'
    assert read_bytes(named).item.digest != read_bytes(named.replace(b"1.5", b"2.5")).item.digest


@pytest.mark.parametrize(
    ("twice", "once"),
    [
        (b'{"role": "user", "content": "a", "content": "b"}', b'{"role": "user", "content": "b"}'),
        (b'{"role":"user","conten\\u0074":"a","content":"b"}', b'{"role":"user","content":"b"}'),
        (  # as many marks in all, because some are written as escapes
            b'{"role":"user","content":"a","content":"\\u0022\\u0022\\u0022\\u0022"}',
            b'{"role":"user","content":"\\u0022\\u0022\\u0022\\u0022"}',
        ),
        (
            b'{"role":"user","content":[{"type":"x","a":[{"b":"c","b":"d"}]}]}',
            b'{"role":"user","content":[{"type":"x","a":[{"b":"d"}]}]}',
        ),
        (
            b'{"role":"user","content":"\\ud83d","content":"\\ud83e"}',
            b'{"role":"user","content":"\\ud83e"}',
        ),
    ],
)
def test_what_one_reader_sees_and_another_does_not_counts(twice: bytes, once: bytes) -> None:
    assert read_bytes(twice).item == opaque(memoryview(twice), SEED)
    assert read_bytes(once).item.digest != read_bytes(twice).item.digest


@given(WORDS, WORDS)
def test_words_are_the_same_only_if_they_are(one: str, other: str) -> None:
    first, second = ({"role": "user", "content": words} for words in (one, other))
    assert (digest(first) == digest(second)) == (one == other)


def test_an_entry_of_very_many_parts_is_read_all_the_same() -> None:
    parts = [{"type": "text", "text": str(number)} for number in range(MOST_PARTS + 5)]
    many = item({"role": "user", "content": parts})
    parts[-1]["text"] = "other"
    assert many.digest != digest({"role": "user", "content": parts})
    assert many.digest != digest({"role": "user", "content": parts[:MOST_PARTS]})


def test_many_parts_that_move_delay_nobody() -> None:
    """So many that a run in which each of them copies what it follows does not end in time."""
    words = "a" * 2_000_000 + "\n" + f"{MOVING}\n" * 200_000
    raw = json.dumps({"role": "user", "content": words}).encode()
    assert read_bytes(raw).item.moving > 200_000 * len(MOVING)
