"""Locator: which line of the file, or which environment variable, a finding is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from budgetd.config.document import Document
from budgetd.config.problems import ConfigError, Finding, Path, Problem, dotted


@dataclass(frozen=True, slots=True)
class Locator:
    """Turns findings into problems: knows the file, and which settings an environment variable has
    set.
    """

    document: Document | None
    overrides: Mapping[Path, str] = field(default_factory=dict)  # path -> the variable's name

    def problem(self, finding: Finding) -> Problem:
        """The finding with its place."""
        line, source = None, ""
        variable = self._variable(finding.path)
        if variable is not None:
            source = f"${variable}"
        elif self.document is not None:
            line, source = self.document.line(finding.path), self.document.name
        return Problem(
            dotted(finding.path), line, finding.message, finding.hint, source, finding.severity
        )

    def _variable(self, path: Path) -> str | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return self.overrides[path[:length]]
        return None

    def problems(self, findings: list[Finding]) -> list[Problem]:
        """All of them, each once, in the order of the file."""
        problems = dict.fromkeys(self.problem(finding) for finding in findings)
        return sorted(problems, key=lambda problem: problem.line or 0)

    def error(self, findings: list[Finding]) -> ConfigError:
        """All of them as an error."""
        return ConfigError(self.problems(findings))
