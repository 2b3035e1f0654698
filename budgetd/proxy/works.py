"""What every call needs of the daemon: the ledger's writer, the way upstream, the time, the
sessions, and the lists of what is under way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from budgetd.ledger.writer import Writer
from budgetd.proxy.sessions import Sessions
from budgetd.proxy.upstream import Upstream
from budgetd.runtime import TimeKeeper

if TYPE_CHECKING:
    from budgetd.proxy.carriage import Carriage
    from budgetd.proxy.relay import Flow


@dataclass(frozen=True, slots=True)
class Works:
    """Made once, by the daemon. `carriages` are the priced calls under way, `flows` all answers."""

    writer: Writer
    upstream: Upstream
    time: TimeKeeper
    sessions: Sessions
    flows: set[Flow] = field(default_factory=set)
    carriages: set[Carriage] = field(default_factory=set)
