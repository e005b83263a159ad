"""Tokens by a clock that is told: `tests/api/routes/test_auth_tokens.py` has what attackers make of them."""

from datetime import UTC, datetime, timedelta

import pytest

from vitrina.errors import InvalidToken
from vitrina.services.accounts.tokens import ACCESS, REFRESH, Claims, Tokens

AT = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CLAIMS = Claims(user_id="user", session_id="session", generation=3)
OLD, NEW = b"the-old-signing-key-of-32-bytes!", b"the-new-signing-key-of-32-bytes!"


@pytest.fixture
def tokens() -> Tokens:
    """One key."""
    return Tokens({"old": OLD})


@pytest.mark.parametrize("kind", [ACCESS, REFRESH])
def test_what_was_signed_is_read_back(tokens: Tokens, kind: str) -> None:
    """As the same kind alone."""
    token = tokens.sign(CLAIMS, kind=kind, at=AT, lifetime=60)
    assert tokens.verify(token, kind=kind, at=AT) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=REFRESH if kind == ACCESS else ACCESS, at=AT)


def test_a_token_is_good_to_its_last_second(tokens: Tokens) -> None:
    """Whatever the machine's own clock says: this one is of another year."""
    token = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert tokens.verify(token, kind=ACCESS, at=AT + 59 * SECOND) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT + 60 * SECOND)


def test_clocks_may_be_five_seconds_apart(tokens: Tokens) -> None:
    """The process that signed may be ahead, and by no more."""
    token = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert tokens.verify(token, kind=ACCESS, at=AT - 5 * SECOND) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT - 6 * SECOND)


def test_the_first_key_signs_and_all_verify(tokens: Tokens) -> None:
    """So a key is rotated by putting the new one first, and later leaving the old one out."""
    before = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    rotated = Tokens({"new": NEW, "old": OLD})
    after = rotated.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert rotated.verify(before, kind=ACCESS, at=AT) == rotated.verify(after, kind=ACCESS, at=AT) == CLAIMS
    for verifier, token in ((tokens, after), (Tokens({"new": NEW}), before), (Tokens({"old": NEW}), before)):
        with pytest.raises(InvalidToken):
            verifier.verify(token, kind=ACCESS, at=AT)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "ä.ö.ü", "\ud800", "x" * 2_049, "\0"])
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    """And nothing else is raised."""
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT)
