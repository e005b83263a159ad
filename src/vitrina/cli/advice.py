"""What an operator can do when AWS refuses the calls of a command."""

from typing import Final

from vitrina.aws import code_of
from vitrina.errors import QueueUnavailable, TableUnavailable
from vitrina.queue.channel import MISSING

_CREDENTIALS: Final = frozenset({
    "CredentialRetrievalError", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature",
    "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "NoCredentialsError", "PartialCredentialsError", "SSOTokenLoadError",
    "SignatureDoesNotMatch", "TokenRetrievalError", "UnauthorizedSSOTokenError", "UnrecognizedClientException",
})  # fmt: skip
"""Codes of AWS, and names of botocore's exceptions, for credentials that are missing, expired or wrong."""
_ADVICE: Final = (
    (
        _CREDENTIALS,
        "AWS needs valid credentials and a right clock: sign in (`aws sso login`), or name others by AWS_PROFILE.",
    ),
    (
        frozenset({"AccessDenied", "AccessDeniedException"}),
        "These AWS credentials lack a right: use others (AWS_PROFILE), or ask for the one that is named here.",
    ),
    (
        frozenset({"ResourceNotFoundException", "TableNotFoundException"}),
        "There is no such table: check VITRINA_TABLE_NAME and VITRINA_REGION, or run `vitrina table create`.",
    ),
    (
        MISSING,
        "There is no such queue: check VITRINA_QUEUE_NAME and VITRINA_REGION, or run `vitrina queue create`.",
    ),
)


def sentence(error: TableUnavailable | QueueUnavailable) -> str:
    """Return what to do about an outage, which is an operator's to end if AWS says so; then AWS's own words."""
    cause, code = error.__cause__, code_of(error.__cause__)
    advice = next((text for codes, text in _ADVICE if code in codes), str(error))
    return f"{advice}\n{cause or ''}".rstrip()


def of_refusal(error: Exception) -> str:
    """Return what to look at when AWS takes a request for invalid, as on a table of another application."""
    return (
        f"AWS refuses a request: {error}\nThe table VITRINA_TABLE_NAME may not be Vitrina's: `vitrina table status` "
        "describes it."
    )
