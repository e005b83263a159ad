"""Answers kept for idempotency keys, written in the transaction that they answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from vitrina.clock import epoch_seconds
from vitrina.errors import IdempotencyKeyReused
from vitrina.store import keys
from vitrina.store.items import IdempotencyItem, Item
from vitrina.store.table import ConditionFailed, Table
from vitrina.store.transactions import Step
from vitrina.store.writes import Put


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """An HTTP-like answer, as it was given the first time."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A request under an idempotency key: whose, on which route, and keyed hashes of the key and of the body."""

    owner: str
    route: str
    key_fingerprint: str
    body_fingerprint: str
    made_at: datetime
    expires_at: datetime


class AlreadyAnswered(Exception):
    """Another request with the same key was faster; `answer` is what it got."""

    def __init__(self, answer: StoredResponse) -> None:
        super().__init__("already answered")
        self.answer = answer


class IdempotencyStore:
    """Reads and writes kept answers; an expired one that TTL has not deleted yet is as good as gone."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def find(self, claim: Claim) -> StoredResponse | None:
        """Return the answer kept for a claim: 1 call. Raises IdempotencyKeyReused when the body was another."""
        item = await self._table.get(_key(claim), consistent=True)
        if not isinstance(item, IdempotencyItem) or (item.expires_at or 0) <= epoch_seconds(claim.made_at):
            return None
        return _answer(item, claim)

    async def keep(self, claim: Claim, answer: StoredResponse) -> None:
        """Keep an answer for which nothing else was written. Raises AlreadyAnswered."""
        step = self.step(claim, answer)
        assert isinstance(step.write, Put)  # noqa: S101 - made so below
        try:
            await self._table.put(step.write)
        except ConditionFailed as failure:
            raise step.otherwise(failure.item) from failure

    def step(self, claim: Claim, answer: StoredResponse) -> Step:
        """Return the step that keeps an answer in the transaction that it answers."""
        item = IdempotencyItem.keyed(
            _key(claim),
            body_fingerprint=claim.body_fingerprint,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            expires_at=epoch_seconds(claim.expires_at),
        )
        unclaimed = Item.pk.does_not_exist() | (Item.expires_at <= epoch_seconds(claim.made_at))
        return Step(Put(item, unclaimed), _lost_race(claim))


def _key(claim: Claim) -> keys.Key:
    return keys.idempotency(claim.owner, claim.route, claim.key_fingerprint)


def _answer(item: IdempotencyItem, claim: Claim) -> StoredResponse:
    if item.body_fingerprint != claim.body_fingerprint:
        raise IdempotencyKeyReused
    return StoredResponse(status=item.status, headers=item.headers, body=item.body)


def _lost_race(claim: Claim) -> Callable[[Item | None], Exception]:
    def explain(item: Item | None) -> Exception:
        assert isinstance(item, IdempotencyItem)  # noqa: S101 - the condition fails on an item of this key alone
        return AlreadyAnswered(_answer(item, claim))

    return explain
