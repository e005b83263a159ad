"""Idempotency keys: a creation that is asked for again under its key gets its first answer again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from vitrina.clock import Clock, now
from vitrina.errors import Conflict, IdempotencyInProgress
from vitrina.services.derived_keys import fingerprint
from vitrina.store.idempotency import AlreadyAnswered, Claim, IdempotencyStore, StoredResponse
from vitrina.store.transactions import Step

T = TypeVar("T")

Keep = Callable[[StoredResponse], Sequence[Step]]
"""Given the answer of a creation, returns the steps that keep it, for the creation's own transaction."""


class Idempotency:
    """Makes claims of keys and settles them."""

    def __init__(self, store: IdempotencyStore, *, key: bytes, lifetime: int, clock: Clock = now) -> None:
        """Take the store, the key of the fingerprints, and the seconds for which answers are kept."""
        self._store = store
        self._key = key
        self._lifetime = timedelta(seconds=lifetime)
        self._clock = clock

    def claim(self, *, owner: str, route: str, key: str, body: bytes) -> Claim:
        """Return the claim of a request. What is stored are keyed hashes: a body may hold a password."""
        at = self._clock()
        return Claim(
            owner=owner,
            route=route,
            key_fingerprint=fingerprint(self._key, "key", owner, route, key),
            body_fingerprint=fingerprint(self._key, "body", owner, route, body),
            made_at=at,
            expires_at=at + self._lifetime,
        )

    async def settle(
        self,
        claim: Claim | None,
        create: Callable[[Keep], Awaitable[StoredResponse]],
        refused: Callable[[Exception], StoredResponse | None],
    ) -> tuple[StoredResponse, bool]:
        """Return the answer of a creation, and whether it is a replay.

        `create` puts the steps that it is given into its transaction, so the answer is kept exactly when the thing was
        made. `refused` returns the answer of a failure that the data decided, which is kept as well, or None for one
        that is not. Raises IdempotencyKeyReused, IdempotencyInProgress, and what `create` raises.
        """
        if claim is None:
            return await create(lambda _: ()), False
        kept = await self._store.find(claim)
        if kept is not None:
            return kept, True
        try:
            return await create(lambda answer: (self._store.step(claim, answer),)), False
        except AlreadyAnswered as faster:
            return faster.answer, True
        except Conflict as error:
            raise IdempotencyInProgress from error
        except Exception as error:
            answer = refused(error)
            if answer is None:
                raise
            try:
                await self._store.keep(claim, answer)
            except AlreadyAnswered as faster:
                return faster.answer, True
            return answer, False
