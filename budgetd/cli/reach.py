"""The doctor's checks of the way out: can the providers be reached, as the daemon would reach them?

A connection and a TLS handshake, nothing is asked; through the environment's proxy where the daemon
would use one, and believing the same certificates.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves the second one out
    getproxies_environment,
    proxy_bypass_environment,
)

from yarl import URL

from budgetd.cli.checkup import maybe_loaded
from budgetd.cli.doctor import Check, Finding, Patient
from budgetd.config.load import Loaded
from budgetd.config.presets import effective, provider_names
from budgetd.config.providers import ProviderSettings
from budgetd.proxy.detour import Detour, Detours
from budgetd.proxy.upstream import trust

SOMEWHERE = "somewhere.invalid"  # a host that no NO_PROXY names
PATIENCE = 6.0  # seconds for a connection
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def surroundings(patient: Patient) -> Iterator[Finding]:
    """Which proxy and certificate variables are seen."""
    seen = [
        name
        for name in (*PROXIES, *CERTIFICATES)
        if patient.environ.get(name) or patient.environ.get(name.lower())
    ]
    said = f"seen: {', '.join(seen)}" if seen else "no proxy or certificate variables"
    yield Finding("ok", "network", said)
    yield from _ways_out(Detours(), getproxies_environment())


def _ways_out(detours: Detours, named: Mapping[str, str]) -> Iterator[Finding]:
    """Where the daemon's calls would go out, for each proxy variable that it has."""
    for scheme in ("https", "http"):
        if not (named.get(scheme) or named.get("all")):
            continue
        if proxy_bypass_environment(SOMEWHERE, named):
            yield Finding("ok", "network", f"no proxy for {scheme}: NO_PROXY is for every host")
            continue
        detour = detours.to(URL(f"{scheme}://{SOMEWHERE}"))
        name = scheme.upper() if named.get(scheme) else "ALL"
        if detour is None:
            advice = "only http:// proxies are understood; calls go straight to the providers"
            yield Finding("warn", "network", f"{name}_PROXY is not used", advice)
        else:
            yield Finding("ok", "network", f"{scheme} goes through {_origin(detour)}")


def _origin(detour: Detour) -> str:
    return str(detour.address.origin())


def providers(patient: Patient) -> Iterator[Finding]:
    """Every provider that calls can be expected for."""
    loaded = maybe_loaded(patient)
    if patient.offline or loaded is None:
        return
    places = _places(loaded)
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield from pool.map(lambda place: _reach(*place), places)


def _places(loaded: Loaded) -> list[tuple[str, str]]:
    """(provider, base URL) of those that are written, named by a key or a route, or defaults."""
    settings = loaded.settings
    named = {*settings.providers, *settings.defaults.values()}
    named |= {route.provider for route in settings.routes}
    named |= {key.provider for key in settings.keys.values() if key.provider}
    places: dict[tuple[str, str], None] = {}
    for name in sorted(named & set(provider_names(settings.providers))):
        built = effective(name, settings.providers.get(name) or ProviderSettings())
        for url in built.base_urls.values():
            parts = urlsplit(url)
            places[(name, f"{parts.scheme}://{parts.netloc}")] = None
    return list(places)


def _reach(name: str, url: str) -> Finding:
    parts = urlsplit(url)
    host = parts.hostname or ""
    detour = Detours().to(URL(url))
    through = f" through {_origin(detour)}" if detour else ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        _connect(parts.scheme, host, port, detour)
    except ssl.SSLCertVerificationError as error:
        advice = "behind a company's proxy? point SSL_CERT_FILE at its certificate"
        said = f"{url}{through}: certificate: {error.verify_message}"
        return Finding("fail", name, said, advice)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        advice = "is there a network? a proxy to name in HTTPS_PROXY? else: --offline"
        return Finding("warn", name, f"{url} cannot be reached{through}: {why.lower()}", advice)
    return Finding("ok", name, f"{url} answers{through}")


def _connect(scheme: str, host: str, port: int, detour: Detour | None) -> None:
    context = trust() if scheme == "https" else None
    if detour is not None:
        proxy, gate = detour.address.host or "", detour.address.port or 80
        if context is None:
            socket.create_connection((proxy, gate), timeout=PATIENCE).close()
            return
        tunnel = http.client.HTTPSConnection(proxy, gate, timeout=PATIENCE, context=context)
        tunnel.set_tunnel(host, port, headers=dict(detour.headers))
        with closing(tunnel):
            tunnel.connect()
        return
    with socket.create_connection((host, port), timeout=PATIENCE) as plain:
        if context is not None:
            context.wrap_socket(plain, server_hostname=host).close()


CHECKS: tuple[Check, ...] = (surroundings, providers)
