"""Loading: from a path and an environment to settings that can be built.

Finds the file, reads it once, lays the environment over it, checks everything and fetches the
secrets. It ends in `Loaded` or in one `ConfigError` with all that is wrong; it changes nothing
anywhere, so a bad file leaves a running daemon as it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from budgetd.config import problems
from budgetd.config.build import build
from budgetd.config.checks import check
from budgetd.config.document import MAX_BYTES, Document, parse
from budgetd.config.locator import Locator
from budgetd.config.overrides import read_overrides
from budgetd.config.places import find, state_directory
from budgetd.config.problems import ConfigError, Finding, Problem
from budgetd.config.secrets import Secrets, gather
from budgetd.config.settings import Settings
from budgetd.config.validate import validated
from budgetd.core.policy import Rules

ADDRESS = {
    "preset",
    "base_url",
    "base_urls",
    "dialects",
}  # settings of a provider that lean on each other
Reading = Literal["needed", "elsewhere", "unread"]
LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that passed. `digest` is of the file's bytes, "" without a file; hand it to
    `watch`.
    """

    settings: Settings  # with `state` and `timezone` filled in
    secrets: Secrets
    path: Path | None
    warnings: tuple[Problem, ...]
    digest: str
    locator: Locator

    def rules(self, *, fingerprint: Callable[[str], str], generation: int = 0) -> Rules:
        """The core's rules. Raises ConfigError if two keys claim one credential."""
        return build(
            self.settings,
            self.secrets,
            fingerprint=fingerprint,
            generation=generation,
            locator=self.locator,
        )

    @property
    def state(self) -> Path:
        """The state directory, absolute."""
        assert self.settings.state is not None
        return self.settings.state


def load(path: Path | None, environ: Mapping[str, str], *, reading: Reading = "needed") -> Loaded:
    """Read the file at `path`, or the one found by `places.find`, or none. Raises ConfigError.

    `reading` is who wants the secrets: the daemon, which "needed" them; somebody beside it, for whom
    one that only the daemon has is a warning ("elsewhere"); nobody ("unread").
    """
    path = path or find(environ)
    document: Document | None = None
    digest = ""
    if path:
        content = _content(path)
        digest = digest_of(content)
        document = parse(content, str(path))
    overrides = read_overrides(environ)
    locator = Locator(document, overrides.variables)
    settings, findings = validated(document.data() if document else {}, overrides.data)
    base = path.absolute().parent if path else Path.cwd()
    secrets: Secrets = {}
    if settings is not None:
        more: list[Finding] = []
        if reading != "unread":
            secrets, more = gather(settings, environ, base, elsewhere=reading == "elsewhere")
        broken = [finding.path for finding in findings]
        findings += [
            finding for finding in (*check(settings), *more) if not _follows(finding.path, broken)
        ]
    found = [*overrides.problems, *locator.problems(findings)]
    errors = [problem for problem in found if problem.severity == "error"]
    if errors or settings is None:
        raise ConfigError(errors)
    if ("state",) in overrides.variables:
        base = Path.cwd()  # where the one who set it stands
    settings = _completed(settings, environ, base)
    return Loaded(settings, secrets, path, tuple(found), digest, locator)


def digest_of(content: bytes) -> str:
    """What tells one content of the file from another."""
    return hashlib.sha256(content).hexdigest()


def system_zone(environ: Mapping[str, str], localtime: Path | None = None) -> str:
    """The name of this machine's time zone: $TZ, else where /etc/localtime leads, else UTC."""
    link = os.path.realpath(localtime or LOCALTIME)
    for name in (environ.get("TZ", "").lstrip(":"), link.partition("/zoneinfo/")[2]):
        try:
            zone = ZoneInfo(name.removeprefix("posix/")).key
        except (ValueError, OSError, KeyError):
            continue
        return "UTC" if zone in ("Etc/UTC", "Etc/UCT", "Etc/Zulu", "Zulu", "UCT") else zone
    return "UTC"


def _follows(path: problems.Path, broken: list[problems.Path]) -> bool:
    """Whether a finding may only follow from parts that were left out because they are broken."""
    if path[-1:] == ("custody",) and any(other[:1] == ("providers",) for other in broken):
        return True
    if path[:1] == ("providers",) and {*path[2:3]} <= ADDRESS:
        if any(other[:2] == path[:2] and {*other[2:3]} <= ADDRESS for other in broken):
            return True
    return any(other[: len(path)] == path for other in broken)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable path"
        raise ConfigError([Problem("", None, f"cannot be read: {why}", "", str(path))]) from None


def _completed(settings: Settings, environ: Mapping[str, str], base: Path) -> Settings:
    """With the defaults that come from the machine."""
    state = base / settings.state if settings.state else state_directory(environ)
    return settings.model_copy(
        update={
            "state": state.absolute(),
            "timezone": settings.timezone or system_zone(environ),
        }
    )
