"""One connection of a client: aiohttp's, with problem responses, and with bounds on responses that nobody reads."""

from typing import ClassVar, Final

import structlog
from aiohttp import hdrs, web

from vitrina.api.http.app_keys import UNMATCHED
from vitrina.api.http.endpoint import new_request_id
from vitrina.api.http.headers import secure
from vitrina.api.http.problems import BadRequest, InternalError, problem

log = structlog.get_logger(__name__)

_STALL: Final = 20.0
"""Seconds in which a client that has a response waiting must read some of it."""
_MOST_UNREAD: Final = 64 * 1024 * 1024
"""Bytes of responses that wait for slow readers in a process."""


class Connection(web.RequestHandler):
    """aiohttp's connection, whose problem responses do not show aiohttp's version.

    The next of several pipelined requests is not handled while a response to an earlier one is unread, so a connection
    holds one response at most. A client that reads nothing for `_STALL` seconds is disconnected, and so are those that
    hold most when the connections of a process hold more than `_MOST_UNREAD` bytes.
    """

    __slots__ = ("_check", "unread")

    stopping: ClassVar[bool] = False
    """Whether the process stops."""
    _waiting: ClassVar[set["Connection"]] = set()
    """Connections whose clients do not read as fast as they are sent to."""
    _held: ClassVar[int] = 0
    """Bytes that wait for these clients, each as of its last check."""

    def pause_writing(self) -> None:
        """Begin to watch the client: the transport holds more than it should (64 KiB by default)."""
        super().pause_writing()
        self.unread = self.size()
        self._check = self._loop.call_later(_STALL, self._watch)
        self._waiting.add(self)
        Connection._held += self.unread
        while Connection._held > _MOST_UNREAD:
            max(self._waiting, key=lambda each: each.unread).cut("responses_unread")

    def resume_writing(self) -> None:
        """Stop watching the client, which has read nearly all."""
        self._stop_watching()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop watching the client."""
        self._stop_watching()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response, and wait until the client has read it before the next request is handled.

        A chunked request is the last of its connection: aiohttp's parser adds the trailers of its body (RFC 9112
        section 7.1.2) to the headers of the next request, which behind a proxy may be another client's. So is each one
        that ends while the process stops: the client sends its next request to another process (section 9.6).
        """
        if isinstance(resp, web.HTTPException) and isinstance(request, web.Request):
            # No route matches what is no path: `OPTIONS *` and CONNECT.
            resp = await request.app[UNMATCHED](request)
        if hdrs.TRANSFER_ENCODING in request.headers or self.stopping:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if self.writing_paused and self.transport is not None:
            try:
                await self._drain_helper()
            except ConnectionError:
                return finished[0], True
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what the client sent
    ) -> web.StreamResponse:
        """Send a problem and close the connection. Raises ConnectionError if a response has already started.

        This gets what could not be parsed as HTTP, so there is no path and no request id.
        """
        if request.writer.output_size:
            raise ConnectionError("the response has already started")
        if status < 500:  # noqa: PLR2004 - a client error is not logged
            response = problem(BadRequest(), instance="")
        else:
            log.error("connection_failed", exc_info=exc)
            response = problem(InternalError(), instance="")
        secure(response)
        response.headers["X-Request-ID"] = new_request_id()
        response.force_close()
        return response

    def size(self) -> int:
        """Return the bytes that wait for the client."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def _watch(self) -> None:
        size = self.size()
        if size >= self.unread:
            self.cut("response_unread")
        else:
            Connection._held += size - self.unread
            self.unread = size
            self._check = self._loop.call_later(_STALL, self._watch)

    def cut(self, event: str) -> None:
        """Disconnect the client; what it has not read is dropped."""
        log.info(event, bytes=self.size())
        self._stop_watching()
        if self.transport is not None:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self in self._waiting:
            self._waiting.discard(self)
            Connection._held -= self.unread
            self._check.cancel()
