"""Page cursors: opaque, signed, and valid only for the query that they were issued for."""

import base64
import hmac
from typing import Final

import orjson

from vitrina.domain.pages import Position
from vitrina.errors import InvalidCursor

_SIGNATURE_BYTES: Final = 16
_MAX_BYTES: Final = 4_096


class Cursors:
    """Writes and reads cursors.

    `key` signs them. `query` is everything that distinguishes two queries, which the length of a page does not.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, query: tuple[str | None, ...], position: Position | None) -> str | None:
        """Return the cursor of a position, None for None: there is no further page."""
        if position is None:
            return None
        payload = orjson.dumps(position, option=orjson.OPT_SORT_KEYS)
        return _encoded(self._sign(query, payload) + payload)

    def read(self, query: tuple[str | None, ...], cursor: str | None) -> Position | None:
        """Return the position of a cursor, None without one or for an empty one, which a form may send.

        Raises InvalidCursor unless it was issued for `query`.
        """
        if not cursor:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise InvalidCursor from error
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        # The last character of base64 has unused bits; only one spelling of them is accepted.
        well_formed = len(raw) <= _MAX_BYTES and _encoded(raw) == cursor
        if not (well_formed and hmac.compare_digest(signature, self._sign(query, payload))):
            raise InvalidCursor
        position: Position = orjson.loads(payload)
        return position

    def _sign(self, query: tuple[str | None, ...], payload: bytes) -> bytes:
        return hmac.digest(self._key, orjson.dumps(query) + b"\0" + payload, "sha256")[:_SIGNATURE_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
