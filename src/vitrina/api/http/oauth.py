"""The token endpoint of OAuth 2.0 on the wire (RFC 6749): a form comes in, and failures are errors of section 5.2."""

import re
from collections import Counter
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from vitrina.api.http.body import JSON
from vitrina.api.http.problems import (
    BadRequest,
    InvalidHeader,
    InvalidTokenRequest,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
    describe,
    problem,
)
from vitrina.errors import InvalidCredentials, InvalidToken, TokenReused, ValidationFailed, VitrinaError

FORM: Final = "application/x-www-form-urlencoded"
NOT_CACHED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""Headers of each response (section 5.1)."""
_MOST_PARAMETERS: Final = 20
_UNFIT: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no parameter may have (appendix A)."""


def parse_form(body: bytes) -> dict[str, str]:
    """Return the parameters of a form; an empty one counts as left out. Raises InvalidTokenRequest (section 3.2)."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise InvalidTokenRequest("invalid_request", "The body is not a form in UTF-8.") from error
    if any(number > 1 for number in Counter(name for name, _ in pairs).values()):
        raise InvalidTokenRequest("invalid_request", "A parameter is given more than once.")
    if any(_UNFIT.search(value) for _, value in pairs):
        raise InvalidTokenRequest("invalid_request", "A parameter holds a control character.")
    return {name: value for name, value in pairs if value}


def token_error(error: VitrinaError) -> tuple[int, dict[str, str]]:
    """Return the status and the members of the response that `error` becomes."""
    members = describe(error, instance="")
    status, code, description = members["status"], members["code"], members["detail"]
    match error:
        case InvalidTokenRequest():
            code, description = error.code, error.description
        case ValidationFailed():
            status, code = HTTPStatus.BAD_REQUEST.value, "invalid_request"
            description = "; ".join(f"{'.'.join(map(str, field.path))} {field.detail}" for field in error.errors)
        case InvalidCredentials() | InvalidToken() | TokenReused():
            status, code = HTTPStatus.BAD_REQUEST.value, "invalid_grant"
        case BadRequest() | InvalidHeader() | PayloadTooLarge() | RequestTimeout() | UnsupportedMediaType():
            code = "invalid_request"  # The status says more.
        case _:
            pass  # RFC 6749 has no code for the others.
    return status, {"error": code, "error_description": description}


def token_error_response(error: VitrinaError) -> web.Response:
    """Return the response that `error` becomes, with the headers of the problem that it is elsewhere."""
    response = problem(error, instance="")
    status, members = token_error(error)
    response.set_status(status)
    response.body = orjson.dumps(members)
    response.headers.update(NOT_CACHED | {"Content-Type": JSON})
    response.headers.popall("WWW-Authenticate", None)  # It goes with 401 only.
    return response
