"""The doctor's checks of this machine: Python, configuration, prices, state directory, ledger,
daemon, this shell.

Read-only: the ledger is opened so, and beside a running daemon too.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from budgetd import __version__
from budgetd.cli import banner, paper
from budgetd.cli.doctor import SAME_USER, Check, Finding, Patient
from budgetd.cli.fault import NOT_RUNNING, CommandFault
from budgetd.cli.launcher import checkout_state, start_command
from budgetd.cli.link import Link
from budgetd.cli.pricebook import OLD_DAYS, age_days, compiled
from budgetd.config.load import Loaded, load
from budgetd.config.places import state_directory
from budgetd.config.problems import ConfigError
from budgetd.ledger import desk
from budgetd.ledger.reads import read_only
from budgetd.ledger.schema import MIGRATIONS
from budgetd.ledger.store import LEDGER
from budgetd.runtime import SystemClock

BASE_URLS = {"ANTHROPIC_BASE_URL": "", "OPENAI_BASE_URL": "/v1"}
OLDEST = (3, 11)
AUDIT_PATIENCE = 600.0  # seconds: it reads the whole ledger


def python(_: Patient) -> Iterator[Finding]:
    """The interpreter, and the SQLite in it."""
    said = (
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, budgetd {__version__}"
    )
    if sys.version_info[:2] < OLDEST:
        yield Finding("fail", "python", said, "budgetd needs Python 3.11 or newer")
    elif sqlite3.sqlite_version_info < (3, 37):
        yield Finding("fail", "python", said, "budgetd needs SQLite 3.37 or newer")
    else:
        yield Finding("ok", "python", said)


def config(patient: Patient) -> Iterator[Finding]:
    """The configuration, with its warnings."""
    try:
        loaded = _loaded(patient)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("fail", "config", str(problem))
        return
    name = str(loaded.path) if loaded.path else "built-in defaults; there is no file"
    yield Finding("ok", "config", name)
    for warning in loaded.warnings:
        yield Finding("warn", "config", f"{warning.place}: {warning.message}", warning.hint)


def prices(patient: Patient) -> Iterator[Finding]:
    """The catalogue's age, and what is odd about the operator's prices."""
    loaded = maybe_loaded(patient)
    if loaded is None:
        return
    at = SystemClock().wall()
    book = compiled(loaded, at)
    age = age_days(book.as_of, at)
    said = f"{book.source}, data up to {book.as_of} ({age} days ago)"
    if age > OLD_DAYS:
        yield Finding("warn", "prices", said, "new models may be missing: budgetd prices update")
    else:
        yield Finding("ok", "prices", said)
    for warning in book.warnings:
        yield Finding("warn", "prices", warning)


def state(patient: Patient) -> Iterator[Finding]:
    """The state directory and what lies in it are private to their user."""
    directory = _state(patient)
    if directory is None:
        return
    if not directory.exists():
        yield Finding("ok", "state", f"{directory} will be made at the first start")
        return
    loose = [
        path
        for path in (directory, *sorted(directory.iterdir()))
        if path.is_file() or path == directory
        if _others_may(path, readable_only=path.name in {"README.md", ".gitignore"})
    ]
    if loose:
        names = ", ".join(path.name for path in loose[:4])
        advice = f"chmod -R go-rwx {directory}"
        yield Finding("warn", "state", f"{directory}: others may read {names}", advice)
    elif not os.access(directory, os.W_OK):
        yield Finding("fail", "state", f"{directory} is not yours to write", SAME_USER)
    else:
        yield Finding("ok", "state", f"{directory}, private")


def _others_may(path: Path, *, readable_only: bool) -> bool:
    mode = stat.S_IMODE(path.stat().st_mode)
    return bool(mode & (0o022 if readable_only else 0o077))


def daemon(patient: Patient) -> Iterator[Finding]:
    """Whether it runs, and what it says of itself."""
    link = patient.link()
    try:
        page = link.status()
    except CommandFault as fault:
        if fault.code == NOT_RUNNING:
            advice = f"start it: {start_command()}"
            yield Finding("warn", "daemon", f"not running at {link.url}", advice)
        else:
            port = urlsplit(link.url).port
            who = banner.listener(port) if port else None
            said = fault.message + (f": {who}" if who else "")
            yield Finding("fail", "daemon", said, "stop that, or change `listen:`")
        return
    yield Finding("ok", "daemon", f"{page['version']} at {link.url}")
    if page["version"] != __version__:
        said = f"it runs {page['version']}, this is {__version__}"
        yield Finding("warn", "daemon", said, "restart it")
    if page["config"]["error"]:
        said = "its configuration file has mistakes; it goes on with the one before"
        yield Finding("fail", "daemon", said, "budgetd config check")
    if page["clock_in_doubt"]:
        advice = "is the time right? compare: date -u"
        yield Finding("warn", "clock", page["clock_in_doubt"], advice)
    else:
        yield Finding("ok", "clock", "believed")
    if page["orphans_24h"]["calls"]:
        cut = paper.calls(page["orphans_24h"]["calls"])
        said = f"cut off by a crash, charged in full: {cut}"
        yield Finding("warn", "orphans", said, "compare with the provider's bill; budgetd adjust")


def ledger(patient: Patient) -> Iterator[Finding]:
    """The file is whole, and every window equals the sum of its rows."""
    directory = _state(patient)
    path = directory / LEDGER if directory else None
    if path is None:
        return
    if not path.exists():
        yield Finding("ok", "ledger", f"none yet in {path.parent}: nothing was ever spent there")
        return
    if not _ours(path):
        yield Finding("fail", "ledger", f"{path} is not yours to read", SAME_USER)
        return
    try:
        with closing(sqlite3.connect(read_only(path), uri=True, timeout=5)) as db:
            yield from _integrity(db, path)
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                yield Finding("fail", "ledger", f"version {version} is newer than this budgetd")
                return
            differences = _differences(patient, db)
    except sqlite3.Error as error:
        advice = "restore a copy, or move the file away to begin with nothing spent"
        yield Finding("fail", "ledger", f"{path}: {error}", advice)
        return
    for difference in differences[:5]:
        yield Finding("fail", "ledger", difference, "report this: it is a defect of budgetd")
    if not differences:
        yield Finding("ok", "ledger", "every window equals the sum of its rows")


def _ours(path: Path) -> bool:
    """Whether this user may look: beside a daemon that needs to write next to the file."""
    return os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.R_OK | os.W_OK)


def _integrity(db: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    told = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    if told == ["ok"]:
        size = path.stat().st_size
        words = f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size // 1000} kB"
        yield Finding("ok", "ledger", f"{path}: whole ({words})")
    else:
        for line in told:
            yield Finding("fail", "ledger", f"{path}: {line}", "restore a copy")


def _differences(patient: Patient, db: sqlite3.Connection) -> list[str]:
    """The audit: by the daemon if it runs, so that no open call is seen halfway; else by ourselves."""
    with suppress(CommandFault):
        return list(Link(patient.link().url, AUDIT_PATIENCE).change("audit")["differences"])
    db.execute("BEGIN")  # one moment of the file, whoever writes meanwhile
    return desk.audit(db)


def shell(patient: Patient) -> Iterator[Finding]:
    """Whether agents that are started from this shell go through budgetd."""
    url = patient.link().url
    for name, path in BASE_URLS.items():
        given = patient.environ.get(name, "")
        if not given:
            advice = f"export {name}={url}{path}"
            yield Finding("warn", "this shell", f"{name} is not set: agents bypass budgetd", advice)
        elif _address(given) != _address(url):
            yield Finding("warn", "this shell", f"{name} points elsewhere", f"budgetd is at {url}")
        elif name == "OPENAI_BASE_URL" and not urlsplit(given).path.rstrip("/").endswith("/v1"):
            yield Finding("fail", "this shell", f"{name} lacks /v1", f"export {name}={url}{path}")
        elif (label := _label(given)) and not _is_key(patient, label):
            said = f"{name} names key {paper.plain(label)}, which there is not: calls are refused"
            yield Finding("warn", "this shell", said, "see: budgetd keys list")
        else:
            yield Finding("ok", "this shell", f"{name} leads to budgetd")


def _label(url: str) -> str:
    """The key that a base URL names by /k/NAME; empty for none."""
    steps = urlsplit(url).path.split("/")
    return unquote(steps[steps.index("k") + 1]) if "k" in steps[:-1] else ""


def _is_key(patient: Patient, name: str) -> bool:
    """Whether calls under this name have a key: as the daemon says, else as its file would."""
    try:
        return bool(patient.link().key(name))
    except CommandFault as fault:
        if fault.code != NOT_RUNNING:
            return False
    loaded = maybe_loaded(patient)
    try:
        return loaded is None or loaded.rules(fingerprint=str).key(name) is not None
    except ConfigError:
        return True  # told elsewhere


def _address(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return ("127.0.0.1" if host == "localhost" else host), parts.port
    except ValueError:
        return "", None


@lru_cache(maxsize=1)
def _read(path: Path | None, environ: tuple[tuple[str, str], ...]) -> Loaded:
    return load(path, dict(environ), reading="elsewhere")


def _loaded(patient: Patient) -> Loaded:
    return _read(patient.config, tuple(sorted(patient.with_state().items())))


def maybe_loaded(patient: Patient) -> Loaded | None:
    """The configuration, or None: that it is broken was told already."""
    try:
        return _loaded(patient)
    except ConfigError:
        return None


def _state(patient: Patient) -> Path | None:
    """The running daemon's directory, else the configuration's; where that names none and this is a
    checkout whose `scripts/run` has kept a ledger, the checkout's.
    """
    if patient.state is not None:
        return patient.state
    with suppress(CommandFault):
        said = patient.link().status().get("state")
        if said:
            return Path(said)
    loaded = maybe_loaded(patient)
    if loaded is None:
        return None
    kept, environ = checkout_state(), patient.with_state()
    if kept is not None and loaded.state == state_directory(environ).absolute():
        if (kept / LEDGER).exists() and not (loaded.state / LEDGER).exists():
            return kept
    return loaded.state


CHECKS: tuple[Check, ...] = (python, config, prices, state, daemon, ledger, shell)
