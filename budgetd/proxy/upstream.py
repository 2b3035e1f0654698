"""The way to the providers: one connection pool, and the headers that travel.

A request goes out with the caller's own headers but for the hop-by-hop ones, the credential where
ours replaces it, and the encoding, which is asked to be identity so that usage can be read. Nothing
has a total timeout and no hidden limit counts connections; proxy and CA variables of the
environment are honoured. Only a connection that was never made is tried again.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from budgetd.core.policy import Patience, Provider
from budgetd.errors import UpstreamFault
from budgetd.proxy.detour import Detours
from budgetd.wire.dialect import Dialect
from budgetd.wire.identity import CREDENTIAL_HEADERS

KEEPALIVE_SECONDS = (
    15  # shorter than any provider's, so that a request does not meet a connection just closed
)
CONNECT_TRIES = 3
CONNECT_PAUSE = 0.2  # seconds, doubled each time

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
_OURS = frozenset({"host", "content-length", "accept-encoding"})
_LENGTH = frozenset({"content-length"})
_AUTO = ("user-agent", "accept", "accept-encoding", "content-type")
_VERSIONED = re.compile(r"/(v\d+[a-z]*\d*|v\d+[a-z]*/openai)$")


def request_headers(headers: Mapping[str, str], drop: frozenset[str]) -> CIMultiDict[str]:
    """What of a client's headers goes upstream. `drop`: more names to leave out, in lower case."""
    left = _left_out(drop | _OURS, headers.get("connection", ""))
    out = CIMultiDict(
        [
            (name, value)
            for name, value in headers.items()
            if (low := name.lower()) not in left and not low.startswith("x-budgetd-")
        ]
    )
    out["Accept-Encoding"] = "identity"
    return out


def response_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """What of a provider's headers goes to the client; lengths are set by who writes the body."""
    left = _left_out(_LENGTH, headers.get("connection", ""))
    return CIMultiDict(
        [(name, value) for name, value in headers.items() if name.lower() not in left]
    )


@lru_cache(maxsize=64)
def _left_out(names: frozenset[str], connection: str) -> frozenset[str]:
    """These names, the hop-by-hop ones, and those that a Connection header adds to them."""
    named = (name.strip().lower() for name in connection.split(","))
    return names.union(_HOP_BY_HOP, named)


CREDENTIAL_NAMES = frozenset(CREDENTIAL_HEADERS)


def address(provider: Provider, dialect: Dialect, path: str, query: str) -> URL:
    """The URL of a call. A base that ends in a version of its own (/v1, /v4) takes the place of the
    dialect's /v1.
    """
    base = provider.base_urls[dialect.name].rstrip("/")
    if _VERSIONED.search(base) and path.startswith("/v1/"):
        path = path.removeprefix("/v1")
    return URL(f"{base}{path}?{query}" if query else f"{base}{path}", encoded=True)


def trust() -> ssl.SSLContext:
    """The CA certificates to believe: the system's, SSL_CERT_FILE and SSL_CERT_DIR, and what other
    tools' variables name.
    """
    if sys.platform == "darwin":  # OpenSSL does not find the system's certificates there
        import truststore  # noqa: PLC0415  not installed elsewhere

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bundle = os.environ.get(variable)
        if bundle and Path(bundle).is_file():
            context.load_verify_locations(bundle)
    return context


class Upstream:
    """The connection pool. `open` before use, `close` at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._detours: Detours | None = None

    async def open(self) -> None:
        """Make the pool, and read the environment's proxies."""
        self._detours = Detours()
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=0, keepalive_timeout=KEEPALIVE_SECONDS, ssl=trust()
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,  # it would read ~/.netrc for every call, and send what it finds
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_AUTO,
            read_bufsize=256 * 1024,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None,
        patience: Patience,
    ) -> aiohttp.ClientResponse:
        """Send a request and return its answer once the headers are there. Raises UpstreamFault,
        which says whether it was sent.
        """
        assert self._session is not None
        assert self._detours is not None
        detour = self._detours.to(url)
        way: dict[str, Any] = {}
        if detour is not None:
            way = {"proxy": detour.address, "proxy_headers": detour.headers}
            if url.scheme == "http":  # there is no CONNECT that could carry the login
                headers = CIMultiDict([*headers.items(), *detour.headers.items()])
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=patience.connect, sock_read=patience.idle
        )
        pause = CONNECT_PAUSE
        for attempt in range(1, CONNECT_TRIES + 1):
            try:
                return await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    timeout=timeout,
                    allow_redirects=False,
                    **way,
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                # No connection, so nothing was sent and nothing can be billed: the one failure that is safe to repeat.
                if attempt == CONNECT_TRIES or isinstance(
                    error, aiohttp.ClientConnectorCertificateError
                ):
                    way_there = f" through the proxy {detour.address.host}" if detour else ""
                    raise UpstreamFault(
                        f"cannot connect to {url.host}{way_there}: {_reason(error)}", sent=False
                    ) from error
                await asyncio.sleep(pause)  # a backoff: there is nothing to wait for but time
                pause *= 2
            except (aiohttp.ClientHttpProxyError, aiohttp.InvalidURL, UnicodeEncodeError) as error:
                # The proxy let nobody through, or the request cannot be written down: nothing was sent.
                raise UpstreamFault(
                    f"the call could not be sent to {url.host}: {type(error).__name__}", sent=False
                ) from error
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                raise UpstreamFault(
                    f"{url.host} broke off before it answered: {_reason(error)}", sent=True
                ) from error
        raise AssertionError("unreachable: the last try returns or raises")


def _reason(error: BaseException) -> str:
    """The error in a few words: aiohttp's own texts repeat the host and show a request's details."""
    cause = getattr(error, "os_error", None) or error
    text = getattr(cause, "strerror", None) or type(cause).__name__
    return str(text)
