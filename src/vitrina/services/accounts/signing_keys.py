"""The rotation of the keys that sign tokens, in three steps, after each of which every process restarts.

`added`: a new key verifies tokens in all processes before any of them signs with it. `promoted`: it signs, and the old
keys verify what they have signed. `retired`: the old keys go, once the longest-lived of their tokens have expired. A
step that was done before returns the key ring itself.
"""

import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from vitrina.config import Settings

_DATED: Final = re.compile(r"\d{14}")
_KEY_BYTES: Final = 36
"""In base64url, which has neither commas nor colons: they divide `VITRINA_SIGNING_KEYS`."""
ROLLOUT: Final = timedelta(days=1)
"""Time for all processes to restart after a step."""


class RotationRefused(Exception):
    """A step would end sessions. The message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The secrets by their kids, in the order of `VITRINA_SIGNING_KEYS`: the first one signs.

    The kid of a key that was made here is its time in UTC, so a key that is newer than the signing one is yet to sign.
    """

    keys: dict[str, str] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "KeyRing":
        """Return the keys of the settings."""
        return cls(keys={kid: secret.decode() for kid, secret in settings.token_keys.items()})

    @property
    def value(self) -> str:
        """The value of `VITRINA_SIGNING_KEYS`, with the secrets."""
        return ",".join(f"{kid}:{secret}" for kid, secret in self.keys.items())

    @property
    def signing(self) -> str:
        """The kid of the key that signs."""
        return next(iter(self.keys))

    @property
    def next(self) -> str | None:
        """The kid of the key that was added and does not sign yet."""
        newest = max(filter(_DATED.fullmatch, self.keys), default=self.signing)
        return None if newest == self.signing else newest

    @property
    def old(self) -> list[str]:
        """The kids of keys that have signed."""
        return [kid for kid in self.keys if kid not in (self.signing, self.next)]

    def added(self, at: datetime) -> "KeyRing":
        """Return the keys with a new one that only verifies."""
        if self.next is not None:
            return self
        dated = [int(kid) + 1 for kid in self.keys if _DATED.fullmatch(kid)]  # A clock may have been ahead.
        kid = max(int(f"{at:%Y%m%d%H%M%S}"), *dated, 0)
        return KeyRing(keys=self.keys | {str(kid): secrets.token_urlsafe(_KEY_BYTES)})

    def promoted(self) -> "KeyRing":
        """Return the keys with the added one signing."""
        return self if self.next is None else KeyRing(keys={self.next: self.keys[self.next], **self.keys})

    def retired(self, at: datetime, *, signing_since: datetime, lifetime: timedelta) -> "KeyRing":
        """Return the keys without the old ones, whose tokens live for `lifetime`.

        Raises RotationRefused while such a token may be valid, and before the added key signs.
        """
        if not self.old:
            return self
        if self.next is not None:
            raise RotationRefused(f"the key {self.next} does not sign yet: first sign with it")
        end = signing_since + lifetime + ROLLOUT
        if at < end:
            raise RotationRefused(
                f"tokens of {', '.join(self.old)} may be valid until {end:%Y-%m-%d %H:%M} UTC: remove them after that"
            )
        return KeyRing(keys={self.signing: self.keys[self.signing]})
