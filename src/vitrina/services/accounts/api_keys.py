"""API keys: their creation, list and deletion by their owner, and their verification at each request.

A key's text is `vtk_` and, in base64url (RFC 4648 section 5), 64 bytes: the ids of its account and its own, by which
one call reads both, and a secret of 256 bits.

Only the SHA-256 of the text is stored. A slow hash such as bcrypt protects passwords, because people choose from few;
nobody can try 2^256 secrets at any speed, and a slow hash would cost each request of a program 0.2 s of a core.
"""

import asyncio
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.api_keys import ApiKey, Scope
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import PRODUCT_MANAGERS, Principal, User
from vitrina.errors import Conflict, InvalidToken, NotFound, TableUnavailable
from vitrina.ids import is_id, new_id
from vitrina.store.api_keys import ApiKeyStore
from vitrina.store.operations import AlsoWrite, nothing_else

log = structlog.get_logger(__name__)

PREFIX: Final = "vtk_"
"""What each key begins with; no JWT does."""
_MARK_TIMEOUT: Final = 0.25
"""Seconds that a request waits for the day of its key's last use to be written."""
_TEXT: Final = re.compile(PREFIX + "([A-Za-z0-9_-]{86})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyDraft:
    """The fields of a new key."""

    name: str
    scope: Scope
    expires_in_days: int


class ApiKeys:
    """The keys of admins. `key` derives the secrets of new keys, and no longer matters once a key exists."""

    def __init__(self, store: ApiKeyStore, *, key: bytes, clock: Clock = now) -> None:
        self._store = store
        self._key = key
        self._clock = clock

    def text(self, user_id: str, key_id: str, seed: str) -> str:
        """Return the text of a key that was created from `seed`, a random text or an idempotency key.

        So a replay of the creation returns the same text, of which nothing is stored. The secret is an HMAC-SHA256 of
        ids and seed: who lacks `VITRINA_SECRET_KEY` cannot compute it, even for a seed that is easily guessed.
        """
        secret = hmac.digest(self._key, f"{user_id} {key_id} {seed}".encode(), "sha256")
        packed = UUID(user_id).bytes + UUID(key_id).bytes + secret
        return PREFIX + urlsafe_b64encode(packed).decode().rstrip("=")

    async def create(
        self, owner: User, draft: ApiKeyDraft, *, seed: str, also: AlsoWrite[ApiKey] = nothing_else
    ) -> ApiKey:
        """Create a key, with the steps of `also` in the same transaction.

        Raises TooManyApiKeys, Conflict, and what these steps raise.
        """
        at, key_id = self._clock(), new_id()
        key = ApiKey(
            id=key_id,
            user_id=owner.id,
            name=draft.name,
            scope=draft.scope,
            epoch=owner.key_epoch,
            digest=_digest(self.text(owner.id, key_id, seed)),
            created_at=at,
            expires_at=at.replace(microsecond=0) + timedelta(days=draft.expires_in_days),
        )
        await self._store.create(owner, key, also=also(key))
        log.info("api_key_created", actor_id=owner.id, key_id=key_id, scope=key.scope.value)
        return key

    async def page(self, owner: User, *, limit: int, start: Position | None) -> Page[ApiKey]:
        """Return a page of an account's valid keys, newest first."""
        return await self._store.page(owner, at=self._clock(), limit=limit, start=start)

    async def delete(self, owner: User, key_id: str) -> None:
        """Delete one of an account's keys, which ends it at once. Raises NotFound."""
        if not is_id(key_id):
            raise NotFound
        await self._store.delete(owner, key_id, at=self._clock())
        log.info("api_key_deleted", actor_id=owner.id, key_id=key_id)

    async def authenticate(self, text: str) -> Principal:
        """Return the principal of a key: 1 call, and a second one at the first use of each day. Raises InvalidToken.

        The account is read at each request, so a key ends with its owner's deletion, deactivation or demotion.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise InvalidToken
        packed = urlsafe_b64decode(match[1] + "==")
        user_id, key_id = (str(UUID(bytes=part)) for part in (packed[:16], packed[16:32]))
        at = self._clock()
        found = await self._store.with_user(user_id, key_id, at=at)
        if found is None:
            raise InvalidToken
        user, key = found
        if user.role not in PRODUCT_MANAGERS or not hmac.compare_digest(key.digest, _digest(text)):
            raise InvalidToken
        if key.last_used_on is None or key.last_used_on < at.date():
            with suppress(TableUnavailable, Conflict, TimeoutError):  # The next request tells the day as well.
                async with asyncio.timeout(_MARK_TIMEOUT):
                    await self._store.mark_used(key, at.date())
        return Principal(user=user, credential=key)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
