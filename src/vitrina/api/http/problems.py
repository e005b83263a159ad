"""Failures as HTTP responses (RFC 9457): one table maps each error to a status, a code and the words for clients."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple

import orjson
from aiohttp import web

from vitrina import errors
from vitrina.api.http.validation import pointer
from vitrina.domain.api_keys import MOST_KEYS
from vitrina.errors import Allowance, VitrinaError

CONTENT_TYPE: Final = "application/problem+json"


class BadRequest(VitrinaError):
    """The request is not well-formed HTTP."""


@dataclass(eq=False)
class InvalidHeader(VitrinaError):
    """The header `name` is not `form`, which says what it should be; the value is not repeated."""

    name: str
    form: str


class MalformedJson(VitrinaError):
    """The body is not JSON as RFC 8259 and RFC 7493 define it."""


@dataclass(eq=False)
class InvalidTokenRequest(VitrinaError):
    """The body is no token request of OAuth 2.0: `code` is that of RFC 6749 section 5.2."""

    code: Literal["invalid_request", "invalid_scope", "unsupported_grant_type"]
    description: str


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


def _row(status: int, code: str, detail: str, *, title: str | None = None) -> Row:
    """Return a row, whose title is its code in words unless another is given."""
    return Row(HTTPStatus(status), code, title or code.replace("_", " ").capitalize(), detail)


TABLE: Final[dict[type[VitrinaError], Row]] = {
    BadRequest: _row(
        400, "bad_request", "The request is not well-formed HTTP, or its URL or a header has more than 8,190 bytes."
    ),
    InvalidHeader: _row(400, "invalid_header", "The header `{name}` must be {form}."),
    MalformedJson: _row(
        400,
        "malformed_json",
        "The body is not JSON: it is missing, cut short, not UTF-8, begins with a byte order mark, has a name twice, "
        "or holds what JSON does not allow.",
        title="Malformed JSON",
    ),
    InvalidTokenRequest: _row(
        400, "invalid_token_request", "The body is no token request of OAuth 2.0 that is served here."
    ),
    errors.InvalidCursor: _row(
        400, "invalid_cursor", "The cursor is not valid for this query. Start again without a cursor."
    ),
    errors.AuthenticationRequired: _row(
        401,
        "authentication_required",
        "This needs an account: send `Authorization: Bearer` and an access token or an API key.",
    ),
    errors.InvalidToken: _row(
        401,
        "invalid_token",
        "The token or key is malformed, expired or revoked, is not from here, or does not follow `Bearer` in "
        "`Authorization`. Sign in again, or use another key.",
    ),
    errors.TokenReused: _row(
        401, "token_reused", "This refresh token was used before, so its session has been ended. Sign in again."
    ),
    errors.InvalidCredentials: _row(401, "invalid_credentials", "The e-mail or the password is wrong."),
    errors.Forbidden: _row(403, "forbidden", "Your role, or the scope of your API key, does not allow this."),
    errors.NotFound: _row(404, "not_found", "This does not exist, or you may not see it."),
    MethodNotAllowed: _row(
        405,
        "method_not_allowed",
        "This path does not support the method. The `Allow` header lists the methods that it supports.",
    ),
    RequestTimeout: _row(408, "request_timeout", "The body did not arrive in time. Send the request again."),
    errors.Conflict: _row(409, "conflict", "Other requests kept changing the same data. Try again."),
    errors.EmailTaken: _row(409, "email_taken", "Another account has this e-mail.", title="E-mail taken"),
    errors.SkuTaken: _row(409, "sku_taken", "A live product holds this SKU; `holder` says which.", title="SKU taken"),
    errors.TooManyApiKeys: _row(
        409,
        "too_many_api_keys",
        f"You have {MOST_KEYS} API keys, as many as an account may have. Delete one first.",
        title="Too many API keys",
    ),
    errors.NotDeleted: _row(409, "not_deleted", "The product is live, so it cannot be restored."),
    errors.SuperAdminProtected: _row(
        409, "super_admin_protected", "A super_admin can be neither changed nor deleted here."
    ),
    errors.LastSuperAdmin: _row(
        409, "last_super_admin", "This is the last super_admin: it can be neither deleted nor demoted."
    ),
    errors.IdempotencyInProgress: _row(
        409,
        "idempotency_in_progress",
        "A request with this idempotency key is still running. Try again.",
        title="Still running",
    ),
    errors.VersionMismatch: _row(
        412,
        "version_mismatch",
        "The condition on the version does not hold. Read this again; `current_version` is its version now.",
    ),
    PayloadTooLarge: _row(413, "payload_too_large", "The body is larger than 1 MiB. Send a batch in several parts."),
    UnsupportedMediaType: _row(
        415, "unsupported_media_type", "The body must be {media_types}, in UTF-8 and not compressed."
    ),
    errors.ValidationFailed: _row(
        422, "validation_failed", "Some fields are not valid; `errors` says which, and what to change."
    ),
    errors.WrongPassword: _row(422, "wrong_password", "The current password is wrong."),
    errors.IdempotencyKeyReused: _row(
        422,
        "idempotency_key_reused",
        "This idempotency key was used with another body. Use a new key for a new request.",
    ),
    errors.RateLimited: _row(429, "rate_limited", "Too many tries. Wait for as many seconds as `Retry-After` says."),
    InternalError: _row(500, "internal_error", "Something went wrong here; it has been logged under the request id."),
    errors.ReportsNotInstalled: _row(
        501,
        "reports_not_installed",
        "This server has no reports and exports. Its operators can install Vitrina with the extra `reports`.",
    ),
    errors.StreamingUnsupported: _row(
        501,
        "streaming_unsupported",
        "This server cannot send an export. Take the one that its operators store every day, or ask them to run "
        "`vitrina views export` or `vitrina prices export`.",
    ),
    errors.Unavailable: _row(503, "unavailable", "The service cannot do this right now. Try again."),
    errors.TableUnavailable: _row(503, "table_unavailable", "The database does not respond right now. Try again."),
    errors.QueueUnavailable: _row(503, "queue_unavailable", "The queue does not respond right now. Try again."),
    errors.Overloaded: _row(503, "overloaded", "The service has more requests than it can process. Try again."),
}


def describe(error: VitrinaError, *, instance: str) -> dict[str, Any]:
    """Return the members of the problem that `error` becomes; `instance` is the path of the request."""
    row = TABLE[type(error)]
    detail = row.detail
    if isinstance(error, UnsupportedMediaType):
        detail = detail.format(media_types=" or ".join(error.media_types))
    elif isinstance(error, InvalidHeader):
        detail = detail.format(name=error.name, form=error.form)
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
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"} | headers_of(error)
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
        case errors.Unavailable():
            return {"retry_after": error.retry_after}
        case _:
            return {}


def headers_of(error: VitrinaError) -> dict[str, str]:  # noqa: PLR0911 - a row for each kind of error
    """Return the headers that a problem has besides those of all problems."""
    match error:
        case errors.RateLimited():
            none_left = Allowance(limit=error.limit, remaining=0, reset=error.retry_after)
            return rate_limit_headers(none_left) | {"Retry-After": str(error.retry_after)}
        case errors.Unavailable():
            return {"Retry-After": str(error.retry_after)}
        case errors.Conflict() | errors.IdempotencyInProgress():
            return {"Retry-After": "1"}
        case errors.InvalidToken() | errors.TokenReused():
            return {"WWW-Authenticate": 'Bearer realm="vitrina", error="invalid_token"'}
        case errors.AuthenticationRequired():
            return {"WWW-Authenticate": 'Bearer realm="vitrina"'}
        case errors.InvalidCredentials():
            limits = rate_limit_headers(error.allowance) if error.allowance else {}
            return limits | {"WWW-Authenticate": 'Bearer realm="vitrina"'}
        case errors.WrongPassword() | errors.EmailTaken():
            return rate_limit_headers(error.allowance) if error.allowance else {}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case _:
            return {}
