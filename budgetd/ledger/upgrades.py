"""What a migration does to the rows of an older file that a list of tables cannot say.

Each function runs once, inside the migration's transaction, on a ledger that may hold millions of
calls: a few passes over the rows in their order, indexes last, nothing looked up row by row from
here.
"""

from __future__ import annotations

import sqlite3

from budgetd.core.sessions import session_id

NAME_SESSIONS = (
    """
    CREATE TEMP TABLE named (
        key TEXT, ref TEXT, id TEXT, started INTEGER, last INTEGER, newest TEXT, PRIMARY KEY (key, ref)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO named SELECT key, session, session_id(key, session), min(at), max(at), max(id)
    FROM call WHERE session IS NOT NULL GROUP BY key, session
    """,
    """
    UPDATE call SET session = (SELECT id FROM named WHERE key = call.key AND ref = call.session)
    WHERE session IS NOT NULL
    """,
    # Side calls were not told apart then, so none is numbered as a turn.
    """
    INSERT INTO turn (session, call, at, number, kind, cause)
    SELECT c.session, c.id, max(a.ended), 0, 'turn', iif(c.retry_of IS NULL, 'work', 'retry')
    FROM attempt a CROSS JOIN call c ON c.id = a.call
    WHERE c.session IS NOT NULL AND a.state <> 'open'
        AND (a.state <> 'not_sent' OR a.id IN (SELECT attempt FROM adjustment))
    GROUP BY c.id ORDER BY 1, 2
    """,
    "CREATE TEMP TABLE counted (id TEXT PRIMARY KEY, calls INTEGER) WITHOUT ROWID",
    "INSERT INTO counted SELECT session, count(*) FROM turn GROUP BY session",
    "CREATE TEMP TABLE spent (id TEXT PRIMARY KEY, cost INTEGER, notional INTEGER) WITHOUT ROWID",
    """
    INSERT INTO spent
    SELECT c.session, sum(iif(x.money = 'real', x.cost, 0)), sum(iif(x.money = 'real', 0, x.cost))
    FROM (
        SELECT call, money, cost FROM attempt
        UNION ALL SELECT a.call, a.money, j.amount FROM adjustment j JOIN attempt a ON a.id = j.attempt
    ) x CROSS JOIN call c ON c.id = x.call WHERE c.session IS NOT NULL GROUP BY c.session
    """,
    """
    INSERT INTO session (id, key, ref, source, client, root, label, model, started, last, calls,
        cost, notional, tree_last, tree_calls, tree_cost, tree_notional)
    SELECT n.id, n.key, n.ref, 'url', c.client, n.id, c.label, c.model, n.started, n.last,
        coalesce(t.calls, 0), s.cost, s.notional, n.last, coalesce(t.calls, 0), s.cost, s.notional
    FROM named n CROSS JOIN call c ON c.id = n.newest JOIN spent s ON s.id = n.id
        LEFT JOIN counted t ON t.id = n.id
    ORDER BY n.id
    """,
    "DROP TABLE named",
    "DROP TABLE counted",
    "DROP TABLE spent",
)


def name_sessions(db: sqlite3.Connection) -> None:
    """A call's session was the word that its URL gave: make it the session's identifier, with a row
    for each session, one for each of its calls, and the sums of what was spent.
    """
    if db.execute("SELECT 1 FROM call WHERE session IS NOT NULL LIMIT 1").fetchone() is None:
        return
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'session' AND sql LIKE 'CREATE INDEX%'"
    ).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    db.create_function("session_id", 2, session_id, deterministic=True)
    for step in NAME_SESSIONS:
        db.execute(step)
    for _, made in indexes:  # again, in one sorted pass each
        db.execute(made)
