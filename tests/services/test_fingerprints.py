"""Keyed hashes of what may be stored but not revealed."""

from vitrina.services.fingerprints import fingerprint


def test_a_fingerprint_depends_on_its_parts_and_its_key() -> None:
    """A text and its UTF-8 bytes are equal; the boundaries of parts matter."""
    made = fingerprint(b"key", "pair", "a@example.com", "127.0.0.1")
    assert made == fingerprint(b"key", "pair", b"a@example.com", "127.0.0.1")
    others = {
        fingerprint(b"other", "pair", "a@example.com", "127.0.0.1"),
        fingerprint(b"key", "paira@example.com", "127.0.0.1"),
        fingerprint(b"key", "pair", "a@example.com127.0.0.1"),
        fingerprint(b"key", "pair", "a@example.com"),
    }
    assert len(others | {made}) == 5
    assert "example" not in made
