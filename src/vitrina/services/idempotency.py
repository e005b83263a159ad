"""Idempotency keys: a creation that is requested again under its key gets its first response again."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar

from vitrina.clock import Clock, now
from vitrina.services.fingerprints import fingerprint
from vitrina.store.idempotency import AlreadyAnswered, Claim, IdempotencyStore, StoredResponse
from vitrina.store.operations import AlsoWrite, nothing_else

T = TypeVar("T")
_BEGUN: Final = StoredResponse(status=202, headers={}, body=b"")
"""Stored for the key of a request in parts, whose responses are stored by part: it binds the key to the body."""


class Idempotency:
    """Claims idempotency keys and replays what was stored under them; what a response holds is the caller's matter.

    `key` is the key of the fingerprints, `lifetime` the seconds for which a response is stored.
    """

    def __init__(self, store: IdempotencyStore, *, key: bytes, lifetime: int, clock: Clock = now) -> None:
        self._store = store
        self._key = key
        self._lifetime = timedelta(seconds=lifetime)
        self._clock = clock

    def claim(self, *, owner: str, route: str, key: str, body: bytes) -> Claim:
        """Return the claim of a request. It holds keyed hashes only, because a body may contain a password."""
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
        create: Callable[[AlsoWrite[T]], Awaitable[T]],
        respond: Callable[[T], StoredResponse],
        refusal: Callable[[Exception], StoredResponse | None],
    ) -> tuple[StoredResponse, bool]:
        """Create once for a claim; returns the response, and whether it is a replay. Without a claim, just create.

        `create` passes what it is given to the creating transaction, so the response is stored exactly when the value
        is. `respond`, a pure function, renders the created value. `refusal` renders an error that the stored data
        decided, which is stored as well; it returns None for any other error, which leaves the key free. Raises
        IdempotencyKeyReused, IdempotencyInProgress while another request with this key runs, and what `create` raises.
        """
        if claim is None:
            return respond(await create(nothing_else)), False
        stored = await self._store.find(claim)
        if stored is not None:
            return stored, True
        return await self.settle_new(claim, create, respond, refusal)

    async def begin(self, claim: Claim, *, parts: int) -> tuple[list[Claim], list[StoredResponse | None]]:
        """Claim a key for a request of up to 100 parts, each of which is settled by itself and keeps its own response.

        Returns a claim for each part, and what is stored for it: something only if the request was made before, whether
        it was completed or not. No part outlives the key, so that a later use of the key finds none of them. 1 write,
        and 1 read if the key is known. Raises IdempotencyKeyReused.
        """
        expires_at, is_known = claim.expires_at, False
        try:
            await self._store.keep(claim, _BEGUN)
        except AlreadyAnswered as begun:
            expires_at, is_known = begun.expires_at, True
        claims = [replace(claim, part=number, expires_at=expires_at) for number in range(parts)]
        return claims, await self._store.find_parts(claims) if is_known else [None] * parts

    async def settle_new(
        self,
        claim: Claim,
        create: Callable[[AlsoWrite[T]], Awaitable[T]],
        respond: Callable[[T], StoredResponse],
        refusal: Callable[[Exception], StoredResponse | None],
    ) -> tuple[StoredResponse, bool]:
        """Do as `settle` does for a claim without a stored response."""
        try:
            return respond(await create(lambda value: (self._store.step(claim, respond(value)),))), False
        except AlreadyAnswered as faster:
            return faster.response, True
        except Exception as error:
            response = refusal(error)
            if response is None:
                raise
        try:
            await self._store.keep(claim, response)
        except AlreadyAnswered as faster:
            return faster.response, True
        return response, False
