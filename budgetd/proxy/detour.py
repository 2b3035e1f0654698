"""The HTTP proxy on the way to a provider, as the environment names it.

HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in either case, and NO_PROXY, read once at the start. This
machine itself is never reached through one. Nothing else of the environment is believed: a login in
~/.netrc that fits a provider's host is no credential for its API, and none of ours goes without
being asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves the second one out
    getproxies_environment,
    proxy_bypass_environment,
)

import structlog
from yarl import URL

from budgetd.core.hosts import is_loopback

log = structlog.get_logger("budgetd.upstream")


@dataclass(frozen=True, slots=True)
class Detour:
    """A proxy: its address without a login, and the headers that log in to it."""

    address: URL
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Detour({self.address})"


class Detours:
    """Which proxy leads to an address. Reads the environment when it is made."""

    def __init__(self) -> None:
        self._named = getproxies_environment()
        self._found = {
            scheme: detour
            for scheme in ("http", "https")
            if (text := self._named.get(scheme) or self._named.get("all"))
            and (detour := _read(text))
        }

    def to(self, url: URL) -> Detour | None:
        """The proxy for this address; None to go straight there."""
        if not self._found:
            return None
        host = url.host or ""
        if is_loopback(host) or proxy_bypass_environment(f"{host}:{url.port}", self._named):
            return None
        return self._found.get(url.scheme)


def _read(text: str) -> Detour | None:
    url = URL(text if "://" in text else f"http://{text}")
    if url.scheme != "http" or not url.host:
        log.warning("proxy not used: only http:// proxies are understood", scheme=url.scheme)
        return None
    headers = {}
    if url.raw_user is not None:
        login = f"{unquote(url.raw_user)}:{unquote(url.raw_password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Detour(url.with_user(None).with_path("/"), headers)
