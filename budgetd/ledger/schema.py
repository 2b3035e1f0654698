"""The ledger's tables and their migrations.

Money columns are pico-dollars in STRICT tables: a fraction cannot be stored and a sum that
overflows raises. Instants are milliseconds since 1970 in UTC. `user_version` counts the migrations
that ran; each runs once, in one transaction, and may end with what SQL alone cannot do.

A *call* is what an agent asked; its *attempts* are what was sent for it. An attempt is `open` while
its money is held, and ends as `settled`, `uncertain` (charged by estimate), `known_zero` or
`not_sent`. A `charge` ties an attempt to every window it was reserved in, so that it settles there
whenever it ends. `tally` is the same money by hour, kept so that no view ever has to read the
attempts themselves.

A call may belong to a *session*, and then leaves a *turn* there when it has cost something or might
have. A session's sums are those of its own calls, and a root keeps those of its whole tree beside
them. A turn costs what its call's attempts cost, with their adjustments: no money is written twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from budgetd.errors import StoreFault
from budgetd.ledger import upgrades

_FIRST = """
CREATE TABLE window (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,              -- 'key:research', 'all'
    budget TEXT NOT NULL,               -- the budget's name
    kind TEXT NOT NULL,                 -- core.windows.identity: another window is another instance
    start INTEGER NOT NULL,
    end INTEGER,                        -- NULL: never resets
    settled INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    topped_up INTEGER NOT NULL DEFAULT 0,
    UNIQUE (subject, budget, kind, start)
) STRICT;
CREATE INDEX window_by_end ON window (end);

CREATE TABLE price (
    id INTEGER PRIMARY KEY,
    card TEXT NOT NULL UNIQUE           -- JSON: provider, model, rates, source, date
) STRICT;

CREATE TABLE call (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    key TEXT NOT NULL,
    session TEXT,
    label TEXT,
    dialect TEXT NOT NULL,
    operation TEXT NOT NULL,
    client TEXT NOT NULL,
    model TEXT NOT NULL,                -- as asked for
    retry_of TEXT                       -- the call that this one repeats after a failure
) STRICT, WITHOUT ROWID;
CREATE INDEX call_by_key ON call (key, id);

CREATE TABLE attempt (
    id TEXT PRIMARY KEY,                -- '<call>.<number>': a call's attempts are neighbours
    call TEXT NOT NULL,
    at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,                -- as sent, then as answered
    money TEXT NOT NULL CHECK (money IN ('real', 'notional')),
    state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'uncertain', 'known_zero', 'not_sent')),
    hold INTEGER NOT NULL CHECK (hold >= 0),
    input_bound INTEGER NOT NULL,
    output_bound INTEGER NOT NULL,
    price INTEGER NOT NULL,             -- the card of the hold, then of the settlement
    ended INTEGER,
    cost INTEGER NOT NULL DEFAULT 0 CHECK (cost >= 0),
    estimated INTEGER NOT NULL DEFAULT 0,
    cause TEXT,                         -- why it ended as it did, where that is not plain
    status INTEGER,                     -- HTTP status from upstream
    input INTEGER, cache_read INTEGER, cache_write_5m INTEGER, cache_write_1h INTEGER,
    output INTEGER, reasoning INTEGER,
    other TEXT                          -- JSON: the rarer buckets
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_open ON attempt (id, hold) WHERE state = 'open';
CREATE INDEX attempt_orphaned ON attempt (ended) WHERE cause = 'orphaned';

CREATE TABLE charge (
    attempt TEXT NOT NULL,
    window INTEGER NOT NULL,
    PRIMARY KEY (attempt, window)
) STRICT, WITHOUT ROWID;

CREATE TABLE tally (
    key TEXT NOT NULL,
    hour INTEGER NOT NULL,              -- hours since 1970
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    money TEXT NOT NULL,
    calls INTEGER NOT NULL DEFAULT 0,
    cost INTEGER NOT NULL DEFAULT 0,
    estimated_cost INTEGER NOT NULL DEFAULT 0,
    retry_cost INTEGER NOT NULL DEFAULT 0,
    input INTEGER NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0,
    output INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (key, hour, provider, model, money)
) STRICT, WITHOUT ROWID;
CREATE INDEX tally_by_hour ON tally (hour);

