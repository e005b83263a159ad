"""Who calls what: the scope of a signature, temporary credentials, and the streams' own host."""

import re
import secrets
from typing import Final

from tests.aws_simulator.proxy import Clock, Forward, Request, Response, refusal

_HOSTS: Final = {"DynamoDB_20120810": "dynamodb", "DynamoDBStreams_20120810": "streams.dynamodb"}
_SCOPE: Final = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")


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
        if _HOSTS.get(request.target) != request.endpoint.service:
            return refusal("UnknownOperationException", "")
        return self._refusal(request) or await forward(request)

    def _refusal(self, request: Request) -> Response | None:
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        if scope is None:
            return refusal("MissingAuthenticationTokenException", "Request is missing Authentication Token")
        if scope[1] != request.endpoint.region:
            message = f"Credential should be scoped to a valid region, not '{scope[1]}'. "
            return refusal("InvalidSignatureException", message)
        if scope[2] != "dynamodb":
            message = f"Credential should be scoped to correct service: 'dynamodb', not '{scope[2]}'. "
            return refusal("InvalidSignatureException", message)
        expiry = self._expiry.get(request.headers.get("X-Amz-Security-Token", ""))
        if expiry is None and "X-Amz-Security-Token" in request.headers:
            return refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        if expiry is not None and expiry <= self._clock.now():
            return refusal("ExpiredTokenException", "The security token included in the request is expired")
        return None
