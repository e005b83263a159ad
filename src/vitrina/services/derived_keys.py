"""Keys derived from the one secret of the settings, a separate one for each purpose."""

import hmac

from vitrina.config import Settings


def derive(settings: Settings, purpose: str) -> bytes:
    """Return the 32-byte key for `purpose` (HMAC-SHA256 as a pseudo-random function, NIST SP 800-108).

    Raises ValueError when the settings have no secret, because anyone could then derive the key.
    """
    settings.require_keys()
    return hmac.digest(settings.secret_key.get_secret_value().encode(), purpose.encode(), "sha256")


def fingerprint(key: bytes, *parts: str | bytes) -> str:
    """Return a keyed hash of `parts` in hexadecimal; it can be stored without revealing them."""
    message = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.digest(key, message, "sha256").hex()
