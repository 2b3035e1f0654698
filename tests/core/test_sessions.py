"""Sessions: ids that belong to their key, and trees that no claim can bend."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budgetd.core.sessions import DEEPEST, Claim, Session, ancestors, lineage, session_id

KEY = "research"


def at(ref: str) -> str:
    return session_id(KEY, ref)


def made(ref: str, *parents: str, known: Iterable[Session] = ()) -> tuple[Session, ...]:
    """The line of a session by a claim of these parents."""
    by_id = {one.id: one for one in known}
    return lineage(KEY, ref, Claim(ref, "client", parents), "codex", by_id)


def names(line: Iterable[Session]) -> str:
    return " ".join(one.ref for one in line)


def without(line: Iterable[Session], *refs: str) -> list[Session]:
    """What is left when these are forgotten."""
    return [one for one in line if one.ref not in refs]


# --- ids ----------------------------------------------------------------------------------------


def test_an_id_has_a_known_form() -> None:
    """It is stored and shown: it must not change from one version to the next."""
    assert session_id("research", "b71a8da5-8049-465f-a354-33c4dcbe579a") == "h5hxjqgf2w1rzrvh"
    assert session_id("", "") == "chc623q3sdeqh2q2"


@given(st.text(st.characters(), max_size=50), st.text(st.characters(), max_size=50))
def test_an_id_is_short_and_can_be_typed(key: str, ref: str) -> None:
    own = session_id(key, ref)
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{16}", own)
    assert own == session_id(key, ref)


def test_an_id_is_of_its_key_and_name() -> None:
    pairs = [(key, ref) for key in ("a", "ab", "b", "", "A") for ref in ("b", "bb", "", "a", "B")]
    pairs += [("a", "\ud800"), ("a", "漢"), ("a", "b\0"), ("a/b", "c"), ("a", "b/c")]
    assert len({session_id(key, ref) for key, ref in pairs}) == len(pairs)


def test_ids_use_all_of_their_letters() -> None:
    """80 bits: every place takes every letter, so a key cannot look for another's id."""
    found = [session_id("k", str(number)) for number in range(2_000)]
    assert all(len({own[place] for own in found}) == 32 for place in range(16))


# --- lines --------------------------------------------------------------------------------------


def test_a_session_alone() -> None:
    (alone,) = made("s")
    assert alone == Session(at("s"), KEY, "s", "client", "codex", at("s"), None)
    assert not alone.is_agent


def test_an_agent_brings_those_above_it_into_being() -> None:
    child, between, root = made("c", "p", "r")
    assert child == Session(at("c"), KEY, "c", "client", "codex", at("r"), at("p"))
    assert between == Session(at("p"), KEY, "p", "client", "codex", at("r"), at("r"))
    assert root == Session(at("r"), KEY, "r", "client", "codex", at("r"), None)
    assert [one.is_agent for one in (child, between, root)] == [True, True, False]


@pytest.mark.parametrize("parents", [("c",), ("c", "c"), ()])
def test_nobody_is_their_own_parent(parents: tuple[str, ...]) -> None:
    assert made("c", *parents) == made("c")


def test_a_name_counts_once() -> None:
    for known in ((), made("c"), made("p"), made("r")):
        assert made("c", "p", "c", "p", "r", "r", known=known) == made("c", "p", "r")


def test_a_line_has_an_end() -> None:
    line = made("0", *(str(number) for number in range(1, 100)))
    assert len(line) == DEEPEST + 1
    assert line[-1].parent is None


def test_what_is_known_is_kept() -> None:
    """Where a session comes from and who sends it is said by its own calls, not by its agents'."""
    (root,) = lineage(KEY, "r", Claim("r", "url"), "claude_code", {})
    child, same = made("c", "r", known=[root])
    assert (child.source, child.client) == ("client", "codex")
    assert same == root
    # Its own call says anew how it was told.
    (again,) = lineage(KEY, "r", Claim("r", "header"), "codex", {root.id: root})
    assert again == replace(root, source="header")


def test_generations_that_a_claim_leaves_out() -> None:
    """Codex says who started a thread and which session is the root, and nothing between."""
    known = made("t2", "t1", "s")
    line = made("t3", "t2", "s", known=known)
    assert names(line) == "t3 t2 t1 s"
    assert [one.parent for one in line] == [at("t2"), at("t1"), at("s"), None]
    assert {one.root for one in line} == {at("s")}
    assert line[1:] == known


def test_a_call_that_says_nothing_of_its_parents() -> None:
    known = made("c", "p", "r")
    assert made("c", known=known) == known


