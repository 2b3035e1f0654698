"""The floor for Python: a bare aiohttp relay that passes calls on and accounts for nothing.

`python -m bench.relay PORT UPSTREAM_URL`. What it costs is what any relay on this stack costs;
budgetd's own price is the difference.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web

DROP = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


async def serve(port: int, upstream: str) -> None:
    """Serve until killed."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )

    async def relay(request: web.Request) -> web.StreamResponse:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in DROP]
        body = await request.read()
        url = upstream + request.path_qs
        async with session.request(request.method, url, headers=headers, data=body) as reply:
            kept = [(k, v) for k, v in reply.headers.items() if k.lower() not in DROP]
            client = web.StreamResponse(status=reply.status, headers=kept)
            client.content_length = reply.content_length
            await client.prepare(request)
            async for chunk in reply.content.iter_any():
                await client.write(chunk)
            await client.write_eof()
            return client

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", relay)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=2048).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as main:
        main.run(serve(int(sys.argv[1]), sys.argv[2]))
