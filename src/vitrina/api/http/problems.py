"""Failures as HTTP answers (RFC 9457): one table says which status and code each error becomes."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from vitrina import errors
from vitrina.api.http.validation import pointer
from vitrina.errors import Allowance, VitrinaError

CONTENT_TYPE: Final = "application/problem+json"


@dataclass(eq=False)
class BadRequest(VitrinaError):
    """The request is not well-formed HTTP."""


@dataclass(eq=False)
class MalformedJson(VitrinaError):
    """The body is not JSON: it is missing, cut short, not UTF-8, or holds what JSON does not allow."""


@dataclass(eq=False)
class MethodNotAllowed(VitrinaError):
    """This path does not answer to that method; `Allow` says to which it does."""

    allowed: tuple[str, ...]


@dataclass(eq=False)
class RequestTimeout(VitrinaError):
    """The body did not arrive in time: send it again."""


@dataclass(eq=False)
class PayloadTooLarge(VitrinaError):
    """The body is larger than 1 MiB."""


@dataclass(eq=False)
class UnsupportedMediaType(VitrinaError):
    """The body must be of a media type that this route takes, in UTF-8 and not compressed."""

    media_types: tuple[str, ...]

    def __str__(self) -> str:
        """Return the sentence that names them."""
        return f"The body must be {' or '.join(self.media_types)}, in UTF-8 and not compressed."


@dataclass(eq=False)
class InternalError(VitrinaError):
    """Something went wrong here; it has been logged under the request id."""


class Row(NamedTuple):
    """What an error becomes: `detail` is the error's own sentence if empty."""

    status: HTTPStatus
    code: str
    title: str
    detail: str = ""


TABLE: Final[dict[type[VitrinaError], Row]] = {
    BadRequest: Row(HTTPStatus.BAD_REQUEST, "bad_request", "Bad request"),
    MalformedJson: Row(HTTPStatus.BAD_REQUEST, "malformed_json", "Malformed JSON"),
    errors.InvalidCursor: Row(HTTPStatus.BAD_REQUEST, "invalid_cursor", "Invalid cursor"),
    errors.AuthenticationRequired: Row(HTTPStatus.UNAUTHORIZED, "authentication_required", "Authentication required"),
    errors.InvalidToken: Row(HTTPStatus.UNAUTHORIZED, "invalid_token", "Invalid token"),
    errors.TokenReused: Row(HTTPStatus.UNAUTHORIZED, "token_reused", "Token reused"),
    errors.InvalidCredentials: Row(HTTPStatus.UNAUTHORIZED, "invalid_credentials", "Invalid credentials"),
    errors.Forbidden: Row(HTTPStatus.FORBIDDEN, "forbidden", "Forbidden"),
    errors.NotFound: Row(HTTPStatus.NOT_FOUND, "not_found", "Not found"),
    MethodNotAllowed: Row(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
    RequestTimeout: Row(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "Request timeout"),
    errors.Conflict: Row(HTTPStatus.CONFLICT, "conflict", "Conflict"),
    errors.EmailTaken: Row(HTTPStatus.CONFLICT, "email_taken", "E-mail taken"),
    errors.SkuTaken: Row(
        HTTPStatus.CONFLICT, "sku_taken", "SKU taken", "A live product holds this SKU; `holder` says which."
    ),
    errors.NotDeleted: Row(HTTPStatus.CONFLICT, "not_deleted", "Not deleted"),
    errors.SuperAdminProtected: Row(
        HTTPStatus.CONFLICT,
        "super_admin_protected",
        "Super admin protected",
        "A super_admin can be neither changed nor deleted here.",
    ),
    errors.LastSuperAdmin: Row(
        HTTPStatus.CONFLICT,
        "last_super_admin",
        "Last super admin",
        "This is the last super_admin: it can be neither deleted nor demoted.",
    ),
    errors.IdempotencyInProgress: Row(HTTPStatus.CONFLICT, "idempotency_in_progress", "Still running"),
    errors.VersionMismatch: Row(
        HTTPStatus.PRECONDITION_FAILED,
        "version_mismatch",
        "Version mismatch",
        "It has changed since the version that you named: read it again; `current_version` is its version now.",
    ),
    PayloadTooLarge: Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload_too_large", "Payload too large"),
    UnsupportedMediaType: Row(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type"),
    errors.ValidationFailed: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "validation_failed", "Validation failed"),
    errors.WrongPassword: Row(HTTPStatus.UNPROCESSABLE_ENTITY, "wrong_password", "Wrong password"),
    errors.IdempotencyKeyReused: Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused"
    ),
    errors.RateLimited: Row(
        HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "Rate limited", "Too many tries: wait as `Retry-After` says."
    ),
    InternalError: Row(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Internal error"),
    errors.Unavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "Unavailable", "The service cannot do this right now: try again."
    ),
    errors.TableUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, "table_unavailable", "Table unavailable"),
    errors.QueueUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, "queue_unavailable", "Queue unavailable"),
    errors.Overloaded: Row(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
}


def describe(error: VitrinaError, *, instance: str) -> dict[str, Any]:
    """Return the members of the problem that `error` is; `instance` is the path that was asked for."""
    row = TABLE[type(error)]
    return {
        "type": type_uri(row.code),
        "title": row.title,
        "status": row.status.value,
        "detail": row.detail or str(error),
        "instance": instance,
        "code": row.code,
    } | _members(error)


def problem(error: VitrinaError, *, instance: str) -> web.Response:
    """Return the answer that `error` becomes."""
    members = describe(error, instance=instance)
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"} | _headers(error)
    response = web.Response(body=orjson.dumps(members), status=members["status"], headers=headers)
    if isinstance(error, BadRequest | PayloadTooLarge | RequestTimeout):
        response.force_close()  # What is left of the request would be read as the next one.
    return response


def type_uri(code: str) -> str:
    """Return the stable name of a kind of problem; it names and does not locate (RFC 9457 section 3.1.1)."""
    return f"urn:vitrina:problem:{code}"


def rate_limit_headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers of a limited route (draft-ietf-httpapi-ratelimit-headers-07)."""
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
    }


def _members(error: VitrinaError) -> dict[str, Any]:
    match error:
        case errors.ValidationFailed():
            return {"errors": [{"pointer": pointer(*field.path), "detail": field.detail} for field in error.errors]}
        case errors.SkuTaken():
            return {"holder": {"id": error.holder_id, "href": f"/v1/products/{error.holder_id}"}}
        case errors.VersionMismatch():
            return {"current_version": error.current_version}
        case _:
            return {}


def _headers(error: VitrinaError) -> dict[str, str]:  # noqa: PLR0911 - a row for each kind of error
    match error:
        case errors.RateLimited():
            none_left = Allowance(limit=error.limit, remaining=0, reset=error.retry_after)
            return rate_limit_headers(none_left) | {"Retry-After": str(error.retry_after)}
        case errors.Unavailable():
            return {"Retry-After": str(error.retry_after)}
        case errors.InvalidToken() | errors.TokenReused():
            return {"WWW-Authenticate": 'Bearer realm="vitrina", error="invalid_token"'}
        case errors.AuthenticationRequired():
            return {"WWW-Authenticate": 'Bearer realm="vitrina"'}
        case errors.InvalidCredentials():
            limits = rate_limit_headers(error.allowance) if error.allowance else {}
            return limits | {"WWW-Authenticate": 'Bearer realm="vitrina"'}
        case errors.WrongPassword():
            return rate_limit_headers(error.allowance) if error.allowance else {}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case _:
            return {}
