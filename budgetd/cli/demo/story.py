"""What has happened so far in the demo: told by the agents, the daemon and the provider's bill.

A plain record that one loop fills and a screen reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Mood = Literal["works", "waits", "goes on", "is done"]
Page = dict[str, Any]


@dataclass(slots=True)
class Part:
    """One agent. `refusal` is the text it got, `resets_at` an ISO instant."""

    name: str
    model: str
    mood: Mood = "works"
    calls: int = 0
    refusal: str = ""
    resets_at: str | None = None
    waited: float = 0.0  # seconds


@dataclass(slots=True)
class Story:
    """Everything that is shown. Money is in pico-dollars."""

    parts: list[Part]
    window: int  # seconds
    status: Page = field(default_factory=dict)
    calls: list[Page] = field(default_factory=list)  # newest first
    bill: int = 0

    def part(self, name: str) -> Part:
        """An agent by its name."""
        return next(part for part in self.parts if part.name == name)

    def budget(self, name: str) -> Page | None:
        """An agent's budget as the daemon last told it."""
        for key in self.status.get("keys", ()):
            if key["name"] == name:
                budget: Page = key["budgets"][0]
                return budget
        return None
