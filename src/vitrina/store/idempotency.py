"""Responses stored for idempotency keys, in the same transaction as the effect of the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from vitrina.clock import epoch_seconds
from vitrina.errors import IdempotencyInProgress, IdempotencyKeyReused
from vitrina.store import keys
from vitrina.store.items import IdempotencyItem, Item, expect_type
from vitrina.store.operations import ABSENT, Put, Query, Step
from vitrina.store.paging import every
from vitrina.store.table import ConditionFailed, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """The response to the first request with an idempotency key."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A request with an idempotency key: its owner, its route, and keyed hashes of the key and of the body.

    `part` is the position of one part of it, which has a response of its own.
    """

    owner: str
    route: str
    key_fingerprint: str
    body_fingerprint: str
    made_at: datetime
    expires_at: datetime
    part: int | None = None


class AlreadyAnswered(Exception):
    """Another request with the same key was faster; `response` is its response, stored until `expires_at`."""

    def __init__(self, response: StoredResponse, expires_at: datetime) -> None:
        super().__init__("already answered")
        self.response = response
        self.expires_at = expires_at


class IdempotencyStore:
    """Reads and writes stored responses. Reads ignore expired ones that TTL has not deleted yet."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find(self, claim: Claim) -> StoredResponse | None:
        """Return the stored response for a claim: 1 call. Raises IdempotencyKeyReused if the body differs."""
        return _stored(await self._table.get(_key(claim), consistent=True), claim)

    async def find_parts(self, claims: Sequence[Claim]) -> list[StoredResponse | None]:
        """Return the stored responses for all parts of a request: 1 call for each MB. Raises IdempotencyKeyReused."""
        if not claims:
            return []
        partition = keys.idempotency_parts(claims[0].owner, claims[0].key_fingerprint)
        items = await every(self._table, Query(condition=Item.pk == partition, consistent=True))
        found = {item.key: item for item in items}
        return [_stored(found.get(_key(claim)), claim) for claim in claims]

    async def keep(self, claim: Claim, response: StoredResponse) -> None:
        """Store a response without any other write. Raises AlreadyAnswered, IdempotencyKeyReused."""
        try:
            await self._table.put(_put(claim, response))
        except ConditionFailed as failure:
            raise _lost_race(claim, failure.item) from failure

    def step(self, claim: Claim, response: StoredResponse) -> Step:
        """Return the step that stores a response in the transaction of its request."""
        return Step(_put(claim, response), partial(_lost_race, claim), busy=IdempotencyInProgress)


def _put(claim: Claim, response: StoredResponse) -> Put:
    item = IdempotencyItem.keyed(
        _key(claim),
        body_fingerprint=claim.body_fingerprint,
        status=response.status,
        headers=response.headers,
        body=response.body,
        expires_at=epoch_seconds(claim.expires_at),
    )
    return Put(item, ABSENT | (Item.expires_at <= epoch_seconds(claim.made_at)))


def _key(claim: Claim) -> keys.Key:
    if claim.part is None:
        return keys.idempotency(claim.owner, claim.route, claim.key_fingerprint)
    return keys.idempotency_part(claim.owner, claim.key_fingerprint, claim.part)


def _stored(item: Item | None, claim: Claim) -> StoredResponse | None:
    """Return the response that an item stores, None for an expired one."""
    if not isinstance(item, IdempotencyItem) or (item.expires_at or 0) <= epoch_seconds(claim.made_at):
        return None
    return _response(item, claim)


def _response(item: IdempotencyItem, claim: Claim) -> StoredResponse:
    if item.body_fingerprint != claim.body_fingerprint:
        raise IdempotencyKeyReused
    return StoredResponse(status=item.status, headers=item.headers, body=item.body)


def _lost_race(claim: Claim, item: Item | None) -> Exception:
    stored = expect_type(item, IdempotencyItem)
    return AlreadyAnswered(_response(stored, claim), datetime.fromtimestamp(stored.expires_at or 0, UTC))
