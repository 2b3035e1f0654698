"""The simulator as a server: one object to start, steer and look at.

Owns the listening socket and its life. What happens to a request is in `front`, what other
processes can ask is in `control`. A request's id is in its answer's `request-id` or
`x-request-id` header and names its line on the bill.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from aiohttp import web

from budgetd.simulator.bill import Bill
from budgetd.simulator.control import ControlRoom
from budgetd.simulator.front import Clocks, Front, RecordedRequest
from budgetd.simulator.prices import Model
from budgetd.simulator.script import DEFAULT, Script

BACKLOG = 4096  # thousands of clients may connect at once
BODY_BYTES_AT_MOST = 64 * 2**20
SHUTDOWN_SECONDS = 5.0  # for handlers to notice that their connection is gone


class Simulator:
    """A provider on a loopback port; an async context manager.

    `port` 0 takes a free one. `bill_path` appends the bill to a file. `models` adds to, or
    replaces, the models on offer. `credentials` are the only ones accepted; None accepts any
    that is not empty.
    """

    def __init__(
        self,
        script: Script = DEFAULT,
        *,
        port: int = 0,
        bill_path: str | Path | None = None,
        models: Mapping[str, Model] | None = None,
        credentials: frozenset[str] | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        clocks = clocks or Clocks()
        bill = Bill(clocks.wall, None if bill_path is None else Path(bill_path))
        self._front = Front(script, bill, clocks, models or {}, credentials)
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        if self._runner is None:
            raise RuntimeError("the simulator is not running")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def bill(self) -> Bill:
        """What would have been charged so far."""
        return self._front.bill

    @property
    def requests(self) -> deque[RecordedRequest]:
        """The last thousand provider requests as they came, refused ones included."""
        return self._front.requests

    @property
    def open_requests(self) -> int:
        """Provider requests in progress, whatever their state."""
        return self._front.open_requests

    @property
    def script(self) -> Script:
        """The default script; setting it starts its `fail_first` anew."""
        return self._front.script

    @script.setter
    def script(self, script: Script) -> None:
        self._front.set_script(script)

    def reset(self) -> None:
        """Forget bill, requests, cache and failure counts; back to the first script."""
        self._front.reset()

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        app = web.Application(client_max_size=BODY_BYTES_AT_MOST)
        self._front.add_routes(app.router)
        ControlRoom(self._front).add_routes(app.router)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS, access_log=None
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=BACKLOG)
        await site.start()

    async def close(self) -> None:
        """End what is open and stop listening."""
        if self._runner is not None:
            self._front.hang_up()
            await self._runner.cleanup()
        self.bill.close()

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
