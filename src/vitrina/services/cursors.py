"""Cursors: where a page ended, opaque and signed, good only for the query that they were made for."""

import base64
import binascii
import hmac
from typing import Final

import orjson

from vitrina.domain.pages import Position
from vitrina.errors import InvalidCursor

_SIGNATURE: Final = 16
_LONGEST: Final = 4_096


class Cursors:
    """Makes and reads cursors. `query` is whatever makes two queries different; the page's length does not."""

    def __init__(self, key: bytes) -> None:
        """Take the key that signs."""
        self._key = key

    def write(self, query: tuple[str | None, ...], position: Position | None) -> str | None:
        """Return the cursor of a position, None at the end."""
        if position is None:
            return None
        payload = orjson.dumps(position, option=orjson.OPT_SORT_KEYS)
        return _encoded(self._sign(query, payload) + payload)

    def read(self, query: tuple[str | None, ...], cursor: str | None) -> Position | None:
        """Return the position of a cursor. Raises InvalidCursor unless it was made here, for this query."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor from error
        signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
        # The last character of base64 has bits to spare, and what differs in them was not made here.
        if len(raw) > _LONGEST or _encoded(raw) != cursor:
            raise InvalidCursor
        if not hmac.compare_digest(signature, self._sign(query, payload)):
            raise InvalidCursor
        position: Position = orjson.loads(payload)
        return position

    def _sign(self, query: tuple[str | None, ...], payload: bytes) -> bytes:
        return hmac.digest(self._key, orjson.dumps(query) + b"\0" + payload, "sha256")[:_SIGNATURE]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
