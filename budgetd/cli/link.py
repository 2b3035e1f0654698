"""The link to a running daemon: where it is, and asking it.

Finds the address (an option, $BUDGETD_URL, else what the configuration says to listen on) and, for
what changes something, the admin token in the state directory. Speaks plain HTTP with the standard
library, past any proxy of the environment; whatever goes wrong is a `CommandFault` with what to do.
It reads two settings of the configuration file and does not check the rest: that is the daemon's.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from budgetd.cli.fault import MISUSE, NOT_RUNNING, CommandFault
from budgetd.cli.launcher import start_command
from budgetd.config.places import ADMIN_TOKEN, find
from budgetd.core.hosts import is_loopback

LISTEN = "127.0.0.1:4141"
PATIENCE = 15.0  # seconds for an answer from the same machine
JSON = dict[str, Any]


def daemon_url(given: str | None, environ: Mapping[str, str]) -> str:
    """The daemon's base URL. Raises CommandFault for a URL that is none."""
    if given:
        parts = urlsplit(given if "//" in given else f"http://{given}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CommandFault(f"{given} is not a URL like http://{LISTEN}", code=MISUSE)
        return f"{parts.scheme}://{parts.netloc}"
    host, _, port = configured_listen(environ).rpartition(":")
    if port == "0":
        advice = "give it with --url or $BUDGETD_URL: the daemon printed it when it started"
        raise CommandFault("the configuration lets the system choose the port", advice)
    return f"http://{_reachable(host)}:{port}"


def configured_listen(environ: Mapping[str, str]) -> str:
    """The address that the configuration says to listen on, as far as it can be read."""
    from budgetd.config.document import parse
    from budgetd.config.problems import ConfigError

    listen = environ.get("BUDGETD_LISTEN")
    path = find(environ)
    if not listen and path is not None:
        try:
            data = parse(path.read_bytes(), str(path)).data()
        except (OSError, ConfigError):  # a file that is being edited is no reason to stop
            data = {}
        listen = data.get("listen") if isinstance(data, dict) else None
    return listen if isinstance(listen, str) and ":" in listen else LISTEN


def _reachable(host: str) -> str:
    """The name under which this machine reaches a listen address: every address means loopback."""
    return {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound


class Link:
    """A running daemon at `url`."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self.url = url
        self._patience = patience

    @classmethod
    def find(cls, given: str | None, environ: Mapping[str, str]) -> Link:
        """The daemon that the option, the environment or the configuration names."""
        return cls(daemon_url(given, environ))

    def get(self, path: str) -> JSON:
        """A page of the status API. Raises CommandFault."""
        return self._ask("GET", path, None, {})

    def status(self) -> JSON:
        """`/status`, and proof that it is a budgetd that answers."""
        page = self.get("/status")
        if page.get("service") != "budgetd":
            raise _stranger(self.url)
        return page

    def key(self, name: str) -> JSON:
        """One key's page."""
        return self.get(f"/status/keys/{quote(name, safe='')}")

    def change(self, verb: str, **arguments: object) -> JSON:
        """Ask for a change, with the admin token. Raises CommandFault with the daemon's words."""
        given = {name: value for name, value in arguments.items() if value is not None}
        headers = {
            "authorization": f"Bearer {self._token()}",
            "content-type": "application/json",
        }
        return self._ask("POST", f"/control/{verb}", json.dumps(given), headers)

    def running(self) -> bool:
        """Whether a budgetd answers there."""
        try:
            return bool(self.status())
        except CommandFault:
            return False

    def _token(self) -> str:
        """The admin token, from the directory that the daemon says is its own. Only a daemon on
        this machine is believed: another one could ask for any file of that name.
        """
        state = str(self.status().get("state", ""))
        host = urlsplit(self.url).hostname or ""
        if not is_loopback(host):
            raise CommandFault(
                f"{self.url} is another machine: changes are made on the daemon's own"
            )
        path = Path(state) / ADMIN_TOKEN
        try:
            return path.read_text().strip()
        except PermissionError:
            advice = "run this as the user that runs budgetd, or with sudo"
            raise CommandFault(f"the admin token {path} is not yours to read", advice) from None
        except OSError as error:
            raise CommandFault(f"the admin token {path}: {error.strerror}") from None

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> JSON:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=self._patience)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            status, data = answer.status, answer.read()
        except TimeoutError:
            raise CommandFault(f"no answer from {self.url} within {self._patience:.0f} s") from None
        except http.client.HTTPException:
            raise _stranger(self.url) from None
        except OSError as error:
            advice = (
                f"start it: {start_command()}",
                "or say where it is: --url URL, or $BUDGETD_URL",
            )
            message = f"no budgetd is running at {self.url} ({_why(error)})"
            raise CommandFault(message, *advice, code=NOT_RUNNING) from None
        finally:
            connection.close()
        return _page(status, data, self.url)


def _page(status: int, data: bytes, url: str) -> JSON:
    try:
        page = json.loads(data)
    except ValueError:
        page = None
    if not isinstance(page, dict):
        raise _stranger(url)
    if status >= 400:
        detail = page.get("detail")
        raise CommandFault(str(detail), *_candidates(page)) if detail else _stranger(url)
    return page


def _candidates(page: JSON) -> list[str]:
    """What a name that fits several may have meant, a line each."""
    found = page.get("candidates")
    several = found if isinstance(found, list) else []
    return [f"{one['id']}  {one['ref']} (key {one['key']})" for one in several]


def _stranger(url: str) -> CommandFault:
    advice = "say where budgetd is: --url URL, or $BUDGETD_URL"
    return CommandFault(f"what answers at {url} is not budgetd", advice)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
