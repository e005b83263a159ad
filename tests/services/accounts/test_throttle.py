"""Windows of the throttle, and the attempts that are left; `tests/security/test_throttling.py` has the rest."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.service import Clock
from vitrina.errors import Allowance, InvalidCredentials, RateLimited, TableUnavailable, WrongPassword
from vitrina.services.accounts import throttle as module
from vitrina.services.accounts.throttle import Throttle

WINDOW = 900


class Store:
    """Counts in memory."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()

    async def add(self, subject: str, *, window: int, seconds: int, number: int) -> int:
        """Add to a count and return it."""
        assert seconds == WINDOW
        self.counts[subject, window] += number
        return self.counts[subject, window]

    async def forget(self, subject: str, *, window: int) -> None:
        """Forget a count."""
        del self.counts[subject, window]

    @property
    def left(self) -> list[int]:
        """The counts that are not zero."""
        return sorted(count for count in self.counts.values() if count)


@pytest.fixture
def clock() -> Clock:
    """A clock 10 s before a window ends."""
    return Clock(datetime.fromtimestamp(WINDOW * 2_000_000 - 10, UTC))


@pytest.fixture
def store() -> Store:
    """An empty store."""
    return Store()


@pytest.fixture
def throttle(store: Store, clock: Clock) -> Throttle:
    """A throttle that allows three attempts."""
    return Throttle(
        store,  # type: ignore[arg-type]
        key=b"key",
        window=WINDOW,
        limit=3,
        address_limit=5,
        account_limit=4,
        clock=clock,
    )


async def fail(throttle: Throttle, email: str = "a@example.com", address: str = "192.0.2.1") -> Allowance | None:
    """Attempt with a wrong password and return the allowance."""
    with pytest.raises(InvalidCredentials) as caught:
        async with throttle.sign_in(email, address):
            raise InvalidCredentials
    return caught.value.allowance


async def test_each_failed_attempt_returns_the_allowance_left(throttle: Throttle) -> None:
    """Without any left, an attempt is refused before it is made, until the window ends."""
    assert [await fail(throttle) for _ in range(3)] == [Allowance(limit=3, remaining=n, reset=10) for n in (2, 1, 0)]
    with pytest.raises(RateLimited) as caught:
        async with throttle.sign_in("a@example.com", "192.0.2.1"):
            pytest.fail("it was let in")
    assert (caught.value.limit, caught.value.retry_after) == (3, 10)


async def test_a_window_ends_by_the_clock(throttle: Throttle, clock: Clock) -> None:
    """To the second; the next window allows all attempts."""
    for _ in range(3):
        await fail(throttle)
    clock.at += timedelta(seconds=9.999)
    with pytest.raises(RateLimited) as caught:
        await fail(throttle)
    assert caught.value.retry_after == 1
    clock.at += timedelta(seconds=0.001)
    assert await fail(throttle) == Allowance(limit=3, remaining=2, reset=WINDOW)


async def test_a_good_attempt_clears_its_pair_and_is_uncounted(throttle: Throttle, store: Store) -> None:
    """Earlier failures still count for the address and for the account."""
    for _ in range(2):
        await fail(throttle)
    async with throttle.sign_in("A@EXAMPLE.com", "192.0.2.1") as allowance:
        assert allowance == Allowance(limit=3, remaining=3, reset=10)
    assert store.left == [2, 2]


@pytest.mark.parametrize("failure", [TableUnavailable(), KeyError()])
async def test_an_internal_error_is_no_attempt(throttle: Throttle, store: Store, failure: Exception) -> None:
    """The client has not learned whether the password was right."""
    with pytest.raises(type(failure)):
        async with throttle.sign_in("a@example.com", "192.0.2.1"):
            raise failure
    assert store.left == []


async def test_past_the_account_limit_each_address_has_two_attempts(throttle: Throttle) -> None:
    """At other accounts the same address has three."""
    for number in range(4):
        await fail(throttle, address=f"198.51.100.{number}")
    assert await fail(throttle) == Allowance(limit=2, remaining=1, reset=10)
    assert await fail(throttle) == Allowance(limit=2, remaining=0, reset=10)
    with pytest.raises(RateLimited) as caught:
        await fail(throttle)
    assert caught.value.limit == 2
    assert await fail(throttle, email="b@example.com") == Allowance(limit=3, remaining=2, reset=10)


async def test_an_address_has_five_attempts_at_all_accounts_together(throttle: Throttle) -> None:
    for number in range(5):
        await fail(throttle, email=f"{number}@example.com")
    with pytest.raises(RateLimited):
        await fail(throttle, email="9@example.com")
    await fail(throttle, email="9@example.com", address="192.0.2.2")


async def test_addresses_of_one_ipv6_network_count_together(throttle: Throttle) -> None:
    """A customer has a whole /64 (RFC 6177)."""
    for number in range(3):
        await fail(throttle, address=f"2001:db8:0:1::{number:x}")
    with pytest.raises(RateLimited):
        await fail(throttle, address="2001:db8:0:1:ffff::1")
    await fail(throttle, address="2001:db8:0:2::1")


async def test_no_address_and_no_email_is_stored(throttle: Throttle, store: Store) -> None:
    """Both are stored as keyed hashes."""
    await fail(throttle)
    stored = " ".join(subject for subject, _ in store.counts)
    assert "example" not in stored
    assert "192.0.2" not in stored


async def test_each_session_has_its_own_attempts_at_the_current_password(throttle: Throttle, store: Store) -> None:
    """A thief of one session cannot guess it, and the owner can still change it from another."""
    for left in (2, 1, 0):
        with pytest.raises(WrongPassword) as wrong:
            async with throttle.password_change("stolen"):
                raise WrongPassword
        assert wrong.value.allowance == Allowance(limit=3, remaining=left, reset=10)
    with pytest.raises(RateLimited) as limited:
        async with throttle.password_change("stolen"):
            pytest.fail("it was let in")
    assert (limited.value.limit, limited.value.retry_after) == (3, 10)
    async with throttle.password_change("own") as allowance:
        assert allowance == Allowance(limit=3, remaining=3, reset=10)
    with pytest.raises(TableUnavailable):
        async with throttle.password_change("own"):
            raise TableUnavailable
    assert store.left == [4]


async def test_a_request_does_not_wait_long_for_its_attempt_to_be_uncounted(
    throttle: Throttle, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table may be slow; the attempt is uncounted nevertheless."""
    monkeypatch.setattr(module, "_UNCOUNT_TIMEOUT", 0.05)
    gate = asyncio.Event()
    add = store.add

    async def slow(subject: str, *, window: int, seconds: int, number: int) -> int:
        if number < 0:
            await gate.wait()
        return await add(subject, window=window, seconds=seconds, number=number)

    monkeypatch.setattr(store, "add", slow)
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), throttle.sign_in("a@example.com", "192.0.2.1"):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() - began < 2.0
    assert store.left == [1, 1, 1]
    gate.set()
    await asyncio.wait(throttle._uncounting)
    assert store.left == []
