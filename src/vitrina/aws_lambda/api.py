"""The API as a Lambda function behind an HTTP API of API Gateway (payload format 2.0).

Each event becomes one request to aiohttp's own server, on a loopback port of the sandbox, so that HTTP means the same
here as in every other deployment. A response is whole before it leaves: routes that stream are refused.
"""

import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiohttp
import structlog
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from vitrina import aws
from vitrina.api.application import create_app
from vitrina.api.http.access_log import AccessLog
from vitrina.api.http.app_keys import ACCESS_LOG, SERVICES
from vitrina.api.server.process import listening
from vitrina.aws_lambda.containers import Container
from vitrina.bootstrap import Services
from vitrina.config import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

log = structlog.get_logger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_FOREVER: Final = 1e9
"""Seconds. While Lambda freezes the sandbox time passes; only the client may then close the connection."""
_DRAIN: Final = 3.0
"""Seconds for which a response waits for views that the table does not take; it holds a sandbox meanwhile."""
_RESERVE: Final = 0.5
"""Seconds before the function's timeout at which it stops to wait."""
_NOT_FORWARDED: Final = frozenset(
    {"connection", "content-length", "cookie", "expect", "forwarded", "host", "keep-alive", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade", "x-forwarded-for", "x-forwarded-proto"}
)  # fmt: skip
"""Headers of a connection, and those that are made from the event's own fields."""
_NOT_RETURNED: Final = frozenset({"connection", "keep-alive", "set-cookie", "transfer-encoding"})
_ADDED_BY_AIOHTTP: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)
_TEXT: Final = ("text/", "application/json", "application/problem+json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The application, served on a loopback port, and the client that brings it the requests of events."""

    url: str
    client: aiohttp.ClientSession
    services: Services
    access_log: AccessLog

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Gateway"]:
        """Start the application. Raises ValueError without the settings' secrets, SecretError if they are unusable."""
        settings = (await aws.read_keys(settings)).model_copy(
            update={
                "host": _LOOPBACK,
                "port": 0,
                "keepalive_timeout": _FOREVER,
                "trusted_proxies": (*settings.trusted_proxies, _LOOPBACK),
            }
        )
        app = create_app(settings, streams=False)
        async with (
            listening(app, settings) as url,
            aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_ADDED_BY_AIOHTTP,
            ) as client,
        ):
            yield cls(url=url, client=client, services=app[SERVICES], access_log=app[ACCESS_LOG])

    async def respond(self, event: Mapping[str, Any], end: float) -> dict[str, Any]:
        """Return the response to an event. It must be there by `end`, a time of `time.monotonic`.

        The views of the request are stored before, or `_DRAIN` seconds long tried to be.
        """
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return await self._request(event)
        finally:
            late = await self.services.views.drain(seconds=min(_DRAIN, max(end - time.monotonic(), 0.0)))
            if late:  # The next invocation of this sandbox stores them, if there is one.
                log.error("views_not_stored_yet", number=late)
            self.access_log.flush()

    async def _request(self, event: Mapping[str, Any]) -> dict[str, Any]:
        text = event.get("body") or ""
        body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
        request = self.client.request(
            event["requestContext"]["http"]["method"],
            _url(self.url, event),
            headers=_headers(event),
            data=io.BytesIO(body) if body else None,
            allow_redirects=False,
        )
        async with request as response:
            return _answer(response, await response.read())


CONTAINER: Final = Container(Gateway.open)


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer one request."""
    seconds = max(context.get_remaining_time_in_millis() / 1000 - _RESERVE, _RESERVE)
    return CONTAINER.run(partial(_respond, event, time.monotonic() + seconds))


async def _respond(event: Mapping[str, Any], end: float, gateway: Gateway) -> dict[str, Any]:
    return await gateway.respond(event, end)


def _url(base: str, event: Mapping[str, Any]) -> URL:
    """Return the URL of an event. API Gateway may have decoded the path, so what a URL cannot hold is escaped."""
    path = quote(event["rawPath"], safe="/%:@!$&'()*+,;=-._~")
    query = quote(event.get("rawQueryString") or "", safe="/?%:@!$&'()*+,;=-._~")
    return URL(f"{base}{path}{'?' if query else ''}{query}", encoded=True)


def _headers(event: Mapping[str, Any]) -> CIMultiDict[str]:
    """Return the headers of a request: the client's own, its cookies, and what the gateway knows of the client.

    The gateway's address of the client is the last hop, so that a header of the client's counts only as far as
    `VITRINA_TRUSTED_PROXIES` trusts that address.
    """
    context = event["requestContext"]
    given = {name.lower(): value for name, value in event.get("headers", {}).items()}
    headers = CIMultiDict({name: value for name, value in given.items() if name not in _NOT_FORWARDED})
    hops = (given.get("x-forwarded-for"), context["http"]["sourceIp"])
    headers["Host"] = context["domainName"]
    headers["X-Forwarded-For"] = ", ".join(filter(None, hops))
    headers["X-Forwarded-Proto"] = "https"
    if cookies := event.get("cookies"):
        headers["Cookie"] = "; ".join(cookies)
    return headers


def _answer(response: aiohttp.ClientResponse, body: bytes) -> dict[str, Any]:
    """Return a response as Lambda's own; a header that came in several lines is joined (RFC 9110 section 5.3)."""
    names = dict.fromkeys(name.lower() for name in response.headers)
    headers = {name: ", ".join(response.headers.getall(name)) for name in names if name not in _NOT_RETURNED}
    is_text = headers.get("content-type", "").startswith(_TEXT) and "content-encoding" not in headers
    return {
        "statusCode": response.status,
        "headers": headers,
        "cookies": response.headers.getall(hdrs.SET_COOKIE, []),
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }
