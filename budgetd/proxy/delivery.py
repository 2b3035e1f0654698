"""The two ends of an answer: the headers that go to the provider, and the response that goes to the
client.

`outward` decides which credential travels; `deliver` dresses a provider's answer and passes it on
through a `Flow`, priced or not. A broken answer reaches the client as a broken connection, never as
one that looks whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from budgetd.proxy.callers import Caller
from budgetd.proxy.relay import Flow
from budgetd.proxy.upstream import CREDENTIAL_NAMES, request_headers, response_headers
from budgetd.proxy.works import Works
from budgetd.wire.dialect import Dialect

EVENT_STREAM = "text/event-stream"


def outward(
    headers: Mapping[str, str], caller: Caller, dialect: Dialect, drop: frozenset[str]
) -> CIMultiDict[str]:
    """The headers that go to the provider, with the credential that belongs there: ours, the
    caller's, or none.
    """
    if caller.inject is None:
        if caller.provider.needs_credential:
            return request_headers(headers, drop)
        return request_headers(headers, drop | CREDENTIAL_NAMES)
    out = request_headers(headers, drop | CREDENTIAL_NAMES)
    secret = caller.inject.reveal()
    if secret:
        name, value = dialect.credential_header(secret)
        out[name] = value
    return out


@dataclass(frozen=True, slots=True)
class Dress:
    """How an answer is dressed: headers of ours, and whether the provider's Content-Length still
    holds.
    """

    extra: Mapping[str, str]
    keep_length: bool = True


class _InOnePiece(web.StreamResponse):
    """Its head leaves together with its first bytes: for an answer that is here already."""

    _send_headers_immediately = False  # as in aiohttp's own web.Response


async def deliver(
    works: Works, reply: aiohttp.ClientResponse, request: web.Request, flow: Flow, dress: Dress
) -> web.StreamResponse:
    """Pass a provider's answer to the client through a flow. A broken answer reaches the client as
    a broken connection.
    """
    here = reply.content.is_eof() and reply.content_type != EVENT_STREAM
    kind = _InOnePiece if here else web.StreamResponse
    client = kind(status=reply.status, reason=reply.reason, headers=response_headers(reply.headers))
    client.headers.update(dress.extra)
    if dress.keep_length and reply.content_length is not None:
        client.content_length = reply.content_length
    works.flows.add(flow)
    flow.hang_up = partial(_hang_up, request)
    try:
        if not flow.client_gone:
            await _begin(client, request, flow)
        whole = await flow.pump(reply, client)
        if whole and not flow.client_gone:
            await flow.finish(client)
        elif request.transport is not None:
            request.transport.close()
    except ConnectionError:  # the client left at the very end
        flow.leave()
    finally:
        works.flows.discard(flow)
        if flow.complete:
            reply.release()
        else:
            reply.close()
    return client


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _begin(client: web.StreamResponse, request: web.Request, flow: Flow) -> None:
    try:
        await client.prepare(request)
    except (ConnectionError, aiohttp.ClientError):
        flow.leave()
