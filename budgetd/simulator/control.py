"""The control room: what a test in another process can ask and set while the simulator runs.

Owns the `/_sim/` routes, which need no credential and are not counted as provider requests:
  GET  /_sim/bill      the bill so far, pico-dollars as decimal strings
  GET  /_sim/open      {"open": N}, provider requests in progress
  GET  /_sim/requests  the last requests as they came; bodies in base64
  POST /_sim/script    fields to change in the default script; ?reset=1 changes a plain script
  POST /_sim/reset     forget bill, requests, cache, failure counts; back to the first script
"""

from __future__ import annotations

from base64 import b64encode

from aiohttp import web

from budgetd.simulator.front import Front
from budgetd.simulator.script import DEFAULT, ScriptError, read_script


class ControlRoom:
    """The routes over one front."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """All control paths."""
        router.add_get("/_sim/bill", self._show_bill)
        router.add_get("/_sim/open", self._show_open)
        router.add_get("/_sim/requests", self._show_requests)
        router.add_post("/_sim/script", self._set_script)
        router.add_post("/_sim/reset", self._reset)

    async def _show_bill(self, request: web.Request) -> web.Response:
        return web.json_response(self._front.bill.as_json())

    async def _show_open(self, request: web.Request) -> web.Response:
        return web.json_response({"open": self._front.open_requests})

    async def _show_requests(self, request: web.Request) -> web.Response:
        shown = [
            {
                "id": each.id,
                "method": each.method,
                "path": each.path,
                "headers": each.headers,
                "body_base64": b64encode(each.body).decode(),
            }
            for each in self._front.requests
        ]
        return web.json_response({"requests": shown})

    async def _set_script(self, request: web.Request) -> web.Response:
        base = DEFAULT if request.query.get("reset") else self._front.script
        try:
            self._front.set_script(read_script(await request.text(), base))
        except ScriptError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _reset(self, request: web.Request) -> web.Response:
        self._front.reset()
        return web.json_response({"ok": True})
