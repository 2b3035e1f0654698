"""The rules as values: secrets that do not show themselves, and which policy a name has."""

from __future__ import annotations

from budgetd.core.policy import KeyPolicy, Provider, Rules, Secret, which


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("sk-very-private")
    provider = Provider("p", {}, credential=secret)
    for text in (repr(secret), str(secret), f"{secret}", repr(provider)):
        assert "private" not in text
    assert secret.reveal() == "sk-very-private"


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_an_exact_name_comes_before_a_pattern_and_patterns_in_their_order() -> None:
    one, wide, narrow = KeyPolicy("agent-1"), KeyPolicy("agent-*"), KeyPolicy("agent-2?")
    rules = Rules({}, {"agent-1": one}, "default", patterns=(wide, narrow))
    assert rules.key("agent-1") is one
    assert rules.key("agent-2") is wide
    assert rules.key("agent-23") is wide
    assert rules.key("Agent-2") is None  # names are as they are written
    assert rules.key("other") is None


def test_which_of_several_names_stands_for_one() -> None:
    names = ("ci-*", "ci-1", "c*", "[c]*-2")
    assert which(names, "ci-1") == "ci-1"  # itself, wherever it stands
    assert which(names, "ci-2") == "ci-*"  # else the first that matches
    assert which(names, "cd") == "c*"
    assert which(names, "ci-*") == "ci-*"
    assert which(names, "CI-1") is None
    assert which((), "ci-1") is None


def test_what_is_a_pattern() -> None:
    assert all(KeyPolicy(name).is_pattern for name in ("agent-*", "agent-?", "agent-[12]"))
    assert not KeyPolicy("agent-1").is_pattern
