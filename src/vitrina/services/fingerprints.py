"""Keyed hashes of what may be stored but not revealed."""

import hmac


def fingerprint(key: bytes, *parts: str | bytes) -> str:
    """Return a keyed hash of `parts` in hexadecimal; it can be stored without revealing them."""
    message = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.digest(key, message, "sha256").hex()
