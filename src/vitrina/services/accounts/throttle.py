"""Throttling of password guesses (R14): guessing is slow, and no owner is locked out of an account for good.

Attempts are counted in fixed windows of the clock. Sign-ins are counted by account and address together, by address,
and by account. Past the first two limits they are refused. The third, which many addresses together can reach on one
account, only leaves each address two attempts a window, so that the owner still gets in from another address.

Registrations are counted by address whether they succeed or not, because each costs a hash and tells whether an e-mail
is taken.

Guesses of the current password, which a password change asks for, are counted by session: a thief of a session can
neither guess the password nor use up the owner's attempts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv6Network
from typing import Final

from vitrina.clock import Clock, epoch_seconds, now
from vitrina.domain.users import canonical_email
from vitrina.errors import Allowance, EmailTaken, InvalidCredentials, RateLimited, TableUnavailable, WrongPassword
from vitrina.services.fingerprints import fingerprint
from vitrina.store.login_attempts import LoginAttemptStore

_WINDOW: Final = 900
"""Seconds of a window."""
_ATTEMPTS_UNDER_ATTACK: Final = 2
_UNCOUNT_TIMEOUT: Final = 0.25
"""Seconds that a request waits for its attempt to be uncounted after an internal error; the write itself goes on."""


class Throttle:
    """Counts an attempt before the password is checked, so that parallel attempts all count, and uncounts a good one.

    `key` hides addresses and e-mails in the table, `window` is in seconds, and the limits are attempts a window.
    """

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
        self._uncounting: set[asyncio.Future[list[int | BaseException]]] = set()

    @asynccontextmanager
    async def sign_in(self, email: str, address: str) -> AsyncIterator[Allowance]:
        """Count an attempt, and keep it counted if InvalidCredentials is raised inside: 1 call, then 2.

        Yields the allowance after a successful attempt. An attempt that the first limit refuses does not count towards
        the other two, because one address that attacks one account is not many addresses, nor many accounts.
        Raises RateLimited.
        """
        email, address = canonical_email(email), _network(address)
        pair = fingerprint(self._key, "pair", email, address)
        of_address = fingerprint(self._key, "address", address)
        account = fingerprint(self._key, "account", email)
        window, reset = self._now()
        attempts = await self._add(pair, window, 1)
        if attempts > self._limit:
            raise RateLimited(retry_after=reset, limit=self._limit)
        try:
            address_attempts, account_attempts = await asyncio.gather(
                *(self._add(subject, window, 1) for subject in (of_address, account))
            )
        except BaseException:
            await self._uncount(window, pair)
            raise
        limit = self._limit if account_attempts <= self._account_limit else min(self._limit, _ATTEMPTS_UNDER_ATTACK)
        if attempts > limit or address_attempts > self._address_limit:
            raise RateLimited(retry_after=reset, limit=limit)
        try:
            yield Allowance(limit=limit, remaining=limit, reset=reset)
        except InvalidCredentials as error:
            error.allowance = Allowance(limit=limit, remaining=limit - attempts, reset=reset)
            raise
        except BaseException:
            await self._uncount(window, pair, of_address, account)
            raise
        # The owner has signed in, so this pair starts again; the wider counts only lose this attempt.
        with suppress(TableUnavailable):  # Then the attempt stays counted, which is no reason to refuse the owner.
            await asyncio.gather(
                self._store.forget(pair, window=window),
                *(self._add(subject, window, -1) for subject in (of_address, account)),
            )

    @asynccontextmanager
    async def registration(self, address: str) -> AsyncIterator[Allowance]:
        """Count a registration, and keep it counted if it succeeds or EmailTaken is raised inside: 1 call.

        Yields what is left to the address. Raises RateLimited.
        """
        of_address = fingerprint(self._key, "registration", _network(address))
        window, reset = self._now()
        attempts = await self._add(of_address, window, 1)
        if attempts > self._address_limit:
            raise RateLimited(retry_after=reset, limit=self._address_limit)
        allowance = Allowance(limit=self._address_limit, remaining=self._address_limit - attempts, reset=reset)
        try:
            yield allowance
        except EmailTaken as error:
            error.allowance = allowance
            raise
        except BaseException:
            await self._uncount(window, of_address)
            raise

    @asynccontextmanager
    async def password_change(self, session_id: str) -> AsyncIterator[Allowance]:
        """Count a guess of the current password, and keep it counted if WrongPassword is raised inside: 1 call, then 1.

        Yields the allowance after a right guess. Raises RateLimited.
        """
        session = fingerprint(self._key, "session", session_id)
        window, reset = self._now()
        attempts = await self._add(session, window, 1)
        if attempts > self._limit:
            raise RateLimited(retry_after=reset, limit=self._limit)
        try:
            yield Allowance(limit=self._limit, remaining=self._limit, reset=reset)
        except WrongPassword as error:
            error.allowance = Allowance(limit=self._limit, remaining=self._limit - attempts, reset=reset)
            raise
        except BaseException:
            await self._uncount(window, session)
            raise
        await self._store.forget(session, window=window)

    def _now(self) -> tuple[int, int]:
        """Return the number of this window, and the seconds until it ends."""
        second = epoch_seconds(self._clock())
        window = second // self._window
        return window, (window + 1) * self._window - second

    async def _uncount(self, window: int, *subjects: str) -> None:
        """Uncount an attempt that failed through an internal error, without holding its request up for long."""
        task = asyncio.gather(*(self._add(subject, window, -1) for subject in subjects), return_exceptions=True)
        self._uncounting.add(task)
        task.add_done_callback(self._uncounting.discard)
        await asyncio.wait([task], timeout=_UNCOUNT_TIMEOUT)

    async def _add(self, subject: str, window: int, number: int) -> int:
        return await self._store.add(subject, window=window, seconds=self._window, number=number)


def _network(address: str) -> str:
    """Return the /64 network of an IPv6 address, which one customer has (RFC 6177); an IPv4 address as it is."""
    try:
        return str(IPv6Network((address, 64), strict=False))
    except ValueError:
        return address
