"""Loops: every kind found at the very turn that completes it, in every layout, and none in healthy work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.loops import KEPT, PARTS, Suspicion, Trail, cut, follow, suspect
from budgetd.core.transcript import Item, ToolCall, ToolResult
from tests.core.loop_tasks import (
    CHORES,
    LAYOUTS,
    Act,
    Event,
    Layout,
    Says,
    Script,
    Talk,
    Use,
    act,
    healthy_task,
)

NOISES = range(len(CHORES))


def findings(
    events: Sequence[Event], layout: Layout = "chat", *, back: int = 0
) -> list[Suspicion | None]:
    """What is suspected at each request of a task. Requests are followed as they come: only what is
    new, and up to `back` items before it once more, as where a client moves its cache marks.
    """
    chance = Random(7)
    script = Script(layout, chance).play(events)
    trail, found = Trail(), []
    for end in script.requests:
        begin = max(trail.until - chance.randint(0, back), 0)
        trail = follow(trail, script.items[begin:end], begin)
        found.append(suspect(trail))
    return found


def first_finding(
    events: Sequence[Event], layout: Layout = "chat", *, back: int = 0
) -> tuple[int, Suspicion] | None:
    """The number of the event, from 0, at whose request something is suspected first."""
    for number, found in enumerate(findings(events, layout, back=back)):
        if found is not None:
            return number, found
    return None


# ---------------------------------------------------------------------------------- healthy work


@pytest.mark.parametrize("layout", LAYOUTS)
def test_240_healthy_tasks_raise_nothing(layout: Layout) -> None:
    raised = {seed: first_finding(healthy_task(seed), layout, back=8) for seed in range(240)}
    assert {seed: found for seed, found in raised.items() if found} == {}


def test_the_healthy_tasks_are_work_enough_to_mean_something() -> None:
    tasks = [healthy_task(seed) for seed in range(240)]
    assert len({str(task) for task in tasks}) == 240
    assert sum(len(task) for task in tasks) > 10_000
    # What a detector without results, or without a look at who reads, would take for loops:
    calls = [[e.uses for e in task if isinstance(e, Act)] for task in tasks]
    asked = [[[(u.name, u.arguments) for u in uses] for uses in task] for task in calls]
    told = [[[u.result for u in uses] for uses in task] for task in calls]
    assert sum(any(a == b == c for a, b, c in runs(task, 3)) for task in asked) > 20
    assert sum(any(a == b == c == d for a, b, c, d in runs(task, 4)) for task in told) > 60


def runs(things: list, length: int) -> Iterator[tuple]:
    return zip(*(things[at:] for at in range(length)), strict=False)


# ------------------------------------------------------------------------------------------ loops


def steps_of_a_loop(chance: Random, period: int) -> list[Event]:
    """As many steps that differ, some with parallel calls, some failing, some only looking."""
    made: list[Event] = []
    for number in range(period):
        uses = tuple(
            Use(
                f"tool{number}",
                f"{chance.random()}",
                f"result {number}.{use}",
                reads=chance.random() < 0.5,
                failed=chance.random() < 0.3,
            )
            for use in range(chance.choice([1, 1, 2, 3]))
        )
        made.append(Act(uses, words=f"step {number}"))
    return made


@pytest.mark.parametrize("period", [1, 2, 3, 4])
@pytest.mark.parametrize("noise", NOISES)
def test_a_loop_is_found_at_the_end_of_its_second_repetition(period: int, noise: int) -> None:
    layout = LAYOUTS[(noise + period) % len(LAYOUTS)]
    chance = Random(f"{period} {noise}")
    before = list(healthy_task(noise))
    events = before + steps_of_a_loop(chance, period) * 3
    found = first_finding(events, layout, back=noise % 9)
    assert found is not None
    number, suspicion = found
    assert number == len(before) + 3 * period - 1
    kind = "repeat" if period == 1 else "cycle"
    assert (suspicion.kind, suspicion.period, suspicion.times) == (kind, period, 3)
    names = (f"tool{step}" for step in range(period))
    assert suspicion.what == ", ".join(names)


@pytest.mark.parametrize("noise", NOISES)
def test_the_fourth_stagnant_turn_is_found(noise: int) -> None:
    chance, layout = Random(noise), LAYOUTS[noise % len(LAYOUTS)]
    for how in ({"reads": True}, {"failed": True}, {"reads": True, "failed": True}):
        before = list(healthy_task(noise))
        turns: list[Event] = [
            act("Grep", f"{chance.random()}", "nothing here", **how) for _ in range(4)
        ]
        found = first_finding(before + turns, layout, back=noise % 9)
        assert found == (len(before) + 3, Suspicion("stagnation", 1, 4, "Grep"))


def test_every_short_history_is_judged_as_by_looking_at_it() -> None:
    # An oracle that is nothing but the rule: the end of the history is the same thing three times.
    steps = {name: act(name, "", name) for name in "abc"}
    for length in range(1, 8):
        for letters in product("abc", repeat=length):
            word = "".join(letters)
            periods = [
                p for p in (1, 2, 3, 4) if len(word) >= 3 * p and word[-p:] * 3 == word[-3 * p :]
            ]
            found = findings([steps[letter] for letter in word])[-1]
            assert (found.period if found else None) == (periods[0] if periods else None), word


@pytest.mark.parametrize("period", [3, 4])
def test_cycles_in_which_a_step_recurs_are_found_whole(period: int) -> None:
    word = {3: "aab", 4: "abac"}[period] * 3
    found = findings([act(name, "", name) for name in word])
    assert [f.period if f else None for f in found] == [None] * (3 * period - 1) + [period]


def test_a_round_of_five_is_not_claimed_to_be_a_loop() -> None:
    assert set(findings([act("Bash", f"{n}", f"{n}") for n in range(5)] * 3)) == {None}


def test_it_counts_on_while_the_loop_goes_on_and_as_far_as_the_trail_reaches() -> None:
    once = [act("Bash", "ls", "a b")]
    assert [f.times if f else 0 for f in findings(once * 6)] == [0, 0, 3, 4, 5, 6]
    both = [act("Bash", "ls", "a b"), act("Read", "a", "text", reads=True)]
    assert [f.times if f else 0 for f in findings(both * 4)] == [0, 0, 0, 0, 0, 3, 3, 4]
    last = findings(once * 40)[-1]
    assert last is not None
    assert last.times == KEPT


def test_a_loop_that_was_left_is_none() -> None:
    loop = [act("Bash", "ls", "a b")] * 5
    found = findings([*loop, act("Bash", "ls -a", "a b c")])
    assert found[-2] is not None
    assert found[-1] is None


def test_a_changed_result_is_no_loop_be_it_only_the_time_it_shows() -> None:
    polls = [act("Bash", "status", f"running, {second} s", reads=True) for second in range(20)]
    assert findings(polls) == [None] * 20


def test_a_failure_is_not_the_same_as_a_success_that_says_the_same() -> None:
    ran, failed = act("Bash", "x", ""), act("Bash", "x", "", failed=True)
    assert findings([ran, failed, ran]) == [None] * 3


def test_a_cycle_with_one_moving_status_is_none() -> None:
    events: list[Event] = []
    for look in range(10):
        events += [act("Bash", "sleep 5", ""), act("Bash", "status", f"{look}", reads=True)]
    assert set(findings(events)) == {None}


def test_sleeping_and_nothing_else_is_a_repeat() -> None:
    assert first_finding([act("Bash", "sleep 5", "")] * 9) == (2, Suspicion("repeat", 1, 3, "Bash"))


def test_parallel_calls_are_the_same_in_any_order() -> None:
    uses = [Use("Read", name, f"text of {name}", reads=True) for name in "abc"]
    orders = [Act((uses[a], uses[b], uses[c])) for a, b, c in ((0, 1, 2), (2, 0, 1), (1, 2, 0))]
    assert first_finding(orders) == (2, Suspicion("repeat", 1, 3, "Read"))


def test_parallel_calls_whose_results_change_places_are_not_the_same() -> None:
    one = Act((Use("Get", "left", "full"), Use("Get", "right", "empty")))
    other = Act((Use("Get", "left", "empty"), Use("Get", "right", "full")))
    assert findings([one, other, one]) == [None] * 3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_assistants_words_beside_its_calls_do_not_hide_a_loop(layout: Layout) -> None:
    tries = [Act((Use("Bash", "ls", "a"),), words=f"let me try again, {n}") for n in range(3)]
    assert first_finding(tries, layout) == (2, Suspicion("repeat", 1, 3, "Bash"))


# ------------------------------------------------------------------------------------- stagnation


def test_edits_and_silent_commands_do_not_stagnate() -> None:
    edits = [act("Edit", f"{n}", "ok") for n in range(30)]
    shell = [act("Bash", f"mv {n}", "") for n in range(30)]
    assert set(findings(edits + shell)) == {None}


def test_a_turn_stagnates_only_if_all_of_it_looks_or_all_of_it_fails() -> None:
    def turn(number: int, *, second_reads: bool, second_failed: bool) -> Act:
        first = Use(
            "Grep",
            f"{number}",
            "none",
            reads=second_reads or not second_failed,
            failed=second_failed,
        )
        return Act((first, Use("Write", f"{number}", "none", second_reads, second_failed)))

    half = [turn(n, second_reads=False, second_failed=False) for n in range(8)]
    assert set(findings(half)) == {None}
    for reads, failed in ((True, False), (False, True)):
        whole = [turn(n, second_reads=reads, second_failed=failed) for n in range(4)]
        expected = (3, Suspicion("stagnation", 1, 4, "Grep, Write"))
        assert first_finding(whole) == expected
    # One success among the failures of each turn.
    mixed = [
        Act((Use("Edit", f"{n}", "none", failed=True), Use("Edit", f"x{n}", "none")))
        for n in range(8)
    ]
    assert set(findings(mixed)) == {None}


def test_stagnation_goes_over_other_tools_and_over_more_of_them_in_one_turn() -> None:
    found = findings(
        [
            act("Glob", "*.rs", "none", reads=True),
            Act(tuple(Use("Grep", f"{n}", "none", reads=True) for n in range(3))),
            act("Glob", "*.go", "none", reads=True),
            act("LS", "src", "none", reads=True),
            act("Glob", "*.c", "none", reads=True),
        ]
    )
    assert found[:3] == [None] * 3
    assert found[3:] == [Suspicion("stagnation", 1, n, "Glob, Grep, LS") for n in (4, 5)]


def test_a_finding_between_fruitless_searches_begins_the_count_anew() -> None:
    vain = [act("Grep", f"{n}", "none", reads=True) for n in range(6)]
    hit = act("Grep", "x", "here!", reads=True)
    assert set(findings([*vain[:3], hit, *vain[3:]])) == {None}


def test_an_unchanged_answer_to_a_few_questions_in_turn_is_stagnation_too() -> None:
    one, other = (act("Grep", name, "none", reads=True) for name in "ab")
    assert first_finding([one, one, other, other]) == (3, Suspicion("stagnation", 1, 4, "Grep"))


def test_the_same_questions_with_their_answers_exchanged_do_not_stagnate() -> None:
    one = Act((Use("Get", "left", "full", reads=True), Use("Get", "right", "empty", reads=True)))
    other = Act((Use("Get", "left", "empty", reads=True), Use("Get", "right", "full", reads=True)))
    assert findings([one, other] * 2 + [one]) == [None] * 5


def test_a_provider_search_whose_result_is_not_in_the_history_is_never_a_loop() -> None:
    # What came back is not known, so it is not known to be the same.
    asks = Item("user", b"u", 9, 5)
    for different in (0, 1):
        items = []
        for number in range(9):
            call = ToolCall("", "web_search", number * different, reads=True)
            items += [Item("assistant", b"s", 9, 0, (call,)), asks]
        assert suspect(follow(Trail(), items, 0)) is None


def test_a_provider_search_that_brings_its_result_itself_is_a_step() -> None:
    call, result = ToolCall("s1", "web_search", 1, reads=True), ToolResult("s1", 2, 9)
    search = Item("assistant", b"s", 9, 3, (call,), (result,))
    asks = Item("user", b"u", 9, 5)
    assert suspect(follow(Trail(), [search, asks] * 2, 0)) is None
    assert suspect(follow(Trail(), [search, asks] * 3, 0)) == Suspicion(
        "repeat", 1, 3, "web_search"
    )


# ------------------------------------------------------------------------- words, and who says them


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("period", [1, 2, 3, 4])
def test_an_agent_without_tools_that_is_told_the_same_goes_in_circles_too(
    layout: Layout, period: int
) -> None:
    before: list[Event] = [Says("hello"), Talk("hello", "do it"), Talk("how?", "like that")]
    loop: list[Event] = [Talk(f"I shall now do {n}", "continue") for n in range(period)]
    found = first_finding(before + loop * 3, layout)
    assert found is not None
    assert found[0] == len(before) + 3 * period - 1
    assert found[1].period == period
    assert found[1].what == ", ".join(["the same answer"] * period)


def test_the_same_answer_to_something_new_is_no_loop() -> None:
    assert set(findings([Talk("You are welcome!", f"{n}") for n in range(8)])) == {None}
    assert set(findings([Talk(f"{n}", "go on") for n in range(8)])) == {None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_new_words_of_the_user_end_a_loop_and_begin_the_count_anew(layout: Layout) -> None:
    loop = act("Bash", "ls", "a b")
    found = findings([loop, loop, loop, Says("stop that"), loop, loop, loop], layout)
    assert [f.times if f else 0 for f in found] == [0, 0, 3, 0, 0, 0, 3]


def test_words_of_the_user_after_two_of_the_same_are_not_held_against_the_third() -> None:
    loop = act("Bash", "ls", "a b")
    found = findings([loop, loop, Says("go on"), loop, loop, Says("well?"), loop, loop])
    assert found == [None] * 8
    # Somebody who says the same each time does not take part: it is a cycle of two.
    found = findings([loop, loop, Says("go on"), loop, loop, Says("go on"), loop, loop])
    assert found == [None] * 7 + [Suspicion("cycle", 2, 3, "Bash, Bash")]


def test_the_users_words_come_between_stagnant_turns_too() -> None:
    vain = [act("Grep", f"{n}", "none", reads=True) for n in range(6)]
    found = findings(
        [*vain[:3], Says("look in src"), *vain[3:], act("Grep", "y", "none", reads=True)]
    )
    assert [bool(f) for f in found] == [False] * 7 + [True]
    found = findings([*vain[:4], Says("look in src"), vain[4]])
    assert [bool(f) for f in found] == [False] * 3 + [True, False, False]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_words_after_every_turn_are_part_of_the_loop(layout: Layout) -> None:
    loop = Act((Use("Bash", "ls", "a b"),), nudge="continue")
    assert first_finding([loop] * 3, layout) == (2, Suspicion("repeat", 1, 3, "Bash"))
    vain = [Act((Use("Grep", f"{n}", "none", reads=True),), nudge="continue") for n in range(4)]
    assert first_finding(vain, layout) == (3, Suspicion("stagnation", 1, 4, "Grep"))
    # They are still to come after the last one.
    vain[3], last = replace(vain[3], nudge=""), replace(loop, nudge="")
    assert first_finding(vain, layout) == (3, Suspicion("stagnation", 1, 4, "Grep"))
    assert first_finding([loop, loop, last]) == (2, Suspicion("repeat", 1, 3, "Bash"))


def test_words_that_differ_after_every_turn_are_somebody_who_takes_part() -> None:
    loops = [Act((Use("Bash", "ls", "a b"),), nudge=f"{n}") for n in range(9)]
    assert set(findings(loops)) == {None}


def test_an_image_of_the_user_counts_as_words() -> None:
    call = Item("assistant", b"a", 9, 0, (ToolCall("1", "screenshot", 1),))
    result = Item("tool", b"t", 9, 0, (), (ToolResult("1", 2, 9),))
    same = [call, result, Item("user", b"image", 900)]
    assert suspect(follow(Trail(), same * 3, 0)) == Suspicion("repeat", 1, 3, "screenshot")
    moving = [[call, result, Item("user", b"image %d" % n, 900)] for n in range(6)]
    assert suspect(follow(Trail(), [item for items in moving for item in items], 0)) is None


def test_an_answer_without_words_is_known_by_its_content() -> None:
    same = [Item("assistant", b"picture", 9), Item("user", b"u", 9, 5)]
    assert suspect(follow(Trail(), same * 3, 0)) == Suspicion("repeat", 1, 3, "the same answer")
    other = [[Item("assistant", b"%d" % n, 9), Item("user", b"u", 9, 5)] for n in range(6)]
    assert suspect(follow(Trail(), [item for items in other for item in items], 0)) is None


def test_sealed_thoughts_before_the_same_words_do_not_hide_a_loop() -> None:
    items = []
    for number in range(3):
        items += [Item("assistant", b"sealed %d" % number, 99), Item("assistant", b"m", 9, 4)]
        items += [Item("user", b"u", 9, 5)]
    assert suspect(follow(Trail(), items, 0)) == Suspicion("repeat", 1, 3, "the same answer")


# ------------------------------------------------------------- histories in pieces, edited, rewritten


@given(seed=st.integers(0, 500), layout=st.sampled_from(LAYOUTS), cuts=st.sets(st.integers(0, 400)))
def test_a_history_is_the_same_in_any_pieces(seed: int, layout: Layout, cuts: set[int]) -> None:
    items = Script(layout, Random(seed)).play(healthy_task(seed)).items
    whole = follow(Trail(), items, 0)
    trail = Trail()
    for end in [*sorted(end for end in cuts if end < len(items)), len(items)]:
        trail = follow(trail, items[trail.until : end], trail.until)
    assert trail == whole


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_again_from_anywhere_changes_nothing_but_how_far_back_it_reaches(
    layout: Layout,
) -> None:
    loop: list[Event] = [act("Bash", "ls", "a"), act("Read", "a", "text", reads=True)]
    loop.append(Talk("so?", "go on"))
    script = Script(layout, Random(1)).play([*healthy_task(3)[:9], *loop * 5])
    whole = follow(Trail(), script.items, 0)
    expected = Suspicion("cycle", 3, 5, "Bash, Read, the same answer")
    assert suspect(whole) == expected
    for begin in range(len(script.items) + 1):
        again = follow(whole, script.items[begin:], begin)
        assert (again.turn, again.until, again.faded) == (whole.turn, whole.until, ())
        # A step whose beginning was too far back may lack a part of it.
        assert again.steps[1:] == whole.steps[len(whole.steps) - len(again.steps) :][1:]
        assert again == follow(cut(whole, begin), script.items[begin:], begin)
        if begin >= len(script.items) - PARTS or begin == 0:
            assert again.steps[-12:] == whole.steps[-12:]
            assert suspect(again) == expected


def test_cutting_forgets_what_stood_after_it() -> None:
    loop = act("Bash", "ls", "a")
    script = Script("messages", Random(1)).play([loop] * 4)
    trail = follow(Trail(), script.items, 0)
    times = [suspect(cut(trail, end)) for end in script.requests]
    assert [found.times if found else 0 for found in times] == [0, 0, 3, 4]
    assert suspect(cut(trail, 0)) is None
    assert cut(trail, 99).until == len(script.items)


def test_an_edited_turn_of_the_user_begins_anew() -> None:
    # Two of the same, words; the words are taken back and said otherwise; the same once more.
    loop = act("Bash", "ls", "a")
    script = Script("messages", Random(1)).play([loop, loop, Talk("shall I?", "yes")])
    trail = follow(Trail(), script.items, 0)
    edited = Script("messages", Random(1)).play([Says("no"), loop])
    trail = follow(trail, edited.items, len(script.items) - 1)
    assert suspect(trail) is None
    more = Script("messages", Random(1)).play([loop, loop]).items
    assert suspect(follow(trail, more[:2], trail.until)) is None
    found = suspect(follow(trail, more, trail.until))
    assert found == Suspicion("repeat", 1, 3, "Bash")


def test_words_in_the_place_of_a_turn_begin_anew() -> None:
    # The turn after the two was taken back, and the user says something instead.
    loop = act("Bash", "ls", "a")
    script = Script("messages", Random(1)).play([loop, loop, act("Bash", "z", "z"), loop])
    more = Script("messages", Random(1)).play([Says("no"), loop, loop, loop])
    trail = cut(follow(Trail(), script.items, 0), script.requests[1])
    assert len(trail.steps) == 2
    times = [suspect(follow(trail, more.items[:end], trail.until)) for end in more.requests]
    assert [found.times if found else 0 for found in times] == [0, 0, 0, 3]


def test_what_a_cut_through_step_was_is_not_forgotten() -> None:
    # XY XY [Z | cut]: the two are not next to what comes after the cut.
    loop = act("Bash", "ls", "a")
    events = [loop, loop, act("Bash", "z", "z"), act("Read", "r", "r")]
    script = Script("messages", Random(1)).play(events)
    trail = cut(follow(Trail(), script.items, 0), script.requests[2] - 1)
    assert len(trail.steps) == 2
    for more in (script.items[-2:], Script("messages", Random(1)).play([loop]).items):
        assert suspect(follow(trail, more, trail.until)) is None
    # Its own results come again, and so does the third.
    rest = Script("messages", Random(1)).play([act("Bash", "z", "z"), loop, loop, loop]).items[1:]
    assert suspect(follow(trail, rest, trail.until)) == Suspicion("repeat", 1, 3, "Bash")


def test_a_step_that_is_cut_through_far_back_is_lost_with_those_before_it() -> None:
    loop = act("Bash", "ls", "a")
    events = [loop, loop, *(act("Bash", f"{n}", f"{n}") for n in range(9))]
    script = Script("messages", Random(1)).play(events)
    trail = cut(follow(Trail(), script.items, 0), script.requests[2] - 1)
    assert (trail.steps, trail.turn) == ((), ())
    more = Script("messages", Random(1)).play([loop]).items
    assert suspect(follow(trail, more, trail.until)) is None


def test_words_that_a_client_appends_to_each_request_and_takes_away_again_cost_no_step() -> None:
    # The last item of each request is gone from the next one: the step before it stays whole.
    script = Script("messages", Random(1)).play([act("Bash", f"{n}", f"{n}") for n in range(5)])
    trail, passing = Trail(), Item("user", b"passing", 9, 77)
    begin = 0
    for end in script.requests:
        trail = follow(trail, [*script.items[begin:end], passing], begin)
        begin = end
    trail = follow(trail, (), begin)
    assert trail == follow(Trail(), script.items, 0)


def test_a_history_with_a_gap_begins_anew() -> None:
    loop = act("Bash", "ls", "a")
    items = Script("messages", Random(1)).play([loop] * 2).items
    trail = follow(Trail(), items, 0)
    assert suspect(follow(trail, items[:2], len(items))) is not None
    assert suspect(follow(trail, items[:2], len(items) + 2)) is None
    assert follow(Trail(), items, 50) == follow(follow(Trail(), (), 50), items, 50)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [1, 3])
@pytest.mark.parametrize("known", ["a request", "half a step more", "nothing"])
def test_results_that_are_blanked_when_they_are_old_do_not_hide_a_cycle(
    layout: Layout, kept: int, known: str
) -> None:
    cycle = [act(f"tool{n}", f"{n}", f"result {n}") for n in range(4)]
    script = Script(layout, Random(1)).play(cycle * 3)
    trail, found = Trail(), []
    for number, end in enumerate(script.requests):
        items = [
            blanked(item)
            if at < script.requests[max(number - kept, 0)] and number >= kept
            else item
            for at, item in enumerate(script.items[:end])
        ]
        changed = number - kept  # the first step that is not as it was in the request before
        begin = script.requests[changed - 1] if changed > 0 else 0
        if known == "nothing" or number == 0:
            begin = 0
        elif known == "half a step more":
            begin += 1
        trail = follow(trail, items[begin:], begin)
        found.append(suspect(trail))
    assert found == [None] * 11 + [Suspicion("cycle", 4, 3, "tool0, tool1, tool2, tool3")]


def blanked(item: Item) -> Item:
    return replace(item, results=tuple(replace(r, says=1, size=9) for r in item.results))


def test_the_newest_result_counts_as_it_is_now() -> None:
    # Rewound by three turns and the same asked again, with other answers: nothing stays from before.
    before = Script("messages", Random(1)).play([act("Bash", "ls", "a")] * 4)
    trail = follow(Trail(), before.items, 0)
    assert suspect(trail) is not None
    now = Script("messages", Random(1)).play([act("Bash", "ls", f"{n}") for n in range(4)])
    for number, end in enumerate(now.requests):
        begin = now.requests[number - 1] if number else 0
        trail = follow(trail, now.items[begin:end], begin)
        assert suspect(trail) is None


# ----------------------------------------------------------------------------------- what is told


def test_words_are_one_line_with_the_names_of_tools() -> None:
    said = {
        Suspicion(
            "repeat", 1, 3, "Bash"
        ): "Bash was run 3 times with the same arguments and the same result",
        Suspicion("cycle", 2, 4, "Read, Bash"): "a cycle of 2 steps (Read, Bash) was run 4 times"
        " with the same arguments and the same results",
        Suspicion(
            "stagnation", 1, 5, "Grep, Glob"
        ): "Grep, Glob brought the same result 5 times in a row for different arguments",
        Suspicion("repeat", 1, 3, "the same answer"): "the same answer was given 3 times in a row,"
        " and the same was said to it",
        Suspicion("repeat", 1, 15, "Bash"): "Bash was run 15 times with the same arguments"
        " and the same result",
        Suspicion("repeat", 1, 16, "Bash"): "Bash was run at least 16 times with the same arguments"
        " and the same result",
        Suspicion("cycle", 3, 4, "a, b, c"): "a cycle of 3 steps (a, b, c) was run 4 times"
        " with the same arguments and the same results",
        Suspicion("cycle", 3, 5, "a, b, c"): "a cycle of 3 steps (a, b, c) was run at least 5 times"
        " with the same arguments and the same results",
    }
    assert {suspicion: suspicion.words for suspicion in said} == said


def test_parallel_tools_are_named_together_and_not_all_of_many() -> None:
    both = Act((Use("Read", "a", "a"), Use("Bash", "b", "b"), Use("Read", "c", "c")))
    found = findings([both] * 3)[-1]
    assert found == Suspicion("repeat", 1, 3, "Bash + Read")
    for count, more in ((4, ""), (5, " + …"), (9, " + …")):
        many = Act(tuple(Use(f"t{n}", "", "") for n in range(count)))
        found = findings([many] * 3)[-1]
        assert found == Suspicion("repeat", 1, 3, f"t0 + t1 + t2 + t3{more}")


def test_names_that_look_the_same_once_shortened_are_different_tools() -> None:
    names = [f"{'n' * 64}{n}" for n in range(6)]
    assert set(findings([act(name, "", "same") for name in names])) == {None}


# ------------------------------------------------------------------------------- odd histories


def test_a_call_that_was_never_answered_makes_a_step_with_what_the_others_got() -> None:
    calls = (ToolCall("1", "Get", 1), ToolCall("2", "Get", 2))
    asked = Item("assistant", b"a", 9, 0, calls)
    answered = Item("tool", b"t", 9, 0, (), (ToolResult("2", 5, 9),))
    assert suspect(follow(Trail(), [asked, answered] * 3, 0)) == Suspicion("repeat", 1, 3, "Get")
    nothing = Item("user", b"u", 9, 5)
    assert suspect(follow(Trail(), [asked, nothing] * 3, 0)) is None


def test_nothing_is_suspected_of_a_history_that_has_hardly_begun() -> None:
    assert suspect(Trail()) is None
    assert (
        suspect(follow(Trail(), [Item("system", b"s", 9, 1), Item("user", b"u", 9, 2)], 0)) is None
    )
    # A turn that waits for its results is not yet one.
    for event in (act("Bash", "ls", "a"), Talk("so?", "go on")):
        loop = Script("messages", Random(1)).play([event] * 3).items
        assert suspect(follow(Trail(), loop[:-1], 0)) is None
        assert suspect(follow(Trail(), loop, 0)) is not None


@pytest.mark.timeout(30)
def test_a_turn_of_very_many_parallel_calls_is_read_in_passing() -> None:
    # Two seconds; with quadratic work it would be more than a minute, and the whole daemon's.
    count = 60_000
    calls = [Item("assistant", b"c", 9, 0, (ToolCall(f"{n}", "Get", n),)) for n in range(count)]
    results = [
        Item("tool", b"t", 9, 0, (), (ToolResult(f"{n}", n, 9),)) for n in reversed(range(count))
    ]
    trail = follow(Trail(), [*calls, *results, calls[0]], 0)
    assert len(trail.steps) == 1
