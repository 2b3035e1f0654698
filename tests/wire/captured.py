"""Real requests of real clients, as they were captured: their long texts filled in again.

The captures keep every header and field as sent; texts were replaced by their length, and long
lists of tools cut. `captures()` puts a text of that many bytes into each gap: the same one every
time, with all that JSON can hold (quotes, escapes, line ends, other scripts).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from budgetd.wire.dialects import target

FOLDER = Path(__file__).resolve().parent.parent / "captures"
_GAP = re.compile(r"<text: (\d+) bytes>")
_CLOTH = 'def f(x):\n\treturn "a\\n" + x  # naïve — 漢字 \U0001f600 </s> \u2028 \x7f\r\n'


@dataclass(frozen=True)
class Capture:
    """One request. `body` is None where there was none."""

    name: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    @property
    def client(self) -> str:
        """The folder: who sent it."""
        return self.name.partition("/")[0]

    @property
    def mapping(self) -> CIMultiDict[str]:
        """The headers as a server sees them."""
        return CIMultiDict(self.headers)

    @property
    def fields(self) -> dict[str, Any]:
        """The body's top level."""
        return dict(json.loads(self.body or b"{}"))


def text_of(size: int) -> str:
    """A text of exactly so many bytes."""
    whole = (_CLOTH * (size // len(_CLOTH.encode()) + 1)).encode()[:size]
    short = whole.decode(errors="ignore")
    return short + "." * (size - len(short.encode()))


def filled(value: Any) -> Any:
    """A JSON value with its gaps filled."""
    if isinstance(value, dict):
        return {name: filled(member) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(member) for member in value]
    gap = _GAP.fullmatch(value) if isinstance(value, str) else None
    return text_of(int(gap[1])) if gap else value


def captures() -> list[Capture]:
    """All of them, sorted by name."""
    return [_read(file) for file in sorted(FOLDER.glob("*/*.json"))]


def calls() -> list[Capture]:
    """Those of them that a dialect understands, and that cost money."""
    found = ((one, target(one.method, one.path, one.mapping)) for one in captures())
    return [one for one, aim in found if aim is not None and aim.operation.spends]


def _read(file: Path) -> Capture:
    kept = json.loads(file.read_text(encoding="utf-8"))
    headers = tuple(tuple(line.split(": ", 1)) for line in kept["headers"])
    body = None
    if kept["body"] is not None:
        body = json.dumps(filled(kept["body"]), ensure_ascii=False, separators=(",", ":")).encode()
    name = file.relative_to(FOLDER).with_suffix("").as_posix()
    return Capture(name, kept["method"], kept["path"], kept["query"], headers, body)
