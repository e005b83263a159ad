"""One secret of the settings, a key of its own for each purpose."""

import hmac

from vitrina.config import Settings


def derive(settings: Settings, purpose: str) -> bytes:
    """Return the 32-byte key for `purpose` (HMAC-SHA256 as a pseudo-random function, NIST SP 800-108).

    Raises ValueError without a secret: what is derived from none, anyone knows.
    """
    settings.require_keys()
    return hmac.digest(settings.secret_key.get_secret_value().encode(), purpose.encode(), "sha256")


def fingerprint(key: bytes, *parts: str | bytes) -> str:
    """Return a keyed hash of `parts`, so that what is stored tells nothing about them."""
    message = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.digest(key, message, "sha256").hex()
