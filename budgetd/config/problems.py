"""Problems: what is wrong in a configuration, where, and what the owner may have meant.

Owns `Problem` and `ConfigError`, the words that appear in them, and the one rule about secrets: a
*value* from the configuration is never repeated, only names are, and a name that looks like a
credential is hidden too. Every other module here reports by making a `Finding` with a path;
`locator.Locator` turns it into a `Problem` with a file and a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]

HIDDEN = "(hidden)"
PLAIN_NAME = re.compile(r"[\w.*?\[\]/:@ +-]{1,64}")
# What providers put in front of a credential, and any long word that mixes letters with digits.
CREDENTIAL_START = re.compile(
    r"(?i)(sk|gsk|xai|bgd|ghp|gho|hf|fw|tgp)[-_]\w{2,}"
    r"|github_pat_|glpat-|AIza|AKIA|ya29\.|eyJ|Bearer "
)
LONG_WORD = re.compile(r"[A-Za-z0-9+=]{20,}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path of settings. `hint` says what to do about it."""

    path: Path
    message: str
    hint: str = ""
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding with its place. `source` is a file's name as given, or the environment variable
    that set the value.
    """

    path: str
    line: int | None
    message: str
    hint: str = ""
    source: str = ""
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """ "config.yaml:12", an environment variable's name, or nothing."""
        return f"{self.source}:{self.line}" if self.source and self.line else self.source

    def __str__(self) -> str:
        """One line, for a log."""
        head = ": ".join(part for part in (self.place, self.path, self.message) if part)
        return f"{head} ({self.hint})" if self.hint else head


class ConfigError(Exception):
    """The configuration cannot be used. All that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """For a terminal: a line of count, then each problem with its hint on a line of its own."""
        count = len(self.problems)
        lines = [f"the configuration has {count} problem{'' if count == 1 else 's'}:"]
        for problem in self.problems:
            head = ": ".join(
                part for part in (problem.place, problem.path, problem.message) if part
            )
            lines.append(f"  {head}")
            if problem.hint:
                lines.append(f"      {problem.hint}")
        return "\n".join(lines)


def looks_secret(text: str) -> bool:
    """Whether a word may be a credential: then it is not repeated, wherever it stands."""
    if CREDENTIAL_START.match(text):
        return True
    return any(
        re.search(r"\d", word) and re.search(r"[A-Za-z]", word) for word in LONG_WORD.findall(text)
    )


def shown(name: str) -> str:
    """A name for a message: as it is, or hidden where it may be a credential or would garble the
    terminal.
    """
    return name if PLAIN_NAME.fullmatch(name) and not looks_secret(name) else HIDDEN


def dotted(path: Path) -> str:
    """A path as an owner writes it: keys.research.budgets[0].limit."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{shown(part)}" if text else shown(part)
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the closest known name, or with all of them if they are few; empty if there is
    nothing to say.
    """
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in names}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"known here: {', '.join(names)}" if 0 < len(names) <= 10 else ""
