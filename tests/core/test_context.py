"""Where tokens stand: figures by hand, the worked case of 38 calls, and sums that always come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.context import (
    RECENT,
    Makeup,
    fell,
    lightened,
    makeup,
    median,
    shares,
    since_fall,
    slope,
)
from budgetd.core.transcript import (
    Author,
    Checkpoint,
    Head,
    Item,
    Meeting,
    ToolResult,
    chained,
    meet,
)
from budgetd.core.usage import Usage
from budgetd.simulator.anthropic import read_pieces
from budgetd.simulator.prices import MODELS
from tests.worked_case import (
    CALLS,
    HISTORY,
    OUTPUT,
    READ,
    READ_AT,
    RESULTS,
    SYSTEM,
    exchange,
    frame_of,
    opening,
    worked_case,
)

HEAD = Head(system=(1, 3_000), tools=(2, 1_000))


def item(author: Author, size: int, *results: int, says: int = 1) -> Item:
    told = tuple(ToolResult(f"call-{at}", at, each) for at, each in enumerate(results))
    return Item(author, b"%d" % size, size, 0 if results and says == 1 else says, results=told)


USER, ANSWER = item("user", 400), item("assistant", 800)


def met(fresh: Sequence[Item], tokens: int, output: int, head: Head = HEAD) -> Meeting:
    point = Checkpoint(b"chain", 3, "anthropic", "opus", head, tokens, output, 0)
    return Meeting(point, tokens, tuple(fresh), sum(each.size for each in fresh))


# ------------------------------------------------------------------------------------ a first call


def test_a_first_call_is_shared_by_bytes() -> None:
    # 4,000 bytes of head, 400 of words; 1,100 tokens: one for four bytes.
    made, results = makeup(Usage(input=1_100, output=70), HEAD, [USER], met=None, system=None)
    assert made == Makeup(system=1_000, user=100, output=70)
    assert results == []


def test_input_counts_whether_cached_or_not_and_output_with_its_reasoning() -> None:
    usage = Usage(input=100, cache_read=700, cache_write_5m=300, output=60, reasoning=10)
    made, _ = makeup(usage, HEAD, [USER], met=None, system=None)
    assert made == Makeup(system=1_000, user=100, output=70)
    assert made.input == 1_100


def test_instructions_in_the_history_are_the_systems() -> None:
    history = [item("system", 2_000), USER]
    made, _ = makeup(Usage(input=1_600), HEAD, history, met=None, system=None)
    assert made == Makeup(system=1_500, user=100)


def test_a_conversation_that_is_joined_half_way_was_mostly_sent_before() -> None:
    # 4,000 of head; 400 + 800 + 1,200 that the last answer, 800, has read; a result and words.
    old, new = item("tool", 1_200, 1_200), item("tool", 2_000, 1_500, says=7)
    history = [USER, ANSWER, old, ANSWER, new]
    made, results = makeup(Usage(input=2_300), HEAD, history, met=None, system=None)
    assert made == Makeup(system=1_000, history=800, results=375, user=125)
    assert results == [300, 375]  # old ones too, for who keeps a list of them


def test_words_put_into_the_assistants_mouth_answer_nothing() -> None:
    made, _ = makeup(Usage(input=1_300), HEAD, [USER, ANSWER], met=None, system=None)
    assert made == Makeup(system=1_000, history=200, user=100)
    # Only the assistant has spoken: there is no question to it.
    made, _ = makeup(Usage(input=1_200), HEAD, [ANSWER], met=None, system=None)
    assert made == Makeup(system=1_000, history=200)


def test_results_stand_with_whoever_brings_them() -> None:
    # A search that the provider made within an answer; and instructions in the form of a result.
    history = [item("assistant", 800, 600, says=2), item("system", 400, 300, says=2), USER]
    made, results = makeup(Usage(input=400), Head(), history, met=None, system=None)
    assert (made, results) == (Makeup(system=100, history=200, user=100), [150, 75])
    before = met(history, 500, 50, head=Head())
    made, results = makeup(Usage(input=900), Head(), history, met=before, system=0)
    assert (made, results) == (Makeup(100, 550, 150, 100), [150, 75])


def test_what_no_bytes_explain_is_the_users() -> None:
    assert makeup(Usage(input=9), Head(), [], met=None, system=None) == (Makeup(user=9), [])


def test_an_answer_of_a_tool_that_nobody_understood_is_a_result_all_the_same() -> None:
    made, results = makeup(Usage(input=1_200), HEAD, [item("tool", 800)], met=None, system=None)
    assert (made, results) == (Makeup(system=1_000, results=200), [])


# ------------------------------------------------------------------------------------ a later call


def test_a_later_call_knows_what_was_read_and_what_was_answered() -> None:
    # 5,000 tokens were read before, 1,000 of them the system's; the answer was billed with 300.
    fresh = [ANSWER, item("tool", 4_000, 3_000, 900), USER]
    made, results = makeup(
        Usage(input=6_400), HEAD, fresh, met=met(fresh, 5_000, 300), system=1_000
    )
    # 1,100 are left for 4,000 bytes of results and 400 of words: a quarter each.
    assert made == Makeup(system=1_000, history=4_300, results=1_000, user=100)
    # The frame around the results is theirs: 4,000 for 3,900.
    assert results == [769, 231]


def test_words_beside_a_result_are_the_users() -> None:
    fresh = [ANSWER, item("tool", 1_600, 1_200, says=7)]
    made, results = makeup(
        Usage(input=5_600), HEAD, fresh, met=met(fresh, 5_000, 200), system=1_000
    )
    assert made == Makeup(system=1_000, history=4_200, results=300, user=100)
    assert results == [300]


@pytest.mark.parametrize(
    ("billed", "believed"),
    [
        (9_000, 400),  # reasoning that was not sent back: at most twice its bytes' share
        (10, 100),  # another answer stands beside it: at least half
        (250, 250),
    ],
)
def test_what_was_billed_for_an_answer_is_believed_within_bounds(
    billed: int, believed: int
) -> None:
    # 1,200 new tokens for 4,800 bytes: the answer's 800 come to 200.
    fresh = [ANSWER, item("tool", 4_000, 4_000)]
    made, results = makeup(
        Usage(input=6_200), HEAD, fresh, met=met(fresh, 5_000, billed), system=1_000
    )
    assert made == Makeup(system=1_000, history=4_000 + believed, results=1_200 - believed)
    assert results == [1_200 - believed]


def test_an_answer_takes_no_more_than_there_is() -> None:
    fresh = [ANSWER, item("user", 100)]
    made, _ = makeup(Usage(input=5_090), HEAD, fresh, met=met(fresh, 5_000, 300), system=1_000)
    assert made == Makeup(system=1_000, history=4_090)


def test_an_answer_alone_takes_all_that_is_new() -> None:
    made, _ = makeup(
        Usage(input=5_500), HEAD, [ANSWER], met=met([ANSWER], 5_000, 300), system=1_000
    )
    assert made == Makeup(system=1_000, history=4_500)


def test_instructions_that_come_in_later_join_the_systems() -> None:
    fresh = [item("system", 400), USER]
    made, _ = makeup(Usage(input=5_200), HEAD, fresh, met=met(fresh, 5_000, 0), system=1_000)
    assert made == Makeup(system=1_100, history=4_000, user=100)


def test_more_tools_are_new_tokens_of_the_systems() -> None:
    grown = replace(HEAD, tools=(3, 2_600))
    made, _ = makeup(Usage(input=5_500), grown, [USER], met=met([USER], 5_000, 0), system=1_000)
    assert made == Makeup(system=1_400, history=4_000, user=100)


def test_fewer_tools_leave_what_was_read() -> None:
    shrunk = replace(HEAD, tools=(3, 200))  # 800 bytes less: 200 tokens
    made, _ = makeup(Usage(input=4_950), shrunk, [USER], met=met([USER], 5_000, 0), system=1_000)
    assert made == Makeup(system=800, history=4_000, user=150)
    # Nothing is left where more went than there was.
    made, _ = makeup(Usage(input=150), shrunk, [USER], met=met([USER], 100, 0), system=90)
    assert made == Makeup(user=150)


def test_a_request_that_came_to_no_more_than_before_has_nothing_new() -> None:
    made, _ = makeup(Usage(input=5_000), HEAD, [USER], met=met([USER], 5_000, 0), system=1_000)
    assert made == Makeup(system=1_000, history=4_000)


def test_where_a_token_is_a_byte_every_figure_is_exact() -> None:
    fresh = [item("assistant", 31), item("tool", 50, 47), item("tool", 29, 10, says=3), USER]
    usage, exact = Usage(input=100 + 31 + 50 + 29 + 400), Makeup(10, 90 + 31, 50 + 10, 19 + 400)
    made, results = makeup(usage, HEAD, fresh, met=met(fresh, 100, 31), system=10)
    assert (made, results) == (exact, [50, 10])
    made, results = makeup(usage, Head((1, 100)), fresh, met=None, system=None)
    assert (made, results) == (Makeup(100, 31, 60, 419), [50, 10])
    # Results that claim to be longer than what they stand in leave no words.
    boast = item("tool", 40, 60, says=3)
    made, results = makeup(Usage(input=160), Head((1, 100)), [boast], met=None, system=None)
    assert (made, results) == (Makeup(100, 0, 60, 0), [60])


def test_without_a_figure_for_the_system_its_bytes_count() -> None:
    made, _ = makeup(Usage(input=5_100), HEAD, [USER], met=met([USER], 5_000, 0), system=None)
    assert made == Makeup(system=1_000, history=4_000, user=100)


def test_a_request_of_which_the_provider_dropped_a_part_goes_by_bytes() -> None:
    # 3,000 read where 5,000 were before: 1,200 bytes are new, 300 tokens.
    fresh = [item("tool", 800, 800), USER]
    made, results = makeup(Usage(input=3_000), HEAD, fresh, met=met(fresh, 5_000, 0), system=1_000)
    assert made == Makeup(system=1_000, history=1_700, results=200, user=100)
    assert results == [200]


def test_a_request_that_was_nearly_all_dropped_is_the_systems_first() -> None:
    fresh = [item("tool", 8_000, 8_000)]
    made, results = makeup(Usage(input=1_500), HEAD, fresh, met=met(fresh, 5_000, 0), system=1_000)
    assert (made, results) == (Makeup(system=1_000, results=500), [500])
    made, _ = makeup(Usage(input=600), HEAD, fresh, met=met(fresh, 5_000, 0), system=1_000)
    assert made == Makeup(system=600)


def test_behind_an_edited_turn_all_but_the_end_was_sent_before() -> None:
    fresh = [USER, ANSWER, item("tool", 1_200, 1_200), ANSWER, item("tool", 800, 800)]
    usage, before = Usage(input=6_000), met(fresh, 5_000, 20)
    made, results = makeup(usage, HEAD, fresh, met=before, system=1_000, edited=True)
    assert made == Makeup(system=1_000, history=4_800, results=200)
    assert results == [300, 200]
    # One answer may call its tools one by one: without an edit both results are news. Half of the
    # 400 that the answers' bytes come to is theirs, 800 are for 400 + 1,200 + 800 bytes.
    made, results = makeup(usage, HEAD, fresh, met=before, system=1_000)
    assert made == Makeup(system=1_000, history=4_200, results=667, user=133)
    assert results == [400, 267]


# ------------------------------------------------------------------------------ what always holds

SIZES = st.integers(0, 50_000)
AUTHORS: st.SearchStrategy[Author] = st.sampled_from(["system", "user", "assistant", "tool"])
ITEMS = st.lists(
    st.builds(
        lambda author, size, results, says: item(author, size + sum(results), *results, says=says),
        AUTHORS,
        SIZES,
        st.lists(SIZES, max_size=3),
        st.integers(0, 2),
    ),
    max_size=8,
)
HEADS = st.builds(Head, *(st.tuples(st.integers(0, 3), SIZES) for _ in range(3)))


@given(
    st.integers(0, 200_000),
    HEADS,
    ITEMS,
    st.none() | st.tuples(HEADS, SIZES, SIZES),
    st.none() | SIZES,
    st.booleans(),
)
def test_each_token_stands_in_one_place(
    total: int,
    head: Head,
    items: list[Item],
    before: tuple[Head, int, int] | None,
    system: int | None,
    edited: bool,
) -> None:
    meeting = None if before is None else met(items, *before[1:], head=before[0])
    usage = Usage(input=total // 2, cache_read=total - total // 2, output=5, reasoning=2)
    made, results = makeup(usage, head, items, met=meeting, system=system, edited=edited)
    assert made.input == total
    assert min(made.system, made.history, made.results, made.user, *results, 0) == 0
    assert made.output == 7
    assert len(results) == sum(len(each.results) for each in items)


@given(st.integers(0, 200_000), HEADS, ITEMS)
def test_a_lightened_history_tells_the_same(total: int, head: Head, items: list[Item]) -> None:
    light = lightened(items)
    whole, _ = makeup(Usage(input=total), head, items, met=None, system=None)
    told, _ = makeup(Usage(input=total), head, light, met=None, system=None)
    for one, other in zip(figures(told), figures(whole), strict=True):
        assert abs(one - other) <= 3 * len(items) + 3  # by rounding
    assert len(light) <= len(items) + 1


def figures(made: Makeup) -> tuple[int, ...]:
    return made.system, made.history, made.results, made.user


@given(st.integers(0, 10**9), st.lists(SIZES, min_size=1, max_size=20))
def test_shares_sum_to_the_whole_and_none_is_off_by_one(total: int, sizes: list[int]) -> None:
    parts = shares(total, sizes)
    assert sum(parts) == total
    if sum(sizes):
        for part, size in zip(parts, sizes, strict=True):
            assert abs(part * sum(sizes) - total * size) < sum(sizes)


def test_shares_by_hand() -> None:
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(100, [335, 335, 330]) == [34, 33, 33]
    assert shares(7, [0, 0]) == [7, 0]
    assert shares(0, []) == []
    with pytest.raises(ValueError, match="nobody to share 7"):
        shares(7, [])


# ------------------------------------------------------------------------------ the worked case


def of_message(message: dict[str, object]) -> Item:
    """An item as the wire reads it: bytes of JSON, and of its blocks those that are results."""
    blocks = message["content"]
    assert isinstance(blocks, list)
    results = [
        ToolResult(str(block["tool_use_id"]), 0, len(json.dumps(block)))
        for block in blocks
        if block["type"] == "tool_result"
    ]
    text = json.dumps(message)
    digest = blake2b(text.encode(), digest_size=16).digest()
    author: Author = "tool" if results else "assistant"
    return Item(author, digest, len(text), results=tuple(results))


def link(before: bytes, digest: bytes) -> bytes:
    return blake2b(before + digest, digest_size=16).digest()


def test_the_worked_case_stands_where_it_is_said_to_stand() -> None:
    call_id = "toolu_req_000000000000000000000001"
    case = worked_case(frame_of(call_id))
    system, task = opening()
    head = Head(system=(1, len(json.dumps(system))))
    words: dict[str, object] = {"role": "user", "content": task}
    messages: list[dict[str, object]] = [words]
    items = [Item("user", b"task", len(json.dumps(words)), says=1)]
    point: Checkpoint | None = None
    sums = Makeup()
    system_tokens: int | None = None
    file_read = []
    for number, (step, tokens) in enumerate(zip(case.steps, case.inputs, strict=True), start=1):
        if number > 1:
            more = exchange(case.steps[number - 2], step, call_id)
            messages += more
            items += map(of_message, more)
        # The tokenizer of the simulator agrees that the request is as long as the case says.
        body: dict[str, object] = {"system": system, "messages": messages}
        assert sum(p.tokens for p in read_pieces(body, MODELS["claude-opus-4-8"])) == tokens
        chains = [b"", *chained(items, link)]
        meeting = meet([point] if point else [], chains, items, head)
        usage = Usage(
            cache_read=tokens - tokens // 3, cache_write_5m=tokens // 3, output=step.output
        )
        fresh = meeting.fresh if meeting else items
        made, results = makeup(usage, head, fresh, met=meeting, system=system_tokens)
        assert made.input == tokens
        if number == READ_AT:
            file_read = results
        system_tokens = made.system
        point = Checkpoint(
            chains[-1], len(items), "anthropic", "opus", head, tokens, step.output, number
        )
        sums = Makeup(*(a + b for a, b in zip(all_of(sums), all_of(made), strict=True)))
    assert sums.system == pytest.approx(CALLS * SYSTEM, rel=0.002)
    assert sums.history == pytest.approx(HISTORY, rel=0.002)
    assert sums.results == pytest.approx(RESULTS, rel=0.012)  # 37 frames of 20 tokens
    assert sums.output == OUTPUT
    assert sums.user < 100
    assert sum(all_of(sums)) == pytest.approx(525_000, rel=0.002)
    (read,) = file_read
    assert read == pytest.approx(READ, rel=0.011)
    assert (CALLS - READ_AT) * read == pytest.approx(66_000, rel=0.011)


def all_of(made: Makeup) -> tuple[int, ...]:
    return (*figures(made), made.output)


def test_the_sums_of_the_worked_case_are_those_that_are_quoted() -> None:
    for frame in (0, 20):
        steps = worked_case(frame).steps
        assert len(steps) == CALLS == 38
        assert sum(step.result for step in steps) == 70_000
        assert sum(step.output for step in steps) == 19_000
        assert 38 * SYSTEM == 155_990
        again = sum((38 - at) * (step.result + step.sent_back) for at, step in enumerate(steps, 1))
        assert again + 37 * 40 == 280_000
        assert steps[4].result == 2_000
        assert min(step.output for step in steps) > 0


# ------------------------------------------------------------------------------------------ growth


def test_growth_is_the_slope_of_most_turns() -> None:
    steady = [(turn, 5_000 + 1_250 * turn) for turn in range(12)]
    assert slope(steady) == 1_250_000
    burst = [*steady[:5], *((turn, tokens + 40_000) for turn, tokens in steady[5:6]), *steady[6:]]
    assert slope(burst) == 1_250_000
    assert slope([(turn, 9_000 - 10 * turn) for turn in range(5)]) == -10_000


def test_growth_counts_from_the_last_compaction() -> None:
    points = [(0, 90_000), (1, 120_000), (2, 20_000), (3, 20_500), (4, 21_000), (5, 21_500)]
    assert slope(points) == 500_000
    assert slope(points[:5]) == 500_000
    assert slope(points[:4]) is None  # two turns since then
    assert slope(points[:1]) is None
    assert slope([]) is None


def test_growth_looks_at_the_last_turns_only() -> None:
    slow = [(turn, 10_000 + turn) for turn in range(100)]
    fast = [(100 + turn, 10_100 + 700 * turn) for turn in range(RECENT)]
    assert RECENT == 20
    assert slope([*slow, *fast]) == 700_000


def test_turns_at_one_place_have_no_slope() -> None:
    assert slope([(1, 5), (1, 6), (1, 7)]) is None


def test_a_fall_is_a_third_of_the_context() -> None:
    assert fell(100_000, 69_999)
    assert not fell(100_000, 70_000)
    assert since_fall([100, 10]) == 1
    assert since_fall([50, 100, 60, 80, 70]) == 2
    assert since_fall([50, 100, 10, 60, 30]) == 4
    assert since_fall([1, 2, 3]) == since_fall([]) == 0


def test_medians() -> None:
    assert median([5]) == 5
    assert median([9, 1, 4]) == 4
    assert median([4, 1, 9, 2]) == 3
