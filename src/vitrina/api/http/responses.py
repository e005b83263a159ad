"""Responses: models as JSON, with the headers that most of them share."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from aiohttp import web
from multidict import CIMultiDict
from pydantic import BaseModel, ConfigDict

from vitrina.api.http.body import JSON
from vitrina.api.http.request import Request
from vitrina.clock import rfc3339

_JSON_HEADERS: Final = CIMultiDict({"Content-Type": JSON})


class Resource(BaseModel):
    """A response body, or a part of one; `model_validate` takes a domain value with the same attributes."""

    model_config = ConfigDict(frozen=True, from_attributes=True, defer_build=True)


def json_response(
    content: BaseModel | bytes | None = None,
    *,
    status: int = 200,
    etag: int | str | None = None,
    location: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a JSON response. `etag` is the tag without its quotes, most often a version.

    It must not be cached (`no-store`) unless `headers` has a `Cache-Control`.
    """
    body = render(content) if isinstance(content, BaseModel) else content
    response = web.Response(body=body, status=status, headers=None if body is None else _JSON_HEADERS)
    if etag is not None:
        response.headers["ETag"] = f'"{etag}"'
    if location is not None:
        response.headers["Location"] = location
    if headers is not None:
        response.headers.update(headers)
    return response


def conditional_response(
    request: Request[Any, Any], content: BaseModel | bytes, *, etag: int | str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return `content`, or 304 if `If-None-Match` names `etag` (RFC 9110 section 13.1.2)."""
    if request.if_none_match(etag):
        return json_response(status=304, etag=etag, headers=headers)
    return json_response(content, etag=etag, headers=headers)


def render(model: BaseModel) -> bytes:
    """Return a model as JSON: times as `clock.rfc3339` writes them, decimals as strings."""
    return orjson.dumps(model.model_dump(by_alias=True), default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _plain(value: object) -> str:
    match value:
        case datetime():
            return rfc3339(value)
        case Decimal():
            return str(value)
        case _:
            raise TypeError(f"a {type(value).__name__} has no form in JSON")
