"""How a creation under a key is settled: made, replayed, or still running."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service import Clock
from vitrina.errors import Conflict, EmailTaken, IdempotencyInProgress, IdempotencyKeyReused, TableUnavailable
from vitrina.services.idempotency import Idempotency
from vitrina.store.idempotency import AlreadyAnswered, Claim, StoredResponse
from vitrina.store.transactions import AlsoWrite

FIRST = StoredResponse(status=201, headers={}, body=b"first")
REFUSAL = StoredResponse(status=409, headers={}, body=b"taken")


class Store:
    """Answers in memory; `faster` is one that another request keeps just before this one's."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredResponse] = {}
        self.faster: StoredResponse | None = None

    async def find(self, claim: Claim) -> StoredResponse | None:
        """Return what is kept."""
        return self.kept.get(claim.key_fingerprint)

    async def keep(self, claim: Claim, answer: StoredResponse) -> None:
        """Keep an answer."""
        if self.faster:
            raise AlreadyAnswered(self.faster)
        self.kept[claim.key_fingerprint] = answer

    def step(self, claim: Claim, answer: StoredResponse) -> Any:  # noqa: ANN401 - stands in for a step of the table's
        """Return what a transaction would do."""
        return SimpleNamespace(claim=claim, answer=answer)


class Creation:
    """A creation that fails as it is told, or puts its steps into its transaction."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.steps: Sequence[Any] | None = None

    async def __call__(self, also: AlsoWrite[str]) -> str:
        """Create."""
        if self.failure:
            raise self.failure
        self.steps = also("first")
        return "first"


@pytest.fixture
def store() -> Store:
    """No answers."""
    return Store()


@pytest.fixture
def idempotency(store: Store) -> Idempotency:
    """Keys that are kept for an hour."""
    clock = Clock(datetime(2026, 11, 24, 7, 0, tzinfo=UTC))
    return Idempotency(store, key=b"key", lifetime=3_600, clock=clock)  # type: ignore[arg-type]


def respond(value: str) -> StoredResponse:
    """Render what was created."""
    return StoredResponse(status=201, headers={}, body=value.encode())


def refused(error: Exception) -> StoredResponse | None:
    """Keep a clash."""
    return REFUSAL if isinstance(error, EmailTaken) else None


def claim_of(idempotency: Idempotency, *, key: str = "key", body: bytes = b"{}") -> Claim:
    """Return a claim of Ana's."""
    return idempotency.claim(owner="ana", route="users", key=key, body=body)


def test_a_claim_tells_nothing_of_key_and_body(idempotency: Idempotency) -> None:
    """Both are hashed with a key, under their owner and route; it ends after the lifetime."""
    claim = claim_of(idempotency, key="canary", body=b"canary")
    assert "canary" not in str(claim)
    assert (claim.expires_at - claim.made_at).total_seconds() == 3_600
    assert claim_of(idempotency, key="canary", body=b"canary") == claim
    assert claim.key_fingerprint != claim.body_fingerprint
    other = idempotency.claim(owner="luis", route="users", key="canary", body=b"canary")
    assert {other.key_fingerprint, other.body_fingerprint} & {claim.key_fingerprint, claim.body_fingerprint} == set()


async def test_without_a_key_nothing_is_kept(idempotency: Idempotency, store: Store) -> None:
    """Nor is a failure looked at."""
    create = Creation()
    assert await idempotency.settle(None, create, respond, refused) == (FIRST, False)
    assert create.steps == ()
    with pytest.raises(EmailTaken):
        await idempotency.settle(None, Creation(EmailTaken()), respond, refused)
    assert store.kept == {}


async def test_the_answer_is_kept_by_the_creations_own_transaction(idempotency: Idempotency) -> None:
    """As a step of it."""
    claim, create = claim_of(idempotency), Creation()
    assert await idempotency.settle(claim, create, respond, refused) == (FIRST, False)
    assert create.steps is not None
    assert [(step.claim, step.answer) for step in create.steps] == [(claim, FIRST)]


async def test_what_is_kept_is_replayed_and_nothing_is_created(idempotency: Idempotency, store: Store) -> None:
    """Not even tried."""
    claim = claim_of(idempotency)
    store.kept[claim.key_fingerprint] = FIRST
    assert await idempotency.settle(claim, Creation(AssertionError()), respond, refused) == (FIRST, True)


async def test_who_loses_the_race_gets_the_winners_answer(idempotency: Idempotency, store: Store) -> None:
    """Whether the other was made or refused first."""
    claim = claim_of(idempotency)
    assert await idempotency.settle(claim, Creation(AlreadyAnswered(FIRST)), respond, refused) == (FIRST, True)
    store.faster = FIRST
    assert await idempotency.settle(claim, Creation(EmailTaken()), respond, refused) == (FIRST, True)


async def test_a_refusal_of_the_data_is_kept(idempotency: Idempotency, store: Store) -> None:
    """And is the first answer, no replay."""
    claim = claim_of(idempotency)
    assert await idempotency.settle(claim, Creation(EmailTaken()), respond, refused) == (REFUSAL, False)
    assert store.kept == {claim.key_fingerprint: REFUSAL}
    assert await idempotency.settle(claim, Creation(AssertionError()), respond, refused) == (REFUSAL, True)


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (TableUnavailable(), TableUnavailable),
        (IdempotencyKeyReused(), IdempotencyKeyReused),
        (Conflict(), IdempotencyInProgress),
    ],
)
async def test_another_failure_leaves_the_key_free(
    idempotency: Idempotency, store: Store, failure: Exception, raised: type[Exception]
) -> None:
    """A transaction that another's gets in the way of is one that is still running."""
    with pytest.raises(raised):
        await idempotency.settle(claim_of(idempotency), Creation(failure), respond, refused)
    assert store.kept == {}
