"""Retries are known by their bytes, for a while."""

from __future__ import annotations

from budgetd.proxy.repeats import MEMORY_MS, MOST, MOST_ALIKE, Repeats


def test_a_failed_call_is_known_when_it_comes_again() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    assert repeats.previous(mark, {}, 0) is None
    repeats.note(mark, "c1", 0, well=False)
    assert repeats.previous(mark, {}, 0) == "c1"
    assert repeats.previous(repeats.mark("team", b"body"), {}, MEMORY_MS) == "c1"
    assert repeats.previous(repeats.mark("team", b"bodY"), {}, 0) is None
    assert repeats.previous(repeats.mark("other", b"body"), {}, 0) is None
    assert repeats.previous(mark, {}, MEMORY_MS + 1) is None


def test_after_a_good_end_the_same_words_are_a_new_call() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    repeats.note(mark, "c1", 0, well=False)
    repeats.note(mark, "c2", 1, well=True, repeats="c1")
    assert repeats.previous(mark, {}, 2) is None


def test_a_good_end_of_one_leaves_the_others_of_the_same_words_to_come_again() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    for call in ("c1", "c2"):
        repeats.note(mark, call, 0, well=False)
    repeats.note(mark, "c3", 1, well=True)  # was under way when the others failed
    for call in ("c4", "c5"):  # both came before either had ended
        assert repeats.previous(mark, {}, 2) == "c2", call
    repeats.note(mark, "c4", 3, well=True, repeats="c2")
    assert repeats.previous(mark, {}, 3) == "c1"
    repeats.note(mark, "c5", 3, well=True, repeats="c2")
    assert repeats.previous(mark, {}, 4) is None


def test_what_was_turned_away_is_over_when_it_was_let_in() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    repeats.turned_away(mark, 0)
    assert repeats.remembers(mark, 1)
    repeats.note(mark, "c1", 1, well=True)
    assert not repeats.remembers(mark, 2)


def test_of_the_same_words_only_so_many_are_kept() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    for number in range(MOST_ALIKE + 5):
        repeats.note(mark, f"c{number}", 0, well=False)
    assert len(repeats._failed[mark]) == MOST_ALIKE
    assert "c4" not in repeats._failed[mark]


def test_a_client_that_counts_is_believed() -> None:
    repeats = Repeats()
    mark = repeats.mark("team", b"body")
    assert repeats.previous(mark, {"x-stainless-retry-count": "1"}, 0) == "unknown"
    assert repeats.previous(mark, {"x-stainless-retry-count": "0"}, 0) is None
    assert repeats.previous(mark, {"x-stainless-retry-count": ""}, 0) is None


def test_what_was_turned_away_cost_nothing_and_is_no_retry_when_it_comes_again() -> None:
    repeats, counted = Repeats(), {"x-stainless-retry-count": "1"}
    mark = repeats.mark("team", b"body")
    repeats.turned_away(mark, 0)
    assert repeats.previous(mark, counted, 1) is None
    repeats.note(mark, "c1", 2, well=False)  # let in, it failed: now it is one
    repeats.turned_away(mark, 3)
    assert repeats.previous(mark, counted, 4) == "c1"


def test_the_oldest_are_forgotten_and_the_words_are_never_kept() -> None:
    repeats = Repeats()
    for number in range(MOST + 5):
        repeats.note(repeats.mark("team", b"%d" % number), str(number), 0, well=False)
    assert len(repeats._failed) == MOST
    assert repeats.previous(repeats.mark("team", b"4"), {}, 0) is None
    assert repeats.previous(repeats.mark("team", b"5"), {}, 0) == "5"
    mark = repeats.mark("team", b"secret words")
    assert mark[0] == "team"
    assert isinstance(mark[1], int)
