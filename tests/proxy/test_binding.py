"""Which budgets bind a call: by key, label, model, session, and every pattern of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from budgetd.core.budgets import Budget, Money
from budgetd.core.policy import KeyPolicy, Rules
from budgetd.core.sessions import Claim, Session, lineage, session_id
from budgetd.core.windows import Calendar, Total
from budgetd.proxy import binding
from budgetd.proxy.binding import Bindings

DAY = Calendar("day", "UTC")


def budget(name: str, subject: str, **more: Any) -> Budget:
    """A budget of a dollar in total."""
    return Budget(name, subject, 10**12, more.pop("window", Total()), **more)


OWN = budget("total", "key:a")
PLAN = budget("plan", "key:a", counts="notional")
OPUS = budget("opus", "key:a", models=("claude-opus-*", "*/claude-opus-*"))
TREE = budget("session", "key:a", per="session")
LONE = budget("agent", "key:a", per="agent", models=("gpt-*",))
PLAN_TREE = budget("flat", "key:a", per="session", counts="notional")
ALL = budget("day", "all", window=DAY)
ANY = budget("any session", "all", per="session")
NIGHT = budget("day", "session:nightly", window=DAY)
CI = budget("total", "session:ci-*")
FEW = budget("few", "session:ci-*", models=("gpt-*",))
A = KeyPolicy(
    "a",
    budgets=(OWN, PLAN, OPUS, TREE, LONE, PLAN_TREE),
    sessions=(("ci-*", (CI, FEW)), ("nightly", (NIGHT,)), ("ci-9", ()), ("*ly", (CI,))),
)
BOTS = KeyPolicy(
    "bot-*",
    budgets=(budget("5h of *", "key:bot-*", models=("*",)), replace(TREE, subject="key:bot-*")),
    sessions=(("*", (budget("total", "session:*"),)),),
)
RULES = Rules(
    {},
    {"a": A},
    "a",
    patterns=(BOTS,),
    everything=(ALL, ANY),
    labels=(
        ("ci-*", (budget("day", "label:ci-*", window=DAY), budget("few", "label:ci-*", models=("x",)))),
        ("thesis", (budget("week", "label:thesis"),)),
        ("ci-main", ()),
        ("*", (budget("rest", "label:*", counts="notional"),)),
    ),
)  # fmt: skip  # a table of labels reads best in rows


def path(key: str, *refs: str) -> tuple[Session, ...]:
    """A session and those above it, the root last."""
    return lineage(key, refs[0], Claim(refs[0], "header", refs[1:]), "unknown", {})


def named(found: tuple[Budget, ...]) -> list[tuple[str, str]]:
    """What they are called and what they sit on."""
    return [(one.name, one.subject) for one in found]


def sits(kind: str, key: str, ref: str) -> str:
    """The subject of a session of this key."""
    return f"{kind}:{session_id(key, ref)}"


# --------------------------------------------------------------------------- whatever the session


STANDING = (
    ("a plain call", "real", None, "gpt-5", [("total", "key:a"), ("day", "all")]),
    (
        "a model that counts more",
        "real",
        None,
        "claude-opus-4-5",
        [("total", "key:a"), ("opus", "key:a"), ("day", "all")],
    ),
    (
        "at an aggregator",
        "real",
        None,
        "anthropic/claude-opus-4-5",
        [("total", "key:a"), ("opus", "key:a"), ("day", "all")],
    ),
    ("compared as written", "real", None, "Claude-Opus-4-5", [("total", "key:a"), ("day", "all")]),
    ("flat-rate money", "notional", None, "gpt-5", [("plan", "key:a")]),
    (
        "a label by its name",
        "real",
        "thesis",
        "gpt-5",
        [("total", "key:a"), ("day", "all"), ("week", "label:thesis")],
    ),
    (
        "a label by a pattern",
        "real",
        "ci-7",
        "gpt-5",
        [("total", "key:a"), ("day", "all"), ("day", "label:ci-7")],
    ),
    (
        "a label's model",
        "real",
        "ci-7",
        "x",
        [("total", "key:a"), ("day", "all"), ("day", "label:ci-7"), ("few", "label:ci-7")],
    ),
    (
        "a label that is let off its pattern",
        "real",
        "ci-main",
        "x",
        [("total", "key:a"), ("day", "all")],
    ),
    (
        "a label's flat-rate money",
        "notional",
        "other",
        "x",
        [("plan", "key:a"), ("rest", "label:other")],
    ),
)


@pytest.mark.parametrize(
    ("money", "label", "model", "expected"), [s[1:] for s in STANDING], ids=[s[0] for s in STANDING]
)
def test_what_binds_whatever_the_session(
    money: Any, label: str | None, model: str, expected: list[tuple[str, str]]
) -> None:
    found = Bindings(RULES)
    for _ in range(2):  # the second time from memory
        assert named(found.standing("a", A, money, label, model)) == expected


def test_every_question_has_an_answer_of_its_own() -> None:
    found = Bindings(RULES)
    questions: tuple[tuple[Money, str, str], ...] = (
        ("real", "ci-1", "x"),
        ("real", "ci-2", "x"),
        ("real", "ci-1", "y"),
        ("notional", "ci-1", "x"),
    )
    answers = {question: found.standing("a", A, *question) for question in questions}
    assert len(set(answers.values())) == len(answers)
    for question, answer in answers.items():
        assert found.standing("a", A, *question) == answer


def test_a_name_under_a_pattern_has_budgets_to_itself() -> None:
    found = Bindings(RULES)
    assert named(found.standing("bot-7", BOTS, "real", None, "m")) == [
        ("5h of *", "key:bot-7"),
        ("day", "all"),
    ]
    assert named(found.standing("bot-8", BOTS, "real", None, "m"))[0][1] == "key:bot-8"


def test_what_sits_on_a_key_is_shown_for_all_models_and_without_its_sessions() -> None:
    found = Bindings(RULES)
    assert found.of_key("a", A, "real") == (OWN, OPUS, ALL)
    assert found.of_key("a", A, "notional") == (PLAN,)


# ------------------------------------------------------------------------------------ by session


def test_without_a_session_nothing_binds_by_it() -> None:
    assert Bindings(RULES).of_sessions("a", A, "real", "gpt-5", ()) == ()


def test_a_session_is_bound_as_a_tree_and_alone() -> None:
    found = Bindings(RULES)
    tree = [("session", sits("session", "a", "top")), ("any session", sits("session", "a", "top"))]
    for refs in (("top",), ("mid", "top"), ("low", "mid", "top")):
        bound = found.of_sessions("a", A, "real", "claude-x", path("a", *refs))
        assert named(bound) == tree
        bound = found.of_sessions("a", A, "real", "gpt-5", path("a", *refs))
        assert named(bound) == [tree[0], ("agent", sits("agent", "a", refs[0])), tree[1]]
        assert {one.limit for one in bound} == {10**12}
    flat = found.of_sessions("a", A, "notional", "gpt-5", path("a", "top"))
    assert named(flat) == [("flat", sits("session", "a", "top"))]


def test_templates_are_bound_to_nothing_yet() -> None:
    found = Bindings(RULES)
    assert found.templates("a", A, "real", "claude-x") == (TREE, ANY)
    assert found.templates("a", A, "real", "gpt-5") == (TREE, LONE, ANY)
    assert found.templates("a", A, "notional", "gpt-5") == (PLAN_TREE,)


NAMED: tuple[tuple[str, tuple[str, ...], list[tuple[str, str]]], ...] = (
    ("by its name", ("nightly",), [("day", "nightly")]),
    ("by a pattern", ("ci-1",), [("total", "ci-1"), ("few", "ci-1")]),
    ("a name before its pattern", ("ci-9",), []),
    ("below one that is named", ("x", "nightly"), [("day", "nightly")]),
    (
        "each on the way up",
        ("ci-1", "x", "nightly", "ci-2"),
        [
            ("total", "ci-1"),
            ("few", "ci-1"),
            ("day", "nightly"),
            ("total", "ci-2"),
            ("few", "ci-2"),
        ],
    ),
    ("a stranger", ("other",), []),
    ("the first pattern that matches", ("weekly",), [("total", "weekly")]),
)


@pytest.mark.parametrize(("refs", "expected"), [n[1:] for n in NAMED], ids=[n[0] for n in NAMED])
def test_sessions_that_are_named_bind_what_is_below_them(
    refs: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    alone = replace(A, budgets=())
    rules = replace(RULES, keys={"a": alone}, everything=())
    bound = Bindings(rules).of_sessions("a", alone, "real", "gpt-5", path("a", *refs))
    assert named(bound) == [(name, sits("session", "a", ref)) for name, ref in expected]
    other = Bindings(rules).of_sessions("a", alone, "real", "claude", path("a", *refs))
    assert [one.name for one in other] == [name for name, _ in expected if name != "few"]


def test_the_same_name_under_two_keys_is_two_sessions() -> None:
    found = Bindings(RULES)
    one = found.of_sessions("bot-1", BOTS, "real", "m", path("bot-1", "nightly"))
    other = found.of_sessions("bot-2", BOTS, "real", "m", path("bot-2", "nightly"))
    assert [b.name for b in one] == ["session", "any session", "total"]
    assert not {b.subject for b in one} & {b.subject for b in other}


def test_no_two_budgets_of_a_call_share_subject_and_name() -> None:
    same = replace(ANY, name="session")
    key = replace(A, budgets=(TREE,), sessions=(("top", (replace(CI, name="session"),)),))
    found = Bindings(replace(RULES, keys={"a": key}, everything=(same,)))
    bound = found.of_sessions("a", key, "real", "m", path("a", "low", "top"))
    assert [b.name for b in bound] == ["session", "session (2)", "session (3)"]
    assert len({b.subject for b in bound}) == 1
    assert found.at_session("a", key, path("a", "top")[0]) == bound


def test_what_sits_on_a_session_itself() -> None:
    found = Bindings(RULES)
    root, child = path("a", "nightly")[0], path("a", "ci-1", "nightly")[0]
    assert named(found.at_session("a", A, root)) == [
        ("agent", sits("agent", "a", "nightly")),
        ("session", sits("session", "a", "nightly")),
        ("flat", sits("session", "a", "nightly")),
        ("any session", sits("session", "a", "nightly")),
        ("day", sits("session", "a", "nightly")),
    ]
    assert named(found.at_session("a", A, child)) == [
        ("agent", sits("agent", "a", "ci-1")),
        ("total", sits("session", "a", "ci-1")),
        ("few", sits("session", "a", "ci-1")),
    ]


def test_a_key_that_observes_observes_all_that_is_its_own() -> None:
    key = replace(A, observe=True)
    found = Bindings(replace(RULES, keys={"a": key}))
    standing = found.standing("a", key, "real", "thesis", "gpt-5")
    assert {one.subject: one.observe for one in standing} == {
        "key:a": True,
        "all": False,
        "label:thesis": False,
    }
    bound = found.of_sessions("a", key, "real", "m", path("a", "nightly"))
    assert [(one.name, one.observe) for one in bound] == [
        ("session", True),
        ("any session", False),
        ("day", True),
    ]
    assert [one.observe for one in found.at_session("a", key, path("a", "nightly")[0])] == [
        True,
        True,
        True,
        False,
        True,
    ]


# ---------------------------------------------------------------------------------------- bounds


def test_invented_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "MEMO", 50)
    found = Bindings(RULES)
    for number in range(200):
        for key, label, model in (
            (f"bot-{number}", None, "m"),
            ("bot-1", f"ci-{number}", "m"),
            ("bot-1", None, f"gpt-{number}"),
        ):
            found.standing(key, BOTS, "real", label, model)
            found.templates(key, BOTS, "real", model)
    assert 0 < len(found._standing) <= 50
    assert 0 < len(found._templates) <= 50


def test_models_and_labels_that_no_budget_asks_for_are_not_remembered() -> None:
    plain = KeyPolicy("a", budgets=(OWN, TREE))
    found = Bindings(Rules({}, {"a": plain}, "a"))
    for number in range(20):
        assert found.standing("a", plain, "real", f"l-{number}", f"m-{number}") == (OWN,)
        assert found.templates("a", plain, "real", f"m-{number}") == (TREE,)
    assert len(found._standing) == len(found._templates) == 1