def test_a_root_may_become_an_agent() -> None:
    """Whose sub-agent it is may be learned later."""
    known = made("s")
    line = made("s", "r", known=known)
    assert names(line) == "s r"
    assert line[0].root == line[1].id
    # And what is below it moves with it, at its next call.
    below = [*made("c", "s"), *known]
    assert {one.root for one in made("c", known=[below[0], *line])} == {at("r")}


def test_an_agent_stays_where_it_is() -> None:
    known = made("c", "p")
    assert names(made("c", "elsewhere", known=known)) == "c p"
    assert names(made("x", "c", "elsewhere", known=known)) == "x c p"


def test_a_forgotten_parent_is_still_the_parent() -> None:
    whole = made("c", "p", "r")
    (child,) = made("c", known=without(whole, "p", "r"))
    assert (child.parent, child.root) == (at("p"), at("r"))
    # The line ends earlier, and begins again as soon as a claim names who is missing.
    assert names(made("x", "c", known=without(whole, "p", "r"))) == "x c"
    assert made("c", "p", "r", known=without(whole, "p", "r")) == whole
    assert made("c", "p", "r", known=without(whole, "r")) == whole
    assert made("c", "other", "p", "r", known=without(whole, "p", "r")) == whole
    (alone,) = made("c", "other", known=without(whole, "p", "r"))
    assert alone == child


def test_a_claim_that_would_close_a_circle_is_cut() -> None:
    known = made("c", "p", "r")
    # The root, claimed to be below its own agents: it stays the root.
    assert made("r", "c", known=known) == known[2:]
    assert made("r", "p", known=known) == known[2:]
    assert made("p", "c", known=known) == known[1:]
    assert made("r", "c", "x", known=known) == known[2:]
    # The same with a stranger between, and with whoever would tell forgotten.
    assert names(made("r", "x", "c", known=known)) == "r x"
    assert names(made("r", "c", known=without(known, "r"))) == "r"
    assert names(made("r", "c", known=without(known, "p"))) == "r"
    assert names(made("r", "c", known=without(known, "p", "r"))) == "r"
    assert names(made("p", "c", known=without(known, "p"))) == "p"
    assert names(made("p", "d", known=without(made("d", "c", "p", "r"), "p"))) == "p"


def test_what_is_known_in_a_circle_is_opened() -> None:
    """It should not be there; but whoever wrote it must not stop a call."""
    one, two = made("a", "b")[:2]
    line = made("a", known=[one, replace(two, parent=one.id)])
    assert [(one.ref, one.parent) for one in line] == [("a", at("b")), ("b", None)]
    assert {one.root for one in line} == {at("b")}


def test_another_key_has_another_tree() -> None:
    known = {one.id: one for one in made("c", "p")}
    (other,) = lineage("other", "c", Claim("c", "client"), "codex", known)
    assert other.id not in known
    assert other.parent is None


NAMES = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=4), st.sets(NAMES)), max_size=30))
def test_whatever_is_claimed_there_are_only_trees(
    calls: list[tuple[str, list[str], set[str]]],
) -> None:
    """Calls that claim at random, while sessions are forgotten at random between them."""
    known: dict[str, Session] = {}
    for ref, parents, forgotten in calls:
        before = dict(known)
        line = lineage(KEY, ref, Claim(ref, "client", tuple(parents)), "codex", known)
        assert line[0].ref == ref
        assert len({one.id for one in line}) == len(line)
        for below, above in pairwise(line):
            assert below.parent == above.id
        assert len({one.root for one in line}) == 1
        top = line[-1]
        if top.parent is None:
            assert top.root == top.id
        else:
            assert top.parent not in known
            assert before[top.id] == top
        for one in line:
            assert one.id == at(one.ref)
            stood = before.get(one.id)
            if stood is not None and stood.parent is not None:
                assert one.parent == stood.parent
        known |= {one.id: one for one in line}
        known = {one.id: one for one in known.values() if one.ref not in forgotten}


def test_ancestors() -> None:
    line = made("c", "p", "r")
    known = {one.id: one for one in line}
    assert names(ancestors(line[0], known)) == "p r"
    assert names(ancestors(line[2], known)) == ""
    assert names(ancestors(line[0], {})) == ""
    del known[at("r")]
    assert names(ancestors(line[0], known)) == "p"


def test_ancestors_have_an_end() -> None:
    one, two = made("a", "b")[:2]
    circle = {one.id: one, two.id: replace(two, parent=one.id)}
    assert len(list(ancestors(one, circle))) == DEEPEST
