"""Access and refresh tokens: signed JWTs (RFC 7519) after the best practices of RFC 8725."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import jwt

from vitrina.clock import epoch_seconds
from vitrina.errors import InvalidToken

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "vitrina"
_AUDIENCE: Final = "vitrina"
_REQUIRED: Final = ["exp", "iat", "iss", "aud", "sub", "sid", "gen"]
ACCESS: Final = "at+jwt"
REFRESH: Final = "rt+jwt"
_MAX_LENGTH: Final = 2_048
_CLOCK_SKEW: Final = 5
"""Seconds by which the clock of the process that signed a token may be ahead of this one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a token: the account, the session, and the generation of its refresh tokens."""

    user_id: str
    session_id: str
    generation: int


class Tokens:
    """Signs with the first of `signing_keys`, which are given by `kid`, and verifies with all of them.

    So keys can be rotated while tokens signed with the old ones are still valid.
    """

    def __init__(self, signing_keys: Mapping[str, bytes]) -> None:
        self._keys = dict(signing_keys)
        self._kid = next(iter(self._keys))

    def sign(self, claims: Claims, *, kind: str, at: datetime, lifetime: int) -> str:
        """Return a token of `kind`, valid for `lifetime` seconds."""
        issued = epoch_seconds(at)
        payload = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "iat": issued,
            "exp": issued + lifetime,
            "sub": claims.user_id,
            "sid": claims.session_id,
            "gen": claims.generation,
        }
        headers = {"kid": self._kid, "typ": kind}
        return jwt.encode(payload, self._keys[self._kid], algorithm=_ALGORITHM, headers=headers)

    def verify(self, token: str, *, kind: str, at: datetime) -> Claims:
        """Return the claims of a token. Raises InvalidToken unless it was signed here, is of `kind` and valid at `at`.

        Times are checked here and not by PyJWT, which always uses the machine's clock.
        """
        if len(token) > _MAX_LENGTH:
            raise InvalidToken
        try:
            headers = jwt.get_unverified_header(token)
            key = self._keys.get(str(headers.get("kid")))
            if key is None or headers.get("typ") != kind or "crit" in headers:
                raise InvalidToken
            payload = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, UnicodeError) as error:
            raise InvalidToken from error
        return _claims(payload, epoch_seconds(at))


def _claims(payload: Mapping[str, Any], second: int) -> Claims:
    issued, ends = payload["iat"], payload["exp"]
    user_id, session_id, generation = payload["sub"], payload["sid"], payload["gen"]
    if not all(type(number) is int for number in (issued, ends, generation)):
        raise InvalidToken
    if not all(isinstance(name, str) and name.isascii() for name in (user_id, session_id)):
        raise InvalidToken  # A lone surrogate cannot be sent to the table.
    if issued > second + _CLOCK_SKEW or ends <= second:
        raise InvalidToken
    return Claims(user_id=user_id, session_id=session_id, generation=generation)
