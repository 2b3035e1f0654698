"""Sessions: one conversation each, in a tree of sub-agents, as values.

Owns what a session is called and how calls of it are told apart. An id is a claim of the client
that sends it and means something only together with the key that pays: `session_id` mixes the two,
so that a key cannot name another key's session, and so that the same claim gives the same session
before and after a restart without anything being looked up. Which headers say what is not known
here.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

# Where the identity comes from, the most explicit first. "prefix": nothing was said, the
# conversation itself tells.
Source = Literal["header", "url", "client", "cache_key", "user_id", "counter", "prefix"]
# "side": title generation, summaries, memory extraction. A sub-agent is a session of its own.
Kind = Literal["turn", "side", "heartbeat", "cron"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_ID_LENGTH = 16
DEEPEST = 32  # ancestors that are followed: agents do not nest so deep, but claims can


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of its session. `id` None: nothing, its prefix must tell. `parents` are
    the sessions above it, the nearest first, the root last as far as the request knows them.
    """

    id: str | None = None
    source: Source = "prefix"
    parents: tuple[str, ...] = ()
    kind: Kind = "turn"


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `id` is ours and `ref` the client's own, which is unique within its key;
    `parent` and `root` are ids of ours, a root is its own root.
    """

    id: str
    key: str
    ref: str
    source: Source
    client: str
    root: str
    parent: str | None = None

    @property
    def is_agent(self) -> bool:
        """Whether it is somebody's sub-agent."""
        return self.parent is not None


def session_id(key: str, ref: str) -> str:
    """The 16-character identifier of a key's session."""
    mixed = blake2b(f"{key}\0{ref}".encode("utf-8", "surrogatepass"), digest_size=10).digest()
    number = int.from_bytes(mixed, "big")
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in reversed(range(_ID_LENGTH)))


def lineage(
    key: str, ref: str, claim: Claim, client: str, known: Mapping[str, Session]
) -> tuple[Session, ...]:
    """A session and those above it, the root last; what is in `known` (by id) is taken from there.
    A line whose upper end is not known any more ends earlier, but its root is right.

    A parent is believed once: what is known of a session wins over what is claimed later. A claim
    that would make a session its own ancestor ends the line before it does.
    """
    me = known.get(session_id(key, ref))
    if me is not None and not claim.parents and me.parent is None and me.source == claim.source:
        return (me,)  # as nearly always
    refs: dict[str, str] = {}  # by id, from the session upwards
    missing: str | None = None  # the next parent, where it is forgotten: the claim may name it
    for one in (ref, *claim.parents[:DEEPEST]):
        at = session_id(key, one)
        if at in refs or missing not in {None, at}:
            continue
        found = known.get(at)
        if found is not None and _is_below(found, refs, known):
            break
        refs[at], missing = one, None
        if found is not None and found.parent is not None:
            refs |= {above.id: above.ref for above in ancestors(found, known)}
            missing = known[next(reversed(refs))].parent
            if missing is None:
                break
    ids = list(refs)
    top = known.get(ids[-1])  # its own parents may be forgotten here, but not what they were
    root, beyond = (top.root, top.parent) if top is not None else (ids[-1], None)
    if beyond in refs:
        root, beyond = ids[-1], None
    line = []
    for at, parent in zip(ids, [*ids[1:], beyond], strict=True):
        found = known.get(at)
        source = claim.source if found is None or at == ids[0] else found.source
        family = client if found is None else found.client
        line.append(Session(at, key, refs[at], source, family, root, parent))
    return tuple(line)


def _is_below(session: Session, ids: Container[str], known: Mapping[str, Session]) -> bool:
    """Whether one of these is above a session, even if it is forgotten itself."""
    family = (session, *ancestors(session, known))
    return any(one.parent in ids or one.root in ids for one in family)


def ancestors(session: Session, known: Mapping[str, Session]) -> Iterator[Session]:
    """The sessions above one, the nearest first, as far as they are known."""
    above = session.parent
    for _ in range(DEEPEST):
        found = known.get(above) if above is not None else None
        if found is None:
            return
        yield found
        above = found.parent
