"""Steps: what makes two turns the same, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from budgetd.core.steps import Part, Step, part_of, step_of
from budgetd.core.transcript import Item, ToolCall, ToolResult


def step(*items: Item) -> Step:
    """The step that some items make."""
    parts = [part_of(item, place) for place, item in enumerate(items, start=10)]
    return step_of([part for part in parts if part is not None])


def asks(*calls: ToolCall, says: int = 0) -> Item:
    return Item("assistant", b"a", 9, says, calls)


def answers(*results: ToolResult, says: int = 0) -> Item:
    return Item("tool", b"t", 9, says, (), results)


READ, LIST = ToolCall("1", "Read", 5, reads=True), ToolCall("2", "LS", 6, reads=True)
TEXT, NAMES = ToolResult("1", 7, 99), ToolResult("2", 8, 99)


def test_a_turn_is_the_same_however_the_dialect_lays_it_out() -> None:
    apart = (asks(READ), asks(LIST), answers(TEXT), answers(NAMES))
    together = (asks(LIST, READ), answers(NAMES, TEXT))
    assert replace(step(*apart), place=11) == step(*together)
    assert (step(*apart).first, step(*apart).place) == (10, 13)


def test_what_is_said_is_the_same_in_any_order_and_however_often() -> None:
    # 0 and 8 fall into the same place of a small set: its order is that in which they came.
    some = [replace(TEXT, says=0), replace(NAMES, says=8)]
    says = step(asks(READ, LIST), answers(*some)).says
    assert step(asks(READ, LIST), answers(*reversed(some))).says == says
    assert step(asks(READ, LIST, LIST), answers(*some, some[1])).says == says


def test_what_a_step_tells() -> None:
    one = step(asks(READ, LIST), answers(TEXT, NAMES))
    assert (one.reads, one.failed, one.names, one.heard) == (True, False, ("LS", "Read"), 0)
    both = [replace(TEXT, failed=True), replace(NAMES, failed=True)]
    writes = asks(replace(READ, reads=False), LIST)
    assert step(writes, answers(*both)).failed
    assert not step(writes, answers(TEXT, both[1])).failed
    assert not step(writes, answers(*both)).reads


@pytest.mark.parametrize(
    ("items", "acts", "says", "deed"),
    [
        ((asks(replace(READ, id="x"), LIST), answers(replace(TEXT, id="x"), NAMES)), 1, 1, 1),
        ((asks(READ, LIST, says=3), answers(TEXT, NAMES, says=4)), 1, 1, 1),
        ((asks(READ, LIST), answers(replace(TEXT, size=1), NAMES)), 1, 1, 1),
        ((asks(replace(READ, arguments=0), LIST), answers(TEXT, NAMES)), 0, 1, 0),
        ((asks(replace(READ, name="Cat"), LIST), answers(TEXT, NAMES)), 0, 1, 0),
        ((asks(READ, LIST), answers(replace(TEXT, says=0), NAMES)), 1, 0, 0),
        ((asks(READ, LIST), answers(replace(TEXT, failed=True), NAMES)), 1, 1, 0),
        ((asks(READ, LIST), answers(replace(TEXT, id="2"), replace(NAMES, id="1"))), 1, 1, 0),
        ((asks(READ, LIST), answers(TEXT)), 1, 0, 0),
        ((asks(READ, LIST, LIST), answers(TEXT, NAMES, NAMES)), 0, 1, 0),
    ],
    ids=[
        *("other ids", "other words", "other size", "other arguments", "other tool"),
        *("other result", "failed", "results swapped", "result missing", "more calls"),
    ],
)
def test_what_makes_two_turns_the_same(
    items: tuple[Item, ...], acts: int, says: int, deed: int
) -> None:
    one, other = step(asks(READ, LIST), answers(TEXT, NAMES)), step(*items)
    same = (one.acts == other.acts, one.says == other.says, one.deed == other.deed)
    assert same == (acts, says, deed)


def test_results_whose_calls_have_the_same_id_or_another_belong_to_them_in_their_order() -> None:
    calls = [replace(READ, id=""), replace(LIST, id="")]
    one = step(asks(*calls), answers(replace(TEXT, id=""), replace(NAMES, id="")))
    other = step(asks(*calls), answers(replace(NAMES, id=""), replace(TEXT, id="")))
    assert one.deed == step(asks(READ, LIST), answers(TEXT, NAMES)).deed != other.deed
    foreign = [replace(TEXT, id="?"), replace(NAMES, id="!")]
    again = step(asks(READ, LIST), answers(*reversed(foreign)))
    assert step(asks(READ, LIST), answers(*foreign)).deed == again.deed != one.deed


def test_calls_without_any_result_are_like_no_others() -> None:
    hears = Item("user", b"u", 9, 5)
    assert step(asks(READ), hears).deed == step(asks(READ), hears).says == 0
    assert step(asks(READ, LIST), answers(TEXT)).deed != 0


def test_a_turn_without_calls_is_its_words_and_what_is_heard_is_apart() -> None:
    says, hears = Item("assistant", b"a", 9, 3), Item("user", b"u", 9, 5)
    one = step(says, hears)
    assert (one.deed, one.says, one.reads, one.failed, one.names) == (one.acts, 0, False, False, ())
    assert one.acts != step(replace(says, says=4), hears).acts
    assert one.heard != step(says, replace(hears, says=6)).heard
    assert one.heard != step(says, hears, hears).heard
    # A digest of something else does not matter where there are words, and does where there are none.
    sealed = Item("assistant", b"sealed", 9)
    assert step(sealed, says, hears).acts == one.acts
    assert step(replace(says, digest=b"else"), replace(hears, digest=b"else")) == one
    assert step(sealed, hears).acts != step(replace(sealed, digest=b"other"), hears).acts
    image = Item("user", b"image", 900)
    assert step(says, image).heard not in {0, step(says, replace(image, digest=b"other")).heard}


def test_words_beside_results_are_heard_unless_they_are_a_reminder() -> None:
    plain, reminded = answers(TEXT), answers(TEXT, says=4)
    assert step(asks(READ), reminded).heard == step(asks(READ), plain).heard == 0
    told = step(asks(READ), replace(reminded, beside=4))
    assert told.heard != 0
    assert replace(told, heard=0) == step(asks(READ), plain)


def test_a_result_without_a_call_is_nothing_of_the_assistants() -> None:
    assert step(Item("assistant", b"a", 9, 3), answers(TEXT)).says == 0


def test_what_adds_nothing_to_a_turn() -> None:
    assert part_of(Item("system", b"s", 9, 5), 0) is None
    assert part_of(Item("user", b"clock", 40, moving=40), 0) is None
    for kept in (
        Item("user", b"u", 40, 5, moving=30),
        Item("tool", b"t", 40, 0, (), (TEXT,), moving=30),
        Item("assistant", b"a", 40, 0, (READ,), moving=30),
        Item("user", b"image", 40),
    ):
        assert part_of(kept, 4) is not None


def test_a_part_keeps_nobodys_words() -> None:
    item = Item("assistant", b"a", 9, 3, (replace(READ, id="call_1" * 99, name="n" * 999),))
    part = part_of(item, 4)
    assert isinstance(part, Part)
    assert (part.place, part.speaks, part.words, part.content) == (4, True, 3, 0)
    assert isinstance(part.asks[0].id, int)
    assert len(part.asks[0].name) == 64


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n" * 500, "n" * 64),
        ("a\nb\x1b[31m\u202ec\ud800", "a?b?[31m?c?"),
        ("", "?"),
        ("поиск", "поиск"),
    ],
)
def test_names_are_printable_and_short(name: str, shown: str) -> None:
    assert step(asks(replace(READ, name=name)), answers(TEXT)).names == (shown,)


def test_names_that_look_the_same_once_shortened_are_different_tools() -> None:
    one, other = (replace(READ, name=f"{'n' * 64}{n}") for n in range(2))
    assert step(asks(one), answers(TEXT)).acts != step(asks(other), answers(TEXT)).acts


def test_fingerprints_are_the_same_in_every_process() -> None:
    # Python's own hash of a text is not.
    one = step(asks(READ), answers(TEXT))
    assert (one.acts, one.says, one.deed) == (
        1328504283679085233,
        13291840845213164823,
        17345704198827251815,
    )
