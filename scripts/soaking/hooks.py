"""What Schemathesis loads by its variable `SCHEMATHESIS_HOOKS`: who calls, and which refusals of valid data are fine.

`SOAK_KEY` is an API key, or `SOAK_EMAIL` and `SOAK_PASSWORD` are those of an account of the service at `SOAK_URL`.
Without either, requests are anonymous.
"""

import os
from http import HTTPStatus
from typing import Any, Final

import schemathesis
from schemathesis import AuthContext, Case, CheckContext, HookContext, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

from scripts.soaking.callers import post

_STATE: Final = frozenset({"idempotency_key_reused", "invalid_cursor", "version_mismatch", "wrong_password"})
"""Problems that say that a request does not fit what the service has; no schema knows that."""
_RULES: Final = (
    # Rules between fields or parameters.
    "`refresh_token` is required.",
    "`username` and `password` are required.",
    "cannot be combined with a cursor",
    "does not go with ",
    "goes with sort=",
    "has more than the ",  # decimals of a currency
    "is less than price_min",
    "makes ",  # days: 366 are the most
    "must not be after ",
    # Rules of text that JSON Schema cannot state.
    "has more than 254 bytes",
    "has no visible character",
    "is not a plain decimal number",  # but a number with an exponent
    "is not an ISO 4217 currency code",
    "is too easy to guess",
)
"""How the details of refusals begin that a schema cannot express."""


class SignIn:
    """Signs in, and again when a token was refused: some of the requests end the session, which is their purpose."""

    def get(self, _case: Case[Any], _context: AuthContext) -> str:
        """Return a bearer token."""
        if key := os.environ.get("SOAK_KEY"):
            return key
        account = {"email": os.environ["SOAK_EMAIL"], "password": os.environ["SOAK_PASSWORD"]}
        return str(post(f"{os.environ['SOAK_URL']}/v1/auth/login", account)["access_token"])

    def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
        """Send the token with a request."""
        case.headers["Authorization"] = f"Bearer {data}"


if {"SOAK_KEY", "SOAK_EMAIL"} & os.environ.keys():
    schemathesis.auth()(SignIn)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _options: dict[str, Any]) -> None:
    """Replace what is no path of a product but of an operation of its own."""
    if case.path_parameters.get("product_id") in {"batch", "deleted"}:
        case.path_parameters["product_id"] = "no-product"


@schemathesis.check
def valid_data_acceptance(context: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """Check that data which the schema allows are accepted, unless a rule refuses them that no schema can express."""
    if response.status_code >= HTTPStatus.BAD_REQUEST and _is_beyond_schemas(response.json()):
        return None
    return positive_data_acceptance(context, response, case)


def _is_beyond_schemas(problem: dict[str, Any]) -> bool:
    if problem.get("code") in _STATE:
        return True
    details = [error["detail"] for error in problem.get("errors", ())] or [problem.get("error_description", "")]
    return all(detail.startswith(_RULES) for detail in details)
