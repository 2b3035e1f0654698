"""What the daemon reads of its sessions at start, and the form in which the ledger keeps it.

A session goes on after a restart: its next request is recognised by the beginnings that a provider
has read before (checkpoints), and is bounded and priced by them. The most recently active sessions
are read, with those above them in their trees, and of each a few checkpoints; both bounds are the
caller's. Digests are of 63 bits, as many as a column holds; what is too long for its column is cut,
because a settlement must never fail for it.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from struct import Struct

from budgetd.core.estimate import Media
from budgetd.core.sessions import Session
from budgetd.core.transcript import Checkpoint, Head
from budgetd.core.windows import Instant

LOOK_BACK = 1_000  # newest rows of a session among which its checkpoints are looked for

_HEAD = Struct("<QIQIQI")  # digest and size in bytes of system, tools and the rest
_MEDIA = Struct("<HHHI")  # behind it, where it is known: images, documents, sounds, their bytes
_DIGEST = 2**63 - 1
_SIZE = 2**32 - 1
_COUNT = 2**16 - 1

_SESSION = (
    "SELECT id, key, ref, source, client, root, parent, last, calls, turns, context, system, cached"
    " FROM session"
)
NEWEST = f"{_SESSION} ORDER BY last DESC, id DESC LIMIT ?"
ABOVE = f"{_SESSION} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608  our own words
POINTS = (
    "SELECT head, chain, items, provider, model, system + history + results + user, output, at, answer"
    " FROM (SELECT * FROM turn WHERE session = ? ORDER BY call DESC LIMIT ?)"
    " WHERE chain IS NOT NULL LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Recalled:
    """A session as it was left. `turns` is the number of its newest turn; `context` the tokens that
    this read and wrote, `system` those of its system prompt and tools; `cached`: its provider's
    cache was read or written. `checkpoints`: the oldest first.
    """

    session: Session
    last: Instant
    calls: int
    turns: int
    context: int
    system: int
    cached: bool
    checkpoints: tuple[Checkpoint, ...]


def load(db: sqlite3.Connection, sessions: int, checkpoints: int) -> list[Recalled]:
    """The most recently active sessions, the newest first; behind them those above them that are
    not among them. At most so many checkpoints of each.
    """
    rows = db.execute(NEWEST, (sessions,)).fetchall()
    known = {row[0] for row in rows}
    missing = {row[6] for row in rows} - known - {None}
    while missing:
        found = db.execute(ABOVE, (json.dumps(sorted(missing)),)).fetchall()
        known |= missing
        missing = {row[6] for row in found} - known - {None}
        rows += found
    heads: dict[bytes, tuple[Head, Media | None]] = {}  # a session hardly changes its own
    return [_recalled(db, row, checkpoints, heads) for row in rows]


def _recalled(
    db: sqlite3.Connection,
    row: tuple,  # type: ignore[type-arg]  # SQL knows the types
    most: int,
    heads: dict[bytes, tuple[Head, Media | None]],
) -> Recalled:
    points = []
    for point in db.execute(POINTS, (row[0], LOOK_BACK, most)):
        blob, chain, items, provider, model, read, written, at, answer = point
        known = heads.get(blob)
        if known is None:
            known = heads[blob] = unpacked(blob)
        head, media = known
        points.append(
            Checkpoint(chain, items, provider, model, head, read, written, at, answer, media)
        )
    last, calls, turns, context, system, cached = row[7:]
    return Recalled(
        Session(*row[:7]),
        last,
        calls,
        turns,
        context,
        system,
        bool(cached),
        tuple(reversed(points)),
    )


def packed(point: Checkpoint) -> tuple[bytes, int]:
    """A checkpoint's head, with what media was in the history, and its answer, as columns."""
    parts: list[int] = []
    for digest, size in (point.head.system, point.head.tools, point.head.rest):
        parts += (digest & _DIGEST, min(size, _SIZE))
    head = _HEAD.pack(*parts)
    media = point.media
    if media is not None:
        counts = (min(count, _COUNT) for count in (media.images, media.documents, media.audio))
        head += _MEDIA.pack(*counts, min(media.inline_bytes, _SIZE))
    return head, point.answer & _DIGEST


def unpacked(blob: bytes) -> tuple[Head, Media | None]:
    """What `packed` made of a head and the media."""
    system, system_size, tools, tools_size, rest, rest_size = _HEAD.unpack_from(blob)
    head = Head((system, system_size), (tools, tools_size), (rest, rest_size))
    media = Media(*_MEDIA.unpack_from(blob, _HEAD.size)) if len(blob) > _HEAD.size else None
    return head, media
