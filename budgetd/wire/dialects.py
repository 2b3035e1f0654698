"""The dialects there are, and which one a path belongs to.

A new dialect is one module and one line in `DIALECTS`. Two of them share `GET /v1/models`:
Anthropic's clients send `anthropic-version`. Labels in front of a path (`/k/<key>`, `/s/<session>`,
`/p/<provider>`, `/l/<label>`) are cut off here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from budgetd.errors import CallerFault
from budgetd.wire import anthropic, openai_chat
from budgetd.wire.dialect import Dialect, Operation

DIALECTS: tuple[Dialect, ...] = (openai_chat.DIALECT, anthropic.DIALECT)

_LABELS = {"k": "key", "s": "session", "p": "provider", "l": "label"}
_EXACT: dict[tuple[str, str], tuple[Dialect, Operation]] = {
    (operation.method, operation.path): (dialect, operation)
    for dialect in DIALECTS
    for operation in dialect.operations
}
_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


@dataclass(frozen=True, slots=True)
class Labels:
    """What the URL says in front of the provider's path. Claims, not proofs."""

    key: str | None = None
    session: str | None = None
    provider: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A request's dialect and operation, and the provider's own path as the client wrote it (still
    percent-encoded).
    """

    dialect: Dialect
    operation: Operation
    path: str


def split_labels(path: str, longest: int) -> tuple[Labels, str]:
    """The labels in front of a raw path, and the rest of it. Raises CallerFault for a label that is
    empty, doubled or too long.
    """
    found: dict[str, str] = {}
    while len(path) > 2 and path[0] == "/" and path[2:3] == "/" and (name := _LABELS.get(path[1])):
        value, slash, rest = path[3:].partition("/")
        value = unquote(value)
        if not value or len(value) > longest or name in found or not value.isprintable():
            raise CallerFault(
                400,
                "bad_label",
                f"the {name} label in the URL must be one word of at most {longest} characters",
            )
        found[name] = value
        path = slash + rest or "/"
    return Labels(**found), path


def target(method: str, path: str, headers: Mapping[str, str]) -> Target | None:
    """What a request without its labels is asking for; None if no dialect knows it."""
    if path.startswith("/v1/v1/"):  # base_url with /v1 given to a client that adds its own
        path = path[3:]
    found = _EXACT.get((method, path))
    if (
        found is None and (method, "/v1" + path) in _EXACT
    ):  # or a base_url without /v1 to one that does not
        path = "/v1" + path
        found = _EXACT[(method, path)]
    if found is None and "/" in path.strip("/"):
        found = _EXACT.get((method, path.rpartition("/")[0] + "/*"))
    if found is None:
        return None
    dialect, operation = found
    if not operation.spends and method == "GET" and "anthropic-version" in headers:
        dialect = _BY_NAME["anthropic"]
    return Target(dialect, operation, path)


def method_of(path: str) -> str | None:
    """The method that a path is asked by; None if no dialect knows the path."""
    return next((method for method, known in _EXACT if known in {path, "/v1" + path}), None)


def dialect_for(path: str, headers: Mapping[str, str]) -> Dialect:
    """The dialect to complain in where the path is not known: by its words, else by the client's
    headers.
    """
    if "/messages" in path or "anthropic-version" in headers or "x-api-key" in headers:
        return _BY_NAME["anthropic"]
    return DIALECTS[0]
