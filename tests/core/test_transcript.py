"""Where a request meets what was read before, by hand and for any history.

An item's digest is a word here, and the digest of a beginning is the words so far: what is equal can
be seen.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.transcript import Author, Checkpoint, Head, Item, Meeting, chained, meet

HEAD = Head(system=(1, 1_000), tools=(2, 2_000), rest=(3, 30))


def link(chain: bytes, digest: bytes) -> bytes:
    return chain + b"/" + digest


def item(word: str, size: int = 100, author: Author = "user", moving: int = 0) -> Item:
    return Item(author, word.encode(), size, moving=moving)


def history(*words: str) -> tuple[Item, ...]:
    """Items named after words; one that begins with "a" is the assistant's, with "t" a tool's."""
    authors: dict[str, Author] = {"a": "assistant", "t": "tool"}
    return tuple(item(word, author=authors.get(word[0], "user")) for word in words)


def point(items: tuple[Item, ...], tokens: int = 700, output: int = 50) -> Checkpoint:
    chain = chained(items, link)[-1] if items else b""
    return Checkpoint(chain, len(items), "p", "m", HEAD, tokens, output, at=0)


def met(
    points: list[Checkpoint], items: tuple[Item, ...], head: Head = HEAD, skipped: int = 0
) -> Meeting | None:
    chains = [b"", *chained(items, link)]
    return meet(points, chains[skipped:], items[skipped:], head, skipped=skipped)


# ----------------------------------------------------------------------------------------- the values


def test_the_digests_of_ever_longer_beginnings() -> None:
    assert chained(history("u", "a"), link) == [b"/u", b"/u/a"]
    assert chained(history("a"), link, b"/u") == [b"/u/a"]
    assert chained((), link, b"/u") == []


def test_a_head_is_as_long_as_its_parts() -> None:
    assert HEAD.size == 3_030
    assert Head().size == 0


@pytest.mark.parametrize(
    ("now", "anew"),
    [
        (HEAD, 0),
        (replace(HEAD, system=(9, 1_004)), 1_004),
        (replace(HEAD, tools=(9, 2_100)), 2_100),
        (replace(HEAD, rest=(9, 40)), 40),
        (replace(HEAD, system=(9, 1_004), rest=(9, 40)), 1_044),
        (replace(HEAD, system=(1, 1_005)), 1_005),  # the same digest of another length is no proof
        (Head(), 0),  # what is gone is not read
    ],
)
def test_the_parts_of_a_head_that_changed_are_read_anew(now: Head, anew: int) -> None:
    assert now.changed(HEAD) == anew
    meeting = met([point(history("u"))], history("u"), now)
    assert meeting is not None
    assert meeting.fresh_bytes == anew


def test_of_a_system_prompt_in_blocks_only_those_that_changed_are_read_anew() -> None:
    was = Head(system=(1, 900), blocks=((1, 80), (2, 400), (2, 400)))
    clock = Head(system=(2, 901), blocks=((9, 81), (2, 400), (2, 400)))
    assert clock.changed(was) == 81
    twice = Head(system=(3, 1_280), blocks=((1, 80), (2, 400), (2, 400), (2, 400)))
    assert twice.changed(was) == 400
    assert Head(system=(4, 480), blocks=((2, 400), (1, 80))).changed(was) == 0
    assert replace(clock, blocks=()).changed(was) == clock.changed(replace(was, blocks=())) == 901
    assert replace(clock, tools=(5, 70)).changed(was) == 151


# --------------------------------------------------------------------------------------- the meeting


def test_a_request_goes_on_from_what_was_read() -> None:
    items = history("u", "a", "t")
    known = point(items[:1])
    assert met([known], items) == Meeting(known, 700, items[1:], 200)


def test_the_same_request_again_has_nothing_new() -> None:
    items = history("u", "a", "t")
    assert met([point(items)], items) == Meeting(point(items), 700, (), 0)


@pytest.mark.parametrize(
    "known",
    [
        history("x"),
        history("x", "a"),
        history("u", "a", "t", "a2"),  # it was longer
        (),  # nothing is the beginning of everything
    ],
)
def test_what_is_no_beginning_is_not_met(known: tuple[Item, ...]) -> None:
    assert met([point(known)], history("u", "a", "t")) is None


def test_nothing_is_met_where_nothing_is_known() -> None:
    assert met([], history("u")) is None
    assert met([point(history("u"))], ()) is None


def test_a_digest_at_another_place_is_no_beginning() -> None:
    """A checkpoint that says it stands elsewhere is not believed."""
    moved = replace(point(history("u")), items=2)
    assert met([moved], history("u", "a")) is None


def test_of_several_the_one_that_leaves_least() -> None:
    items = history("u", "a", "t", "a2", "t2")
    early, late = point(items[:1], 300), point(items[:3], 450)
    for points in ([early, late], [late, early]):
        meeting = met(points, items)
        assert meeting is not None
        assert (meeting.checkpoint, meeting.tokens, meeting.fresh_bytes) == (late, 450, 200)
    # One that was read dearly is worse than the bytes after a cheaper one.
    dear = point(items[:3], 501)
    meeting = met([early, dear], items)
    assert meeting is not None
    assert (meeting.checkpoint, meeting.tokens, meeting.fresh_bytes) == (early, 300, 400)
    # Of equals the first.
    same = point(items[:3], 500)
    assert met([early, same], items) == met([early], items)


def test_a_beginning_that_was_not_read_again() -> None:
    """`skipped` items are known to be the same; a checkpoint within them cannot be seen."""
    items = history("u", "a", "t", "a2", "t2")
    within, at, after = point(items[:1]), point(items[:3], 800), point(items[:4], 900)
    assert met([within], items, skipped=3) is None
    assert met([within, at], items, skipped=3) == Meeting(at, 800, items[3:], 200)
    assert met([after], items, skipped=3) == Meeting(after, 900, items[4:], 100)
    assert met([point(items)], items, skipped=5) == Meeting(point(items), 700, (), 0)


# -------------------------------------------------------------------------------- what may be new in it


def test_what_moves_about_is_read_anew_wherever_it_stands() -> None:
    items = (item("u", 100, moving=30), item("a", 100, "assistant"), item("t", 100, "tool"))
    meeting = met([point(items[:2])], items)
    assert meeting is not None
    assert meeting.fresh_bytes == 100 + 30
    # Not where the raw bytes are the same: there it stands where it stood.
    meeting = met([point(items[:2])], items, skipped=1)
    assert meeting is not None
    assert meeting.fresh_bytes == 100
    # Nor twice, in an item that is new.
    new = (*items, item("t2", 100, "tool", moving=30))
    meeting = met([point(new[:2])], new, skipped=1)
    assert meeting is not None
    assert meeting.fresh_bytes == 200


@pytest.mark.parametrize(
    ("fresh", "output", "anew"),
    [
        # The answer goes back as what was written, or as its bytes: whichever is more.
        ([item("a", 100, "assistant")], 90, 100),
        ([item("a", 100, "assistant")], 400, 400),
        # In dialects that have them apart, all its items together.
        ([item("a", 100, "assistant"), item("a2", 80, "assistant")], 400, 400),
        ([item("a", 100, "assistant"), item("a2", 80, "assistant")], 179, 180),
        # What comes after is not of the answer, whoever says it.
        ([item("a", 100, "assistant"), item("t", 500, "tool")], 400, 900),
        ([item("a", 100, "assistant"), item("u2", 500)], 400, 900),
        (
            [item("a", 100, "assistant"), item("t", 500, "tool"), item("a2", 350, "assistant")],
            400,
            400 + 500 + 350,
        ),
        # An answer that does not go back is not read.
        ([item("t", 500, "tool")], 4_000, 500),
        ([item("t", 500, "tool"), item("a", 100, "assistant")], 4_000, 600),
        ([], 4_000, 0),
        # What clients move about may stand with the answer, and is no part of it.
        ([item("a", 160, "assistant", moving=60)], 400, 400 + 60),
        ([item("a", 160, "assistant", moving=60)], 90, 160),
    ],
)
def test_an_answer_counts_for_no_less_than_was_billed(
    fresh: list[Item], output: int, anew: int
) -> None:
    known = history("u")
    meeting = met([point(known, output=output)], (*known, *fresh))
    assert meeting is not None
    assert (meeting.tokens, meeting.fresh_bytes) == (700, anew)


def test_answers_between_count_for_no_less_either() -> None:
    """From the cheaper of two checkpoints on, the answer to the other is new as well."""
    items = (
        item("u", 100),
        item("a", 100, "assistant"),
        item("t", 100, "tool"),
        item("a2", 100, "assistant"),
    )
    early, late = point(items[:1], 300, output=400), point(items[:3], 2_000, output=170)
    meeting = met([early, late], items)
    assert meeting is not None
    assert (meeting.checkpoint, meeting.fresh_bytes) == (early, 300 + 300 + 70)
    late = replace(late, input=790)
    meeting = met([early, late], items)
    assert meeting is not None
    assert (meeting.checkpoint, meeting.fresh_bytes) == (late, 100 + 70)


# --------------------------------------------------------------------------------------- any history


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[Item, int]]:
    """Items, no two alike, with the tokens of each: no more than bytes, but for answers, whose
    thoughts may be sealed.
    """
    said = []
    for number in range(draw(st.integers(1, 12))):
        author: Author = draw(st.sampled_from(["user", "assistant", "tool"]))
        size = draw(st.integers(1, 60))
        most = 3 * size if author == "assistant" else size
        said.append((item(f"{author}{number}", size, author), draw(st.integers(0, most))))
    return said


@given(conversations(), st.integers(0, 12))
def test_what_goes_on_from_known_requests_holds_no_more_than_its_bound(
    said: list[tuple[Item, int]], forgotten: int
) -> None:
    """Each answer was asked for by a request with all that stands before it, and the newest of
    these are remembered.
    """
    items = tuple(one for one, _ in said)
    tokens = [count for _, count in said]
    points = []
    for end in range(1, len(items)):
        answers = list(takewhile(lambda n: items[n].author == "assistant", range(end, len(items))))
        if answers and items[end - 1].author != "assistant":
            known = point(items[:end], sum(tokens[:end]), output=sum(tokens[n] for n in answers))
            points.append(known)
    meeting = met(points[forgotten:], items)
    assert (meeting is None) == (not points[forgotten:])
    if meeting is not None:
        assert sum(tokens) <= meeting.tokens + meeting.fresh_bytes
