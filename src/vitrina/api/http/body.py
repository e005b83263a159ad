"""Request bodies: read within limits and parsed strictly (RFC 8259, and RFC 7493 where that leaves room)."""

import asyncio
import codecs
import json
import re
from typing import Any, Final, Self

from aiohttp import ClientError, web

from vitrina.api.http.problems import BadRequest, MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from vitrina.errors import FieldError, ValidationFailed

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body."""
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
MOST_MEMBERS: Final = 100
"""Members and items of a body; 100 times as many where its model has a list."""
_ELEMENT: Final = r'(?:[^",]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))*+,'
"""A member or an item up to its comma; the match takes one pass, also over a string that has no end."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters that are no white space; a field itself decides on line breaks and tabs."""
_MOST_ERRORS: Final = 20
_WORD: Final = r"[\w!#$%&'*+.^`|~-]++"
_MEDIA_TYPE: Final = re.compile(rf"({_WORD}/{_WORD})[ \t]*+", re.ASCII)
_PARAMETER: Final = re.compile(rf';[ \t]*+(?:({_WORD})=({_WORD}|"(?:[^"\\]|\\.)*+"))?+[ \t]*+', re.ASCII)
"""A media type, and one of its parameters (RFC 9110 section 8.3.1). The parser of `email`, which aiohttp uses, takes
seconds for 8 KB of semicolons."""
_LONGEST_INT: Final = 18
"""Digits of the longest number that becomes an int. Longer ones stay text: parsing a million digits takes seconds."""


class JsonNumber(float):
    """A JSON number that is no plain int. `text` is what the client wrote, for fields that need its exact digits."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        """Return the number with its text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


async def read_body(request: web.Request, *, media_types: tuple[str, ...], seconds: float) -> bytes:
    """Return the bytes of the body, empty if there is none; all of it must arrive within `seconds`.

    Raises UnsupportedMediaType, PayloadTooLarge, RequestTimeout and BadRequest (the client disconnected, or its chunks
    are malformed). A compressed body is rejected before any of it is decompressed.
    """
    headers = request.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(media_types)
    # Some clients send a Content-Type without a body; it is ignored.
    content_type = headers.get("Content-Type")
    if request.body_exists and content_type is not None and not _is_media_type(content_type, media_types):
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
    if body and content_type is None:
        raise UnsupportedMediaType(media_types)
    return bytes(body)


def parse_json(body: bytes, *, most: int = MOST_MEMBERS, lenient: bool = False) -> Any:  # noqa: ANN401 - JSON is any value
    """Parse a body. Raises MalformedJson, also for what parsers accept and read in different ways.

    That is: duplicate names, NaN and Infinity, a byte order mark, a lone surrogate in a string, and nesting deeper than
    the interpreter's stack. Raises ValidationFailed for control characters in names and strings, and, before it
    builds anything, for more than `most` members and items: 93,000 of them would block the event loop for a second.
    If `lenient`, control characters are let pass, and the caller looks for them (`control_characters`).
    """
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedJson
    try:
        text = body.decode()
        if re.match(rf"\s*[{{\[](?:{_ELEMENT}){{{most}}}", text, re.DOTALL):
            raise ValidationFailed([FieldError((), f"has more than {most} members and items")])
        value = _DECODER.decode(text)
        if ("\\" in text or _CONTROL.search(text)) and (refused := control_characters(value)) and not lenient:
            raise ValidationFailed(refused)
    except (ValueError, RecursionError) as error:
        raise MalformedJson from error
    return value


def _is_media_type(text: str, media_types: tuple[str, ...]) -> bool:
    """Return whether a `Content-Type` is one of `media_types`, in UTF-8 if it has a charset."""
    match = _MEDIA_TYPE.match(text)
    if match is None or match[1].lower() not in media_types:
        return False
    while match.end() < len(text):
        match = _PARAMETER.match(text, match.end())
        if match is None:
            return False
        name, value = match[1] or "", match[2] or ""
        if name.lower() == "charset" and value.strip('"').lower() not in {"utf-8", "utf8"}:
            return False
    return True


async def _ask_for_body(request: web.Request) -> None:
    """Send `100 Continue` if the client waits for it: only now, so that a rejected client never sends its body."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # As aiohttp does: the final response has not started.


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _integer(text: str) -> int | JsonNumber:
    """Return an int where one is exact: `-0` has a sign that an int would lose."""
    return int(text) if len(text) <= _LONGEST_INT and text != "-0" else JsonNumber(text)


def _refuse(constant: str) -> Any:  # noqa: ANN401 - it never returns
    raise ValueError(f"{constant} is not JSON")


_Path = tuple["_Path", str | int] | None
"""The path to a value: the path to what holds it, and its name or position. Paths share their beginnings."""


def control_characters(value: object) -> list[FieldError]:
    """Return what has a control character, at most `_MOST_ERRORS`. Raises ValueError for a lone surrogate."""
    left: list[tuple[_Path, object]] = [(None, value)]
    refused: list[FieldError] = []
    for path, item in left:  # It grows meanwhile.
        match item:
            case str():
                item.encode()  # Raises UnicodeEncodeError, a ValueError, for a lone surrogate.
                if _CONTROL.search(item):
                    refused.append(FieldError(_names(path), "holds a control character"))
            case list():
                left += [((path, position), part) for position, part in enumerate(item)]
            case dict():
                for name, part in item.items():
                    name.encode()
                    if _CONTROL.search(name):
                        refused.append(FieldError(_names((path, name)), "has a control character in its name"))
                    left.append(((path, name), part))
    return refused[:_MOST_ERRORS]


def _names(path: _Path) -> tuple[str | int, ...]:
    names: list[str | int] = []
    while path is not None:
        path, name = path
        names.append(name)
    return tuple(reversed(names))


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=JsonNumber, parse_int=_integer, parse_constant=_refuse
)
