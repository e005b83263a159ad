"""Idempotency keys: a creation is made once, its response replayed, and a concurrent one refused."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.service import Clock
from vitrina.errors import Conflict, EmailTaken, IdempotencyInProgress, IdempotencyKeyReused, TableUnavailable
from vitrina.services.idempotency import Idempotency
from vitrina.store.idempotency import AlreadyAnswered, Claim, StoredResponse
from vitrina.store.operations import AlsoWrite

FIRST = StoredResponse(status=201, headers={}, body=b"first")
REFUSAL = StoredResponse(status=409, headers={}, body=b"taken")


class Store:
    """Responses in memory; `faster` is one that another request stores just before this one."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredResponse] = {}
        self.faster: StoredResponse | None = None

    async def find(self, claim: Claim) -> StoredResponse | None:
        """Return the stored response."""
        return self.kept.get(claim.key_fingerprint)

    async def keep(self, claim: Claim, answer: StoredResponse) -> None:
        """Store a response."""
        if self.faster:
            raise AlreadyAnswered(self.faster, claim.expires_at)
        self.kept[claim.key_fingerprint] = answer

    def step(self, claim: Claim, answer: StoredResponse) -> Any:  # noqa: ANN401 - stands in for a step of the table's
        """Return what a transaction would do."""
        return SimpleNamespace(claim=claim, answer=answer)


class Creation:
    """A creation that raises `failure`, or records the further steps of its transaction."""

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
    """An empty store."""
    return Store()


@pytest.fixture
def idempotency(store: Store) -> Idempotency:
    """A service that stores responses for an hour."""
    clock = Clock(datetime(2026, 11, 24, 7, 0, tzinfo=UTC))
    return Idempotency(store, key=b"key", lifetime=3_600, clock=clock)  # type: ignore[arg-type]


def respond(value: str) -> StoredResponse:
    """Render what was created."""
    return StoredResponse(status=201, headers={}, body=value.encode())


def refused(error: Exception) -> StoredResponse | None:
    """Render an EmailTaken, which the stored data decided."""
    return REFUSAL if isinstance(error, EmailTaken) else None


def claim_of(idempotency: Idempotency, *, key: str = "key", body: bytes = b"{}") -> Claim:
    """Return a claim of Ana's request."""
    return idempotency.claim(owner="ana", route="users", key=key, body=body)


def test_a_claim_holds_only_keyed_hashes_of_key_and_body(idempotency: Idempotency) -> None:
    """They depend on the owner and the route as well."""
    claim = claim_of(idempotency, key="canary", body=b"canary")
    assert "canary" not in str(claim)
    assert (claim.expires_at - claim.made_at).total_seconds() == 3_600
    assert claim_of(idempotency, key="canary", body=b"canary") == claim
    assert claim.key_fingerprint != claim.body_fingerprint
    other = idempotency.claim(owner="luis", route="users", key="canary", body=b"canary")
    assert {other.key_fingerprint, other.body_fingerprint} & {claim.key_fingerprint, claim.body_fingerprint} == set()


async def test_without_a_key_nothing_is_stored(idempotency: Idempotency, store: Store) -> None:
    create = Creation()
    assert await idempotency.settle(None, create, respond, refused) == (FIRST, False)
    assert create.steps == ()
    with pytest.raises(EmailTaken):
        await idempotency.settle(None, Creation(EmailTaken()), respond, refused)
    assert store.kept == {}


async def test_the_response_is_stored_by_the_creating_transaction(idempotency: Idempotency) -> None:
    claim, create = claim_of(idempotency), Creation()
    assert await idempotency.settle(claim, create, respond, refused) == (FIRST, False)
    assert create.steps is not None
    assert [(step.claim, step.answer) for step in create.steps] == [(claim, FIRST)]


async def test_a_stored_response_is_replayed_and_nothing_is_created(idempotency: Idempotency, store: Store) -> None:
    claim = claim_of(idempotency)
    store.kept[claim.key_fingerprint] = FIRST
    assert await idempotency.settle(claim, Creation(AssertionError()), respond, refused) == (FIRST, True)


async def test_the_loser_of_a_race_gets_the_winners_response(idempotency: Idempotency, store: Store) -> None:
    """Both when the winner created and when it was refused."""
    claim = claim_of(idempotency)
    faster = Creation(AlreadyAnswered(FIRST, claim.expires_at))
    assert await idempotency.settle(claim, faster, respond, refused) == (FIRST, True)
    store.faster = FIRST
    assert await idempotency.settle(claim, Creation(EmailTaken()), respond, refused) == (FIRST, True)


async def test_a_refusal_by_the_stored_data_is_stored(idempotency: Idempotency, store: Store) -> None:
    """It is the first response, not a replay."""
    claim = claim_of(idempotency)
    assert await idempotency.settle(claim, Creation(EmailTaken()), respond, refused) == (REFUSAL, False)
    assert store.kept == {claim.key_fingerprint: REFUSAL}
    assert await idempotency.settle(claim, Creation(AssertionError()), respond, refused) == (REFUSAL, True)


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (TableUnavailable(), TableUnavailable),
        (IdempotencyKeyReused(), IdempotencyKeyReused),
        (Conflict(), Conflict),
        (IdempotencyInProgress(), IdempotencyInProgress),
    ],
)
async def test_another_failure_leaves_the_key_free(
    idempotency: Idempotency, store: Store, failure: Exception, raised: type[Exception]
) -> None:
    """A Conflict is about the data; a transaction about the key raises IdempotencyInProgress itself."""
    with pytest.raises(raised):
        await idempotency.settle(claim_of(idempotency), Creation(failure), respond, refused)
    assert store.kept == {}
