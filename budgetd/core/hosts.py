"""Hosts: which of them is this machine.

By what is written alone: no name is looked up, so a name that happens to lead here is a stranger.
"""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL or an address, can only be this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
