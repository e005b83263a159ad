"""A request as a handler sees it, and the conditions that its headers state (RFC 9110 sections 8.8.3 and 13.1)."""

import re
from typing import Final, Generic, TypeVar, cast

from aiohttp import web
from multidict import istr
from yarl import URL

from vitrina.api.http.app_keys import AUTHENTICATOR, PROXY_HEADERS, SETTINGS
from vitrina.domain.users import Principal
from vitrina.domain.versions import Expected
from vitrina.errors import AuthenticationRequired, InvalidToken, ValidationFailed

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_LONGEST_AGENT: Final = 512
_PURPOSES: Final = (istr("Sec-Purpose"), istr("Purpose"), istr("X-Purpose"), istr("X-Moz"))
_SPECULATIVE: Final = re.compile(r"(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;=])", re.IGNORECASE)
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_TAG: Final = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,[ \t,]*|$)')
"""One tag of a list, whose elements may be empty (section 5.6.1.2)."""
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class Request(Generic[BodyT, QueryT]):
    """A request with its validated `body` and `query`, which are None where the handler declares none.

    `principal` is the signed-in account and its session, None for an anonymous visitor of a public route. `raw` is
    aiohttp's request, and `raw_body` the bytes that `body` was parsed from.
    """

    __slots__ = ("body", "principal", "query", "raw", "raw_body", "request_id")

    def __init__(self, raw: web.Request, request_id: str) -> None:
        self.raw = raw
        self.request_id = request_id
        self.principal: Principal | None = None
        self.body = cast(BodyT, None)
        self.query = cast(QueryT, None)
        self.raw_body = b""

    @property
    def app(self) -> web.Application:
        """The application, which holds the services."""
        return self.raw.app

    @property
    def is_head(self) -> bool:
        """Whether the client wants the headers alone."""
        return self.raw.method == "HEAD"

    @property
    def address(self) -> str:
        """The client's address, as far as trusted proxies report it."""
        return self.app[PROXY_HEADERS].address(self.raw)

    @property
    def user_agent(self) -> str:
        """The `User-Agent`, cut to 512 characters; empty if there is none."""
        return self.raw.headers.get("User-Agent", "")[:_LONGEST_AGENT]

    @property
    def is_speculative(self) -> bool:
        """Whether a browser reads ahead of a visit that may never come.

        It says so by `Sec-Purpose` (Fetch standard), older ones by a header of their own.
        """
        headers = self.raw.headers
        for name in _PURPOSES:  # noqa: SIM110 - a generator takes thrice as long, on each anonymous read
            if name in headers and any(map(_SPECULATIVE.search, headers.getall(name))):
                return True
        return False

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key`, None if there is none. Raises ValidationFailed."""
        key = self.raw.headers.get("Idempotency-Key")
        if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
            raise ValidationFailed.of("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        return key

    @property
    def caller(self) -> Principal:
        """The principal of a route that needs one. Raises AuthenticationRequired if there is none."""
        if self.principal is None:
            raise AuthenticationRequired
        return self.principal

    async def authenticate(self) -> Principal | None:
        """Return the caller, None for an anonymous visitor: at most 1 call to the table. Raises InvalidToken.

        Only handlers of routes with `late_authentication` call this themselves.
        """
        values = self.raw.headers.getall("Authorization", None)
        if values is None:
            return None
        match = _BEARER.fullmatch(values[0])
        if match is None or len(values) > 1:
            raise InvalidToken
        self.principal = await self.app[AUTHENTICATOR].authenticate(match[1])
        return self.principal

    def parameter(self, name: str) -> str:
        """Return a parameter of the path."""
        return self.raw.match_info[name]

    def if_match(self) -> Expected:
        """Return the versions that `If-Match` accepts; None is any."""
        return if_match(self._list("If-Match"))

    def if_none_match(self, etag: int | str) -> bool:
        """Say whether `If-None-Match` names `etag`, so that the response is 304."""
        return if_none_match(self._list("If-None-Match"), etag)

    def _list(self, name: str) -> str | None:
        """Return a list header, whether it came in one line or in several (RFC 9110 section 5.3)."""
        lines = self.raw.headers.getall(name, None)
        return None if lines is None else ", ".join(lines)

    def url(self, path: str) -> str:
        """Return the absolute URL of `path`, on `Settings.public_url` or on the host of this request."""
        if base := self.app[SETTINGS].public_url:
            return base.rstrip("/") + path
        scheme = "https" if self.app[PROXY_HEADERS].is_https(self.raw) else "http"
        return f"{scheme}://{self.raw.host}{path}"

    def next_link(self, cursor: str) -> str:
        """Return a `Link` header to the next page: the same query with another cursor (RFC 8288)."""
        relative: URL = self.raw.rel_url.update_query(cursor=cursor)
        return f'<{self.url(str(relative))}>; rel="next"'


def if_match(header: str | None) -> Expected:
    """Return the versions that an `If-Match` accepts; None, for any version, without the header and for `*`.

    The comparison is strong (section 8.8.3.2): weak tags, malformed headers
    and tags that are no versions match nothing.
    """
    if header is None or header.strip() == "*":
        return None
    tags = _tags(header)
    return frozenset(int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))


def if_none_match(header: str | None, etag: int | str) -> bool:
    """Say whether the client already has the version of `etag`, so that the response is 304 (weak comparison)."""
    if header is None:
        return False
    return header.strip() == "*" or any(tag == str(etag) for _, tag in _tags(header))


def _tags(header: str) -> list[tuple[bool, str]]:
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(header):
        match = _TAG.match(header, position)
        if match is None:
            return []
        tags.append((match[1] is not None, match[2]))
        position = match.end()
    return tags
