"""The rotation of signing keys."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from tests.service import settings_for
from vitrina.secrets_manager import SecretVersion
from vitrina.services.accounts.signing_keys import ROLLOUT, KeyRing, RotationRefused

START = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)
MONTH = timedelta(days=30)


def ring(value: str) -> KeyRing:
    """Return the keys of a value, as a process reads it."""
    return KeyRing.of(settings_for("", signing_keys=SecretStr(value)))


def test_a_rotation_has_three_steps_that_can_be_repeated() -> None:
    """A secret that AWS generated has no kid; the values that are written are read back as the same keys."""
    first = ring("a" * 48)
    assert first.promoted() is first
    assert first.retired(START, signing_since=START, lifetime=MONTH) is first
    added = first.added(START)
    assert list(added.keys) == ["initial", "20261127080000"]
    assert (added.signing, added.next, added.old) == ("initial", "20261127080000", [])
    assert added.added(START + MONTH) is added
    promoted = ring(added.value).promoted()
    assert list(promoted.keys) == ["20261127080000", "initial"]
    assert (promoted.signing, promoted.next, promoted.old) == ("20261127080000", None, ["initial"])
    assert promoted.promoted() is promoted
    end = START + MONTH + ROLLOUT
    retired = ring(promoted.value).retired(end, signing_since=START, lifetime=MONTH)
    assert list(retired.keys) == ["20261127080000"]
    assert retired.retired(end, signing_since=START, lifetime=MONTH) is retired


def test_no_key_goes_whose_tokens_may_be_valid() -> None:
    promoted = ring(f"old:{'a' * 32}").added(START).promoted()
    early = START + MONTH + ROLLOUT - timedelta(seconds=1)
    with pytest.raises(RotationRefused, match=r"tokens of old may be valid until 2026-12-28 08:00 UTC"):
        promoted.retired(early, signing_since=START, lifetime=MONTH)
    with pytest.raises(RotationRefused, match=r"the key 20261227080000 does not sign yet"):
        promoted.added(START + MONTH).retired(START + 3 * MONTH, signing_since=START, lifetime=MONTH)


def test_the_secrets_are_in_no_log_or_traceback() -> None:
    keys = ring(f"old:{'a' * 32}")
    assert "a" * 32 not in f"{keys} {keys!r} {SecretVersion(value=keys.value, id='1', made_at=START)}"


def test_a_new_key_is_the_newest_by_its_kid_even_if_a_clock_was_ahead() -> None:
    added = ring(f"20300101000000:{'a' * 32}").added(START)
    assert added.next == "20300101000001"
