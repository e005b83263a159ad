"""Keys derived from the secret of the settings."""

from tests.service import settings_for
from vitrina.services.derived_keys import derive, fingerprint


def test_each_purpose_and_each_secret_has_a_key_of_its_own() -> None:
    """Keys are the same in each process, have 32 bytes, and are never the secret itself."""
    one, other = settings_for("x"), settings_for("x", secret_key="another-secret-key-of-32-bytes-or-more")
    keys = [derive(settings, purpose) for settings in (one, other) for purpose in ("cursors", "visitors", "throttle")]
    assert len(set(keys)) == 6
    assert {len(key) for key in keys} == {32}
    assert derive(one, "cursors") == keys[0]
    assert one.secret_key.get_secret_value().encode() not in keys


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
