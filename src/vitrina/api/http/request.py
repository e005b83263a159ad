"""A request as a handler sees it, and the conditions that its headers state (RFC 9110 sections 8.8.3 and 13.1)."""

import math
import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Generic, Literal, NamedTuple, TypeVar, cast

from aiohttp import hdrs, web
from multidict import istr

from vitrina.api.http.app_keys import AUTHENTICATOR, PROXY_HEADERS, SETTINGS
from vitrina.api.http.problems import InvalidHeader
from vitrina.domain.users import Principal
from vitrina.domain.versions import Precondition
from vitrina.errors import AuthenticationRequired, InvalidToken, ValidationFailed

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_LONGEST_AGENT: Final = 512
_PURPOSES: Final = (istr("Sec-Purpose"), istr("Purpose"), istr("X-Purpose"), istr("X-Moz"))
_SPECULATIVE: Final = re.compile(r"(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;=])", re.IGNORECASE)
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_TAG: Final = re.compile(r'(W/)?"([^\x00-\x20"\x7f]*)"[ \t]*(?:,[ \t,]*|\Z)')
"""One tag of a list (section 8.8.3), with the commas and empty elements after it (section 5.6.1.2)."""
_LONGEST_TAGS: Final = 8_190
"""Characters of a list of tags in several lines: as many as aiohttp accepts in one."""
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|((?:[\w-]{1,63}\.)*([\w-]{1,63}))\.?)(?::([0-9]{1,5}))?", re.ASCII)
"""An IPv6 address, or a name or IPv4 address with its last label, and a port (RFC 9110 section 7.2)."""
_LONGEST_HOST: Final = 260
_MOST_PORT: Final = 65535


class EntityTag(NamedTuple):
    """An entity tag without its quotes."""

    weak: bool
    opaque: str


class Request(Generic[BodyT, QueryT]):
    """A request with its validated `body` and `query`, which are None where the handler declares none.

    `principal` is the account that calls, None for an anonymous visitor of a public route. `raw` is aiohttp's request,
    and `raw_body` the bytes that `body` was parsed from. `due` is when a request with a body must have its response, by
    the loop's clock: then it is 503.
    """

    __slots__ = ("body", "due", "principal", "query", "raw", "raw_body", "request_id")

    def __init__(self, raw: web.Request, request_id: str) -> None:
        self.raw = raw
        self.request_id = request_id
        self.principal: Principal | None = None
        self.body = cast(BodyT, None)
        self.query = cast(QueryT, None)
        self.raw_body = b""
        self.due = math.inf

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
        return self.raw.headers.get(hdrs.USER_AGENT, "")[:_LONGEST_AGENT]

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
        keys = self.raw.headers.getall("Idempotency-Key", None)
        if keys is None:
            return None
        if len(keys) > 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
            raise ValidationFailed.of("Idempotency-Key", "must be one key of 1 to 255 visible ASCII characters")
        return keys[0]

    @property
    def caller(self) -> Principal:
        """The principal of a route that needs one. Raises AuthenticationRequired if there is none."""
        if self.principal is None:
            raise AuthenticationRequired
        return self.principal

    async def authenticate(self) -> Principal | None:
        """Return the caller, None for an anonymous visitor: 1 call, 2 at an API key's first use of a day.

        Raises InvalidToken.

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

    def precondition(self) -> Precondition:
        """Return what `If-Match` and `If-None-Match` require of what is written. Raises InvalidHeader.

        The comparison with `If-Match` is strong, so a weak tag matches nothing, and that with `If-None-Match` weak
        (section 8.8.3.2).
        """
        match, none_match = self.entity_tags(hdrs.IF_MATCH), self.entity_tags(hdrs.IF_NONE_MATCH)
        return Precondition(
            match=frozenset(tag.opaque for tag in match if not tag.weak) if isinstance(match, list) else match,
            none_match=frozenset(tag.opaque for tag in none_match) if isinstance(none_match, list) else none_match,
        )

    def if_none_match(self, etag: int | str) -> bool:
        """Return whether `If-None-Match` names `etag`, so that the response is 304. Raises InvalidHeader.

        The comparison is weak.
        """
        tags = self.entity_tags(hdrs.IF_NONE_MATCH)
        return tags is not None and (tags == "*" or any(tag.opaque == str(etag) for tag in tags))

    def entity_tags(self, name: str) -> list[EntityTag] | Literal["*"] | None:
        """Return the tags of `If-Match` or `If-None-Match`, None without the header. Raises InvalidHeader.

        The header may come in several lines (section 5.3), which together may be as long as one.
        """
        headers = self.raw.headers
        if name not in headers:
            return None
        lines = headers.getall(name)
        if lines == ["*"]:
            return "*"
        header = ", ".join(lines).strip(" \t,")
        if len(header) > _LONGEST_TAGS:
            raise InvalidHeader(name, f"at most {_LONGEST_TAGS} characters")
        tags, position = [], 0
        while position < len(header):
            match = _TAG.match(header, position)
            if match is None:
                raise InvalidHeader(name, 'a list of entity tags such as `"3"`, or `*`')
            tags.append(EntityTag(match[1] is not None, match[2]))
            position = match.end()
        return tags

    def check_host(self) -> None:
        """Raise InvalidHeader unless `Host` is a host and port; aiohttp refuses none or two (RFC 9112 section 3.2)."""
        if not _is_host(self.raw.host):
            raise InvalidHeader(hdrs.HOST, "a host, with a port if it is not the scheme's own")

    def url(self, path: str) -> str:
        """Return the absolute URL of `path`, on `Settings.public_url` or on the host of this request."""
        if base := self.app[SETTINGS].public_url:
            return base.rstrip("/") + path
        scheme = "https" if self.app[PROXY_HEADERS].is_https(self.raw) else "http"
        return f"{scheme}://{self.raw.host}{path}"

    def next_link(self, cursor: str) -> str:
        """Return a `Link` header to the next page (RFC 8288): the same query with a cursor in place of any `from`."""
        # The target's host is that of one in absolute form, and not used.
        url = self.raw.rel_url.without_query_params("from").update_query(cursor=cursor)
        return f'<{self.url(f"{url.raw_path}?{url.raw_query_string}")}>; rel="next"'


@lru_cache
def _is_host(text: str) -> bool:
    """Return whether a text is a host and port. A name whose last label is a number must be an IPv4 address."""
    match = _HOST.fullmatch(text)
    if match is None or len(text) > _LONGEST_HOST or int(match[4] or 0) > _MOST_PORT:
        return False
    try:
        if match[1] is not None:
            IPv6Address(match[1])
        elif match[3].isdigit():
            IPv4Address(match[2])
    except ValueError:
        return False
    return True
