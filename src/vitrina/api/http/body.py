"""Request bodies: read within limits and parsed strictly (RFC 8259, and RFC 7493 where that leaves room)."""

import asyncio
import codecs
import json
from typing import Any, Final, Self

from aiohttp import ClientError, web

from vitrina.api.http.problems import BadRequest, MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body."""
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_LONGEST_INT: Final = 18
"""Digits that a Python int is made of; longer ones (4,300 may cost seconds) stay text, as fractions do."""


class JsonNumber(float):
    """A JSON number that is no plain int. `text` is what was written: whoever minds the digits reads it instead."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the text of a number beside its value."""
        number = super().__new__(cls, text)
        number.text = text
        return number


async def read_body(request: web.Request, *, media_types: tuple[str, ...], seconds: float) -> bytes:
    """Return the body's bytes, none if there is no body; it has `seconds` to arrive.

    Raises UnsupportedMediaType, PayloadTooLarge, RequestTimeout and BadRequest (the client broke off, or its chunks
    are malformed). A compressed body is refused before a byte of it is unpacked.
    """
    headers = request.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(media_types)
    # Some clients name a type for no body, and the type of nothing does not matter.
    if request.body_exists and "Content-Type" in headers and not _is_media_type(request, media_types):
        raise UnsupportedMediaType(media_types)
    if (request.content_length or 0) > MAX_BODY:
        raise PayloadTooLarge
    await _ask_for_body(request)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise PayloadTooLarge
    except TimeoutError as error:
        raise RequestTimeout from error
    except (ClientError, ConnectionError, web.RequestPayloadError) as error:
        raise BadRequest from error
    if body and "Content-Type" not in headers:
        raise UnsupportedMediaType(media_types)
    return bytes(body)


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - JSON is any value
    """Parse a body. Raises MalformedJson, also for what many parsers let through and then disagree about.

    That is: duplicate names, NaN and Infinity, a byte order mark, NUL or half a surrogate pair in a string, and nesting
    deeper than the interpreter's stack.
    """
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedJson
    try:
        text = body.decode()
        value = _DECODER.decode(text)
        if "\\u" in text:  # Only an escape can bring what UTF-8 and the parser refuse in the plain.
            _check_strings(value)
    except (ValueError, RecursionError) as error:
        raise MalformedJson from error
    return value


def _is_media_type(request: web.Request, media_types: tuple[str, ...]) -> bool:
    charset = request.charset
    return request.content_type in media_types and (charset is None or charset.lower() in {"utf-8", "utf8"})


async def _ask_for_body(request: web.Request) -> None:
    """Answer `Expect: 100-continue` only now, so that a client who is refused never sends its body."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # As aiohttp does itself: this was not the answer yet.


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _integer(text: str) -> int | JsonNumber:
    """Make an int of what one says wholly: `-0` has a sign that an int would lose."""
    return int(text) if len(text) <= _LONGEST_INT and text != "-0" else JsonNumber(text)


def _refuse(constant: str) -> Any:  # noqa: ANN401 - it never returns
    raise ValueError(f"{constant} is not JSON")


def _check_strings(value: object) -> None:
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                if "\0" in text:
                    raise ValueError("NUL in a string")
                text.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair.
            case list() as items:
                left += items
            case dict() as members:
                left += members
                left += members.values()


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=JsonNumber, parse_int=_integer, parse_constant=_refuse
)
