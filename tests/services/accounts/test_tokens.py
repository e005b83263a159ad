"""Tokens at given times; `tests/security/test_tokens.py` has forged ones."""

from dataclasses import replace
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
    """Tokens with one key."""
    return Tokens({"old": OLD})


@pytest.mark.parametrize("kind", [ACCESS, REFRESH])
def test_a_token_verifies_as_its_own_kind_only(tokens: Tokens, kind: str) -> None:
    token = tokens.sign(CLAIMS, kind=kind, at=AT, lifetime=60)
    assert tokens.verify(token, kind=kind, at=AT) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=REFRESH if kind == ACCESS else ACCESS, at=AT)


def test_a_token_is_valid_to_its_last_second(tokens: Tokens) -> None:
    """By the time that is given, not by the machine's clock."""
    token = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert tokens.verify(token, kind=ACCESS, at=AT + 59 * SECOND) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT + 60 * SECOND)


def test_clocks_may_be_five_seconds_apart(tokens: Tokens) -> None:
    """The clock of the process that signed may be ahead by that much."""
    token = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert tokens.verify(token, kind=ACCESS, at=AT - 5 * SECOND) == CLAIMS
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT - 6 * SECOND)


def test_the_first_key_signs_and_all_verify(tokens: Tokens) -> None:
    """A key is rotated by adding the new one in front, and removing the old one later."""
    before = tokens.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    rotated = Tokens({"new": NEW, "old": OLD})
    after = rotated.sign(CLAIMS, kind=ACCESS, at=AT, lifetime=60)
    assert rotated.verify(before, kind=ACCESS, at=AT) == rotated.verify(after, kind=ACCESS, at=AT) == CLAIMS
    for verifier, token in ((tokens, after), (Tokens({"new": NEW}), before), (Tokens({"old": NEW}), before)):
        with pytest.raises(InvalidToken):
            verifier.verify(token, kind=ACCESS, at=AT)


@pytest.mark.parametrize(
    "claims", [replace(CLAIMS, user_id="\ud800"), replace(CLAIMS, session_id="\ud800")], ids=["user", "session"]
)
def test_a_name_that_no_table_can_hold_is_refused(tokens: Tokens, claims: Claims) -> None:
    """JSON can write a lone surrogate, which UTF-8 cannot."""
    token = tokens.sign(claims, kind=ACCESS, at=AT, lifetime=60)
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "ä.ö.ü", "\ud800", "x" * 2_049, "\0"])
def test_a_text_that_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(token, kind=ACCESS, at=AT)
