"""Throttling of guesses at passwords (R14): guessing is slow, and nobody is locked out for good.

Tries are counted in windows of the clock. Sign-ins: of an account from an address, of an address, and of an account.
The first two limits refuse. The third, which a crowd of addresses can reach on somebody's account, only leaves each
address two tries a window, so that the owner still gets in from one that has not failed. The current password, for
which a change of it asks: of a session, so that whoever has stolen one neither finds it nor keeps the owner from
changing it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Network
from typing import Final

from vitrina.clock import Clock, epoch_seconds, now
from vitrina.domain.text import fold
from vitrina.errors import Allowance, InvalidCredentials, RateLimited, WrongPassword
from vitrina.services.derived_keys import fingerprint
from vitrina.store.login_attempts import LoginAttemptStore

_WINDOW: Final = 900
"""Seconds of a window."""
_TRIES_UNDER_ATTACK: Final = 2
_TAKING_BACK: Final = 0.25
"""Seconds for which a try that failed by a fault of ours waits to be taken back; that goes on without it."""


class Throttle:
    """Counts a try before it is checked, so that many at once cannot slip through, and takes it back if it is good."""

    def __init__(
        self,
        store: LoginAttemptStore,
        *,
        key: bytes,
        limit: int,
        address_limit: int,
        account_limit: int,
        window: int = _WINDOW,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._key = key
        self._window = window
        self._limit = limit
        self._address_limit = address_limit
        self._account_limit = account_limit
        self._clock = clock
        self._taking_back: set[asyncio.Future[list[int | BaseException]]] = set()

    @asynccontextmanager
    async def sign_in(self, email: str, address: str) -> AsyncIterator[Allowance]:
        """Count a try, for good if InvalidCredentials is raised inside: 1 call, then 2. Raises RateLimited.

        Yields what will be left if the try is good. A try that the first limit refuses is not counted by the others:
        one address that hammers at one account is no crowd, and not yet at everybody's.
        """
        email, address = fold(email), _subscriber(address)
        pair = fingerprint(self._key, "pair", email, address)
        of_address = fingerprint(self._key, "address", address)
        account = fingerprint(self._key, "account", email)
        window, reset = self._now()
        tries = await self._add(pair, window, 1)
        if tries > self._limit:
            raise RateLimited(retry_after=reset, limit=self._limit)
        address_tries, account_tries = await asyncio.gather(
            *(self._add(subject, window, 1) for subject in (of_address, account))
        )
        limit = self._limit if account_tries <= self._account_limit else min(self._limit, _TRIES_UNDER_ATTACK)
        if tries > limit or address_tries > self._address_limit:
            raise RateLimited(retry_after=reset, limit=limit)
        try:
            yield Allowance(limit=limit, remaining=limit, reset=reset)
        except InvalidCredentials as error:
            error.allowance = Allowance(limit=limit, remaining=limit - tries, reset=reset)
            raise
        except BaseException:
            await self._take_back(window, pair, of_address, account)
            raise
        # The pair has proved itself; the wider counts only lose this try.
        await asyncio.gather(
            self._store.forget(pair, window=window),
            *(self._add(subject, window, -1) for subject in (of_address, account)),
        )

    @asynccontextmanager
    async def password_change(self, session_id: str) -> AsyncIterator[Allowance]:
        """Count a guess of the current password, for good if WrongPassword is raised inside: 1 call, then 1.

        Yields what will be left if it is right. Raises RateLimited.
        """
        session = fingerprint(self._key, "session", session_id)
        window, reset = self._now()
        tries = await self._add(session, window, 1)
        if tries > self._limit:
            raise RateLimited(retry_after=reset, limit=self._limit)
        try:
            yield Allowance(limit=self._limit, remaining=self._limit, reset=reset)
        except WrongPassword as error:
            error.allowance = Allowance(limit=self._limit, remaining=self._limit - tries, reset=reset)
            raise
        except BaseException:
            await self._take_back(window, session)
            raise
        await self._store.forget(session, window=window)

    def _now(self) -> tuple[int, int]:
        """Return the number of this window, and the seconds until it ends."""
        second = epoch_seconds(self._clock())
        window = second // self._window
        return window, (window + 1) * self._window - second

    async def _take_back(self, window: int, *subjects: str) -> None:
        """Count off what failed by a fault of ours: whoever waits may be out of time, and the table slow."""
        task = asyncio.gather(*(self._add(subject, window, -1) for subject in subjects), return_exceptions=True)
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)
        await asyncio.wait([task], timeout=_TAKING_BACK)

    async def _add(self, subject: str, window: int, number: int) -> int:
        return await self._store.add(subject, window=window, seconds=self._window, number=number)


def _subscriber(address: str) -> str:
    """Return whom an address stands for: a customer is given a whole /64 of IPv6 (RFC 6177), to guess from in turn."""
    try:
        return str(IPv6Network((address, 64), strict=False))
    except ValueError:
        return address
