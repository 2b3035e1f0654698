"""Paths: labels in front, operations, and the dialect to complain in."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from budgetd.errors import CallerFault
from budgetd.wire.dialects import DIALECTS, Labels, dialect_for, method_of, split_labels, target


@pytest.mark.parametrize(
    ("path", "labels", "rest"),
    [
        ("/v1/messages", Labels(), "/v1/messages"),
        ("/", Labels(), "/"),
        ("/k", Labels(), "/k"),
        ("/k/a/v1/messages", Labels(key="a"), "/v1/messages"),
        ("/k/a", Labels(key="a"), "/"),
        ("/k/a/", Labels(key="a"), "/"),
        ("/k/a/s/b/p/c/l/d/v1/x", Labels("a", "b", "c", "d"), "/v1/x"),
        ("/l/d/k/a/v1/x", Labels(key="a", label="d"), "/v1/x"),
        ("/s/a%2Fb%20c/v1", Labels(session="a/b c"), "/v1"),
        ("/s/%E6%BC%A2/v1", Labels(session="漢"), "/v1"),
        ("/x/a/v1", Labels(), "/x/a/v1"),
        ("/k/v1/v1/messages", Labels(key="v1"), "/v1/messages"),
        ("k/a", Labels(), "k/a"),
    ],
)
def test_labels(path: str, labels: Labels, rest: str) -> None:
    assert split_labels(path, 128) == (labels, rest)


@pytest.mark.parametrize(
    "path", ["/k//v1", "/k/", "/k/a/k/b/v1", "/k/%00/v1", "/s/%0d%0a/v1", "/s/" + "x" * 129]
)
def test_bad_labels(path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        split_labels(path, 128)
    assert (caught.value.status, caught.value.code) == (400, "bad_label")


def aim(method: str, path: str, **headers: str) -> tuple[str, str, str] | None:
    found = target(method, path, CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}))
    return (found.dialect.name, found.operation.name, found.path) if found else None


def test_targets() -> None:
    assert aim("POST", "/v1/chat/completions") == ("openai_chat", "chat", "/v1/chat/completions")
    assert aim("POST", "/v1/v1/messages") == ("anthropic", "messages", "/v1/messages")
    assert aim("POST", "/chat/completions") == ("openai_chat", "chat", "/v1/chat/completions")
    assert aim("GET", "/models") == ("openai_chat", "models", "/v1/models")
    assert aim("POST", "/v1/messages/count_tokens") == (
        "anthropic",
        "count_tokens",
        "/v1/messages/count_tokens",
    )
    assert aim("GET", "/v1/models") == ("openai_chat", "models", "/v1/models")
    assert aim("GET", "/v1/models", anthropic_version="1") == ("anthropic", "models", "/v1/models")
    assert aim("GET", "/v1/models/gpt%2D4") == ("openai_chat", "model", "/v1/models/gpt%2D4")
    for method, path in [
        ("GET", "/v1/messages"),
        ("POST", "/v1/models"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/chat/completions/"),
        ("GET", "/v1/models/a/b"),
        ("POST", "/"),
        ("POST", "nothing"),
        ("POST", "/V1/messages"),
    ]:
        assert aim(method, path) is None


def test_what_spends_has_one_meaning() -> None:
    listed = [(o.method, o.path) for d in DIALECTS for o in d.operations]
    assert len(set(listed)) == len(listed)


def test_the_dialect_to_complain_in() -> None:
    def name(path: str, **headers: str) -> str:
        return dialect_for(
            path, CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()})
        ).name

    assert name("/v1/messages/batches") == "anthropic"
    assert name("/v1/models", anthropic_version="1") == "anthropic"
    assert name("/x", x_api_key="k") == "anthropic"
    assert name("/v1/chat/completions") == "openai_chat"


def test_the_method_that_a_path_is_asked_by() -> None:
    asked = (
        "/v1/messages",
        "/chat/completions",
        "/v1/models",
        "/v1/responses",
        "/v1/models/gpt-4o",
    )
    assert [method_of(path) for path in asked] == ["POST", "POST", "GET", None, None]
