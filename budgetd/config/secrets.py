"""Secrets: reading credentials from where the settings say they are, and the local secret that
fingerprints them.

A credential lives in an environment variable, a file or a systemd credential, never in the
configuration. Reading one gives a `core.policy.Secret`, which does not show itself; failing to
gives the name of the source. A credential must be one word of printable ASCII, because it goes into
a header. Fingerprints are HMACs: they say "the same" and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from budgetd.config import problems
from budgetd.config.problems import HIDDEN, Finding, looks_secret, shown
from budgetd.core.policy import Secret

if (
    TYPE_CHECKING
):  # settings are only looked at: whoever needs just LocalSecret does not load pydantic
    from budgetd.config.providers import SecretSource
    from budgetd.config.settings import Settings

Secrets = Mapping[
    problems.Path, Secret
]  # the path of the setting that names the source -> what was there

MAX_SECRET_BYTES = 16 * 1024
LOCAL_SECRET_BYTES = 32
LOCAL_SECRET_FILE = "local.secret"  # noqa: S105  # a file's name


# What may be different for the daemon, which has an environment and a user of its own.
UNSET = "is not set{place}"
NO_CREDENTIALS = "cannot be read: $CREDENTIALS_DIRECTORY is not set{place}"
MISSING = "does not exist"
NOT_OURS = "cannot be read: Permission denied"
DAEMONS_OWN = {UNSET, NO_CREDENTIALS, NOT_OURS}


class SecretFault(Exception):
    """The local secret cannot be read or made. Says which file, never what is in it."""


class LocalSecret:
    """This installation's own secret: fingerprints made with another one do not match."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "LocalSecret(***)"

    @classmethod
    def load_or_create(cls, state_dir: Path) -> LocalSecret:
        """The secret in `state_dir`, made at the first start. Raises SecretFault; a damaged one is
        never replaced.

        It is written whole to a file of its own and then linked to its name, which fails if
        somebody was faster: so two starts at once agree, and a crash leaves no half of it.
        """
        path = state_dir / LOCAL_SECRET_FILE
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _create(path)
            with path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    os.fchmod(file.fileno(), 0o600)
                key = file.read(LOCAL_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretFault(f"{path}: {error.strerror or 'cannot be used'}") from None
        if len(key) != LOCAL_SECRET_BYTES:
            raise SecretFault(
                f"{path}: damaged, {len(key)} bytes long; restore it, or delete it and "
                "write fingerprints anew"
            )
        return cls(key)

    def fingerprint(self, credential: str) -> str:
        """cf_ and 16 hex digits: what a credential is called where it must not be shown."""
        digest = hmac.new(self._key, credential.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"cf_{digest.hexdigest()[:16]}"

    def seed(self, purpose: str) -> int:
        """64 bits for hashes that nobody outside is to foresee."""
        return int.from_bytes(hmac.digest(self._key, purpose.encode(), "sha256")[:8], "big")


def _create(path: Path) -> None:
    # mkstemp opens with O_EXCL and mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(LOCAL_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def gather(
    settings: Settings, environ: Mapping[str, str], base: Path, *, elsewhere: bool = False
) -> tuple[Secrets, list[Finding]]:
    """Every secret the settings name, and what is wrong with their sources. `base` is where
    relative paths start. `elsewhere`: this is not the daemon, so what only its environment or its
    user may have is a warning here.
    """
    secrets: dict[problems.Path, Secret] = {}
    findings: list[Finding] = []
    for path, source in sources(settings):
        where = _location(source, environ, base)
        if isinstance(where, Path):
            text, problem = _read_file(where)
            warning = _exposed(where) if source.file else ""
            if warning:
                hint = f"chmod 600 {shlex.quote(_place(source, where))}"
                findings.append(Finding(path, warning, hint, "warning"))
        else:
            text, problem = where
        if text is not None and not problem:
            problem = _unfit(text)
        if problem and elsewhere and problem in DAEMONS_OWN:
            said = (
                f"{_described_at(source, where, problem)} {problem.format(place=' in this shell')}"
            )
            findings.append(Finding(path, said, "the daemon must have it", "warning"))
        elif problem:
            said = f"{_described_at(source, where, problem)} {problem.format(place='')}"
            findings.append(Finding(path, said, _advice(source)))
        elif text is not None:
            secrets[path] = Secret(text)
    return secrets, findings


def sources(settings: Settings) -> Iterator[tuple[problems.Path, SecretSource]]:
    """Where secrets are, with the path of each setting that says so. Sources that name no place are
    left out.
    """
    for name, provider in settings.providers.items():
        if provider.credential and _names_one(provider.credential):
            yield ("providers", name, "credential"), provider.credential
    for name, key in settings.keys.items():
        for index, claim in enumerate(key.credentials):
            if _names_one(claim):
                yield ("keys", name, "credentials", index), claim


def _names_one(source: SecretSource) -> bool:
    """Whether it says where to look, and says so once; everything else is an error of `checks`."""
    written = [name for name, value in source if value is not None]
    return len(written) == 1 and written != ["fingerprint"]


def described(source: SecretSource) -> str:
    """The source for a message: its kind and name, never what is in it."""
    kind = "environment variable" if source.env else "file" if source.file else "systemd credential"
    return f"{kind} {_name(source)}"


def _described_at(source: SecretSource, where: object, problem: str) -> str:
    """The same; a file that could not be had with the whole path that was looked at."""
    if source.file and isinstance(where, Path) and problem in (MISSING, NOT_OURS):
        return f"file {_place(source, where)}"
    return described(source)


def _place(source: SecretSource, where: Path) -> str:
    """A file's whole path for a message, unless what the configuration says may be a credential."""
    written = source.file or ""
    return HIDDEN if looks_secret(written) or not written.isprintable() else str(where.absolute())


def _name(source: SecretSource) -> str:
    return shown(source.env or source.file or source.credential or "")


def _location(
    source: SecretSource, environ: Mapping[str, str], base: Path
) -> Path | tuple[str | None, str]:
    """A file to read, or (text, problem) at once."""
    if source.env:
        value = environ.get(source.env)
        return (value, "" if value else UNSET if value is None else "is empty")
    if source.file:
        try:
            return base / Path(source.file).expanduser()
        except RuntimeError:
            return None, "is under a home directory that does not exist"
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None, NO_CREDENTIALS
    return Path(directory) / str(source.credential)


def _advice(source: SecretSource) -> str:
    if source.env:
        return "set it for the daemon, not only in your shell"
    return "" if source.file else "add LoadCredential= to the unit, and start budgetd by systemd"


def _read_file(path: Path) -> tuple[str | None, str]:
    try:
        if not path.is_file():
            return None, "is not a file" if path.exists() else MISSING
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except PermissionError:
        return None, NOT_OURS
    except (OSError, ValueError) as error:
        return None, f"cannot be read: {getattr(error, 'strerror', None) or 'not a usable path'}"
    if len(content) > MAX_SECRET_BYTES:
        return None, "is too large to be a credential"
    text = content.decode("latin-1").strip()
    return text, "" if text else "is empty"


def _unfit(text: str) -> str:
    return (
        ""
        if re.fullmatch(r"[\x21-\x7e]+", text)
        else "does not hold a credential: one word of plain characters"
    )


def _exposed(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, ValueError):
        return ""
    return "other users can read this file" if mode & 0o044 else ""
