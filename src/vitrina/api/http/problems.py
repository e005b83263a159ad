"""Failures as HTTP responses (RFC 9457): one table maps each error to a status, a code and the words for clients."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from vitrina import errors
from vitrina.api.http.validation import pointer
from vitrina.errors import Allowance, VitrinaError

CONTENT_TYPE: Final = "application/problem+json"


class BadRequest(VitrinaError):
    """The request is not well-formed HTTP."""


class MalformedJson(VitrinaError):
    """The body is not JSON as RFC 8259 and RFC 7493 define it."""


@dataclass(eq=False)
class MethodNotAllowed(VitrinaError):
    """The path exists, with other methods: those in `allowed`."""

    allowed: tuple[str, ...]


class RequestTimeout(VitrinaError):
    """The body did not arrive within `Settings.body_timeout`."""


class PayloadTooLarge(VitrinaError):
    """The body is larger than `body.MAX_BODY`."""


@dataclass(eq=False)
class UnsupportedMediaType(VitrinaError):
    """The body is compressed, not UTF-8, or of a media type other than `media_types`."""

    media_types: tuple[str, ...]


class InternalError(VitrinaError):
    """An unexpected exception, which has been logged."""


class Row(NamedTuple):
    """The problem that an error becomes. `detail` tells people what to do."""

    status: HTTPStatus
    code: str
    title: str
    detail: str


TABLE: Final[dict[type[VitrinaError], Row]] = {
    BadRequest: Row(HTTPStatus.BAD_REQUEST, "bad_request", "Bad request", "The request is not well-formed HTTP."),
    MalformedJson: Row(
        HTTPStatus.BAD_REQUEST,
        "malformed_json",
        "Malformed JSON",
        "The body is not JSON: it is missing, cut short, not UTF-8, or holds what JSON does not allow.",
    ),
    errors.InvalidCursor: Row(
        HTTPStatus.BAD_REQUEST,
        "invalid_cursor",
        "Invalid cursor",
        "The cursor is not valid for this query. Start again without a cursor.",
    ),
    errors.AuthenticationRequired: Row(
        HTTPStatus.UNAUTHORIZED,
        "authentication_required",
        "Authentication required",
        "This needs a signed-in account: send a bearer token.",
    ),
    errors.InvalidToken: Row(
        HTTPStatus.UNAUTHORIZED,
        "invalid_token",
        "Invalid token",
        "The token is malformed, expired or revoked, or was not signed here. Sign in again.",
    ),
    errors.TokenReused: Row(
        HTTPStatus.UNAUTHORIZED,
        "token_reused",
        "Token reused",
        "This refresh token was used before, so its session has been ended. Sign in again.",
    ),
    errors.InvalidCredentials: Row(
        HTTPStatus.UNAUTHORIZED, "invalid_credentials", "Invalid credentials", "The e-mail or the password is wrong."
    ),
    errors.Forbidden: Row(HTTPStatus.FORBIDDEN, "forbidden", "Forbidden", "Your role does not allow this."),
    errors.NotFound: Row(HTTPStatus.NOT_FOUND, "not_found", "Not found", "This does not exist, or you may not see it."),
    MethodNotAllowed: Row(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "Method not allowed",
        "This path does not support the method. The `Allow` header lists the methods that it supports.",
    ),
    RequestTimeout: Row(
        HTTPStatus.REQUEST_TIMEOUT,
        "request_timeout",
        "Request timeout",
        "The body did not arrive in time. Send the request again.",
    ),
    errors.Conflict: Row(
        HTTPStatus.CONFLICT,
        "conflict",
        "Conflict",
        "Other requests kept changing the same data. Try again.",
    ),
    errors.EmailTaken: Row(HTTPStatus.CONFLICT, "email_taken", "E-mail taken", "Another account has this e-mail."),
    errors.SkuTaken: Row(
        HTTPStatus.CONFLICT, "sku_taken", "SKU taken", "A live product holds this SKU; `holder` says which."
    ),
    errors.NotDeleted: Row(
        HTTPStatus.CONFLICT, "not_deleted", "Not deleted", "The product is live, so it cannot be restored."
    ),
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
    errors.IdempotencyInProgress: Row(
        HTTPStatus.CONFLICT,
        "idempotency_in_progress",
        "Still running",
        "A request with this idempotency key is still running. Try again.",
    ),
    errors.VersionMismatch: Row(
        HTTPStatus.PRECONDITION_FAILED,
        "version_mismatch",
        "Version mismatch",
        "This has another version than `If-Match` names. Read it again; `current_version` is its version now.",
    ),
    PayloadTooLarge: Row(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "payload_too_large",
        "Payload too large",
        "The body is larger than 1 MiB.",
    ),
    UnsupportedMediaType: Row(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Unsupported media type",
        "The body must be {media_types}, in UTF-8 and not compressed.",
    ),
    errors.ValidationFailed: Row(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "validation_failed",
        "Validation failed",
        "Some fields are not valid; `errors` says which, and what to change.",
    ),
    errors.WrongPassword: Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "wrong_password", "Wrong password", "The current password is wrong."
    ),
    errors.IdempotencyKeyReused: Row(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "Idempotency key reused",
        "This idempotency key was used with another body. Use a new key for a new request.",
    ),
    errors.RateLimited: Row(
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate_limited",
        "Rate limited",
        "Too many tries. Wait for as many seconds as `Retry-After` says.",
    ),
    InternalError: Row(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "Internal error",
        "Something went wrong here; it has been logged under the request id.",
    ),
    errors.Unavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "Unavailable",
        "The service cannot do this right now. Try again.",
    ),
    errors.TableUnavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "table_unavailable",
        "Table unavailable",
        "The database does not respond right now. Try again.",
    ),
    errors.QueueUnavailable: Row(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "queue_unavailable",
        "Queue unavailable",
        "The queue does not respond right now. Try again.",
    ),
    errors.Overloaded: Row(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "Overloaded",
        "The service has more requests than it can process. Try again.",
    ),
}


def describe(error: VitrinaError, *, instance: str) -> dict[str, Any]:
    """Return the members of the problem that `error` becomes; `instance` is the path of the request."""
    row = TABLE[type(error)]
    detail = row.detail
    if isinstance(error, UnsupportedMediaType):
        detail = detail.format(media_types=" or ".join(error.media_types))
    return {
        "type": type_uri(row.code),
        "title": row.title,
        "status": row.status.value,
        "detail": detail,
        "instance": instance,
        "code": row.code,
    } | _members(error)


def problem(error: VitrinaError, *, instance: str) -> web.Response:
    """Return the response that `error` becomes."""
    members = describe(error, instance=instance)
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"} | _headers(error)
    response = web.Response(body=orjson.dumps(members), status=members["status"], headers=headers)
    if isinstance(error, BadRequest | PayloadTooLarge | RequestTimeout):
        response.force_close()  # The rest of the body would be read as the next request.
    return response


def type_uri(code: str) -> str:
    """Return the URI that identifies a kind of problem; it cannot be fetched (RFC 9457 section 3.1.1)."""
    return f"urn:vitrina:problem:{code}"


def rate_limit_headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers of a rate-limited route (draft-ietf-httpapi-ratelimit-headers-07)."""
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
