"""The parts of the OpenAPI document that no route declares: headers, parameters and problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from vitrina import errors
from vitrina.api.http.oauth import token_error
from vitrina.api.http.problems import (
    InvalidHeader,
    InvalidTokenRequest,
    MethodNotAllowed,
    UnsupportedMediaType,
    describe,
)
from vitrina.api.http.routing import Route
from vitrina.api.schemas.fields import SKU_SCHEMA
from vitrina.errors import FieldError, VitrinaError

Json = dict[str, Any]

DESCRIPTION: Final = """\
A product catalogue. Sign in at `/v1/auth/login` and send the access token as `Authorization: Bearer …`. A program that
runs unattended sends an API key instead, which an admin creates at `/v1/auth/keys`.
On the interactive page **Authorize** signs in; an open padlock marks the operations that need it.

Errors are problems (RFC 9457) with a stable `code`. After a response with `Retry-After` wait for so many seconds and
send the same request again, and do so if there was no response at all. With an `Idempotency-Key` nothing is done twice
by that; without one a `POST` may be, and another request may meet what its first try has done: 404 to a `DELETE`, 412
under `If-Match`. Every response has an `X-Request-ID`. Unknown fields of a body and unknown query parameters are
rejected. `HEAD` is served wherever `GET` is."""


def _string(description: str, **schema: object) -> Json:
    return {"description": description, "schema": {"type": "string", **schema}}


def _integer(description: str) -> Json:
    return {"description": description, "schema": {"type": "integer", "minimum": 0}}


def _header_parameter(name: str, parameter: Json) -> Json:
    return {"name": name, "in": "header", "required": False, **parameter}


API_KEY: Final = "api_key"
SECURITY_SCHEMES: Final[Json] = {
    "password": {
        "type": "oauth2",
        "description": "Sign in with the e-mail as `username`. `client_id` and `client_secret` are not needed.",
        "flows": {"password": {"tokenUrl": "/v1/auth/token", "refreshUrl": "/v1/auth/token", "scopes": {}}},
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token."},
    API_KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key; each operation names its scope.",
    },
}
PATH_PARAMETERS: Final[Json] = {
    "key_id": {"description": "The API key's id."},
    "notification_id": {"description": "The notice's id."},
    "product_id": {"description": "The product's id."},
    "session_id": {"description": "The session's id."},
    "sku": {
        "description": "The product's SKU, in any case.",
        "example": "LAMP-01",
        "schema": {"type": "string", **SKU_SCHEMA},
    },
    "user_id": {"description": "The account's id."},
}
PARAMETERS: Final[Json] = {
    "IdempotencyKey": _header_parameter(
        "Idempotency-Key",
        _string(
            "A unique key that you choose. A request with the same key and the same body within a day gets the first "
            "response again.",
            pattern="^[\\x21-\\x7e]{1,255}$",
        ),
    ),
    "IfMatch": _header_parameter(
        "If-Match", _string("The `ETag` of the version that you have read, a list of them, or `*`.")
    ),
    "IfNoneMatch": _header_parameter(
        "If-None-Match",
        _string("The `ETag` that you have, a list of them, or `*`. The response is 304 if it is current."),
    ),
    "IfNoneMatchPut": _header_parameter(
        "If-None-Match", _string("`*` to create only. With the `ETag` of a version: not if it is the current one.")
    ),
    "RequestId": _header_parameter(
        "X-Request-ID",
        _string("An id for this request, 1 to 128 of `[A-Za-z0-9/+_.=-]`; any other value is replaced by a new id."),
    ),
}
HEADERS: Final[Json] = {
    "Content-Disposition": _string("The name of the file."),
    "ETag": _string(
        'The version, such as `"3"`; by SKU after the product\'s id, of a list a digest. For both conditions.'
    ),
    "Idempotency-Replayed": _string("`true` when this is a replay of the first response.", enum=["true"]),
    "Link": _string('The next page, `rel="next"`; absent on the last one of a list that ends.'),
    "Location": _string("The path of what was created."),
    "RateLimit-Limit": _integer("The number of tries in a window."),
    "RateLimit-Remaining": _integer("The number of tries left."),
    "RateLimit-Reset": _integer("Seconds until the window ends."),
    "Retry-After": _integer("Seconds to wait before the next try."),
    "WWW-Authenticate": _string("`Bearer`, and the error of the token (RFC 6750)."),
    "X-Request-ID": _string("The id of this request in the logs."),
}
RATE_LIMIT_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
ERROR_HEADERS: Final[dict[int, tuple[str, ...]]] = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", *RATE_LIMIT_HEADERS),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}
SCHEMAS: Final[Json] = {
    "Problem": {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "Identifies the kind of problem."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What to do about it, for people."},
            "instance": {"type": "string", "format": "uri-reference", "description": "The path of the request."},
            "code": {"type": "string", "description": "The kind of problem as one word, for machines."},
            "errors": {
                "type": "array",
                "description": "With `validation_failed`: each rejected field.",
                "items": {"$ref": "#/components/schemas/RefusedField"},
            },
            "holder": {
                "type": "object",
                "description": "With `sku_taken`: the live product that holds the SKU.",
                "required": ["id", "href"],
                "properties": {"id": {"type": "string"}, "href": {"type": "string", "format": "uri-reference"}},
            },
            "current_version": {
                "type": ["integer", "null"],
                "description": "With `version_mismatch`: the version now, null if this does not exist.",
            },
            "retry_after": {"type": "integer", "description": "With status 503: seconds to wait before the next try."},
        },
    },
    "TokenError": {
        "type": "object",
        "description": "Why no token was issued (RFC 6749 section 5.2).",
        "required": ["error", "error_description"],
        "properties": {
            "error": {
                "type": "string",
                "description": "`invalid_request`, `invalid_grant`, `invalid_scope`, `unsupported_grant_type`, or with "
                "429, 500 and 503 the `code` of the problem that this is elsewhere.",
            },
            "error_description": {"type": "string"},
        },
    },
    "RefusedField": {
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "A JSON pointer into the body, or `/` and a parameter."},
            "detail": {"type": "string"},
        },
    },
}
_A_PRODUCT: Final = "019ab5f0-3c1e-7e64-9c3a-5f1d2b7a9e10"
_SAMPLES: Final[dict[type[VitrinaError], VitrinaError]] = {
    InvalidHeader: InvalidHeader("Host", "a host"),
    InvalidTokenRequest: InvalidTokenRequest("invalid_request", "grant_type is required"),
    MethodNotAllowed: MethodNotAllowed(("GET", "HEAD")),
    UnsupportedMediaType: UnsupportedMediaType(("application/json",)),
    errors.RateLimited: errors.RateLimited(retry_after=30, limit=10),
    errors.SkuTaken: errors.SkuTaken(holder_id=_A_PRODUCT),
    errors.ValidationFailed: errors.ValidationFailed([FieldError(("price",), "is required")]),
    errors.VersionMismatch: errors.VersionMismatch(current_version=4),
}


@dataclass(frozen=True, eq=False)
class Demo:
    """What the document of the demo has besides: accounts that anyone may use, and examples that fit its data.

    `bodies` has examples by operation id, and `parameters` by the name of a path's parameter.
    """

    note: str
    bodies: Mapping[str, Json]
    parameters: Mapping[str, str]


NO_DEMO: Final = Demo("", {}, {})


def sample(error: type[VitrinaError]) -> VitrinaError:
    """Return an error of the class, with sample members."""
    return _SAMPLES.get(error) or error()


def example(error: type[VitrinaError], route: Route) -> Json:
    """Return an example of the response of `route` that `error` becomes."""
    failure = sample(error)
    return {"value": token_error(failure)[1] if route.oauth else describe(failure, instance=route.template)}