CREATE TABLE adjustment (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    attempt TEXT NOT NULL,
    amount INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE INDEX adjustment_by_attempt ON adjustment (attempt);

CREATE TABLE topup (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    window INTEGER NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    note TEXT NOT NULL
) STRICT;

CREATE TABLE refusal (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    key TEXT NOT NULL,
    reason TEXT NOT NULL,               -- 'spent', 'busy', 'stopped', 'observed'
    detail TEXT NOT NULL                -- JSON: budgets and figures
) STRICT, WITHOUT ROWID;
CREATE INDEX refusal_by_key ON refusal (key, id);

CREATE TABLE stop (
    subject TEXT PRIMARY KEY,           -- 'key:research', 'all'
    at INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL               -- the instant of the last reservation: a start believes no earlier time
) STRICT;
INSERT INTO clock VALUES (1, 0);

CREATE TABLE token (
    hash TEXT PRIMARY KEY,              -- SHA-256 of the token
    key TEXT NOT NULL,
    hint TEXT NOT NULL,                 -- its first characters
    issued INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;
"""

_SECOND = """
ALTER TABLE call ADD COLUMN kind TEXT NOT NULL DEFAULT 'turn';  -- core.sessions.Kind

-- A budget of a session mostly never ends: the few windows of keys and labels are found among millions.
DROP INDEX window_by_end;
CREATE INDEX window_by_end ON window (end, subject);

CREATE TABLE session (
    id TEXT PRIMARY KEY,                -- core.sessions.session_id of key and ref
    key TEXT NOT NULL,
    ref TEXT NOT NULL,                  -- the client's own name for it
    source TEXT NOT NULL,               -- core.sessions.Source, of its newest call
    client TEXT NOT NULL,
    parent TEXT,                        -- a session that has a row; once set it stays
    root TEXT NOT NULL,                 -- a root is its own
    label TEXT,                         -- the newest that was given
    model TEXT NOT NULL,                -- as asked for by its newest turn; '': it has made no call
    started INTEGER NOT NULL,
    last INTEGER NOT NULL,              -- when its newest call ended; before that, when it was first named
    calls INTEGER NOT NULL DEFAULT 0,   -- its rows in `turn`
    turns INTEGER NOT NULL DEFAULT 0,   -- the highest number among them
    cost INTEGER NOT NULL DEFAULT 0,    -- of its own calls, adjustments included
    notional INTEGER NOT NULL DEFAULT 0,
    tree_last INTEGER NOT NULL DEFAULT 0,       -- a root's own and all its descendants'; 0 where there is a parent
    tree_calls INTEGER NOT NULL DEFAULT 0,
    tree_cost INTEGER NOT NULL DEFAULT 0,
    tree_notional INTEGER NOT NULL DEFAULT 0,
    context INTEGER NOT NULL DEFAULT 0, -- input and output tokens of its newest turn that reported them
    system INTEGER NOT NULL DEFAULT 0,  -- and those of its system prompt and tools
    cached INTEGER NOT NULL DEFAULT 0,  -- 1: a provider's cache was read or written
    suspicion TEXT                      -- JSON of core.loops.Suspicion at its newest turn; NULL: none
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_root ON session (root);
CREATE INDEX session_by_ref ON session (ref);
CREATE INDEX session_by_last ON session (last);
CREATE INDEX tree_by_last ON session (tree_last) WHERE parent IS NULL;
CREATE INDEX tree_of_key_by_last ON session (key, tree_last) WHERE parent IS NULL;

CREATE TABLE turn (
    session TEXT NOT NULL,
    call TEXT NOT NULL,                 -- call ids sort by time
    at INTEGER NOT NULL,                -- when it ended
    number INTEGER NOT NULL,            -- among the turns, from 1; 0: no turn, or nobody saw its end
    kind TEXT NOT NULL,                 -- core.sessions.Kind
    cause TEXT NOT NULL,                -- core.causes.Cause: what all of its cost belongs to, if not 'work'
    cold INTEGER NOT NULL DEFAULT 0,    -- pico-dollars, within its cost
    reread INTEGER NOT NULL DEFAULT 0,
    system INTEGER, history INTEGER, results INTEGER, user INTEGER,     -- tokens of input; NULL: not reported
    output INTEGER,
    resent INTEGER NOT NULL DEFAULT 0,  -- tokens of input that were read in an earlier call too
    kept INTEGER NOT NULL DEFAULT 0,    -- of a turn: items of the earlier history that were still there
    provider TEXT, model TEXT,          -- of its checkpoint, as asked for; NULL: it has none
    chain BLOB, items INTEGER, head BLOB, answer INTEGER,       -- as ledger.recall packs them
    suspicion TEXT,                     -- JSON of core.loops.Suspicion
    brought TEXT,                       -- JSON: place in the history, tool and tokens of each new tool result
    PRIMARY KEY (session, call)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from a version to the next: SQL, then what SQL alone cannot do."""

    script: str
    then: Callable[[sqlite3.Connection], None] | None = None


MIGRATIONS: tuple[Migration, ...] = (
    Migration(_FIRST),
    Migration(_SECOND, upgrades.name_sessions),
)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the tables up to date; returns the version. Raises StoreFault for a file from a newer
    budgetd, sqlite3.Error for one that cannot be brought up to date: it is then as it was.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = len(MIGRATIONS)
    if version > newest:
        raise StoreFault(
            f"the ledger is of version {version} and this budgetd knows {newest}: run a newer budgetd"
        )
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;{migration.script}")
            if migration.then is not None:
                migration.then(connection)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return newest
