"""Who calls what: the scope of a signature, temporary credentials, and the streams' own host."""

import re
import secrets
from typing import Final

from tests.aws_simulator.proxy import SES_API, Clock, Forward, Request, Response, refusal

_APIS: Final = {
    "DynamoDB_20120810": ("dynamodb", "dynamodb"),
    "DynamoDBStreams_20120810": ("streams.dynamodb", "dynamodb"),
    "AmazonSQS": ("sqs", "sqs"),
    SES_API: ("email", "ses"),
}
"""The host of each API, and the service for which its requests are signed."""
_SCOPE: Final = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


def access_key(request: Request) -> str:
    """Return the id of the access key by which a request is signed."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    return scope[1] if scope else ""


class Identity:
    """Refuses what AWS refuses before it looks at the body. The signature itself is not verified."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expiry: dict[str, float] = {}

    def issue(self, *, seconds: float) -> str:
        """Return the session token of new temporary credentials, whose key and secret may be any."""
        token = secrets.token_hex()
        self._expiry[token] = self._clock.now() + seconds
        return token

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Refuse a request, or forward it."""
        host, service = _APIS.get(request.target, ("", ""))
        if host != request.endpoint.service:
            return refusal("UnknownOperationException", "")
        return self._refusal(request, service) or await forward(request)

    def _refusal(self, request: Request, service: str) -> Response | None:
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        if scope is None:
            return refusal("MissingAuthenticationTokenException", "Request is missing Authentication Token")
        if scope[2] != request.endpoint.region:
            message = f"Credential should be scoped to a valid region, not '{scope[2]}'. "
            return refusal("InvalidSignatureException", message)
        if scope[3] != service:
            message = f"Credential should be scoped to correct service: '{service}', not '{scope[3]}'. "
            return refusal("InvalidSignatureException", message)
        expiry = self._expiry.get(request.headers.get("X-Amz-Security-Token", ""))
        if expiry is None and "X-Amz-Security-Token" in request.headers:
            return refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        if expiry is not None and expiry <= self._clock.now():
            return refusal("ExpiredTokenException", "The security token included in the request is expired")
        return None
