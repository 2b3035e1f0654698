"""A running simulator with a client, fresh for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from budgetd.simulator import Clocks, Simulator
from tests.simulator.playing import Client, playing


class Hands:
    """A clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def client(hands: Hands) -> AsyncIterator[Client]:
    clocks = Clocks(monotonic=hands, wall=lambda: 1_800_000_000.0)
    async for each in playing(Simulator(clocks=clocks)):
        yield each
