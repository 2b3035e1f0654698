"""Which hosts are this machine."""

from __future__ import annotations

import pytest

from budgetd.core.hosts import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "::", "10.0.0.1", "128.0.0.1", "127.1", "localhost.example", "127.0.0.1.nip.io"]
)
def test_others(host: str) -> None:
    assert not is_loopback(host)
