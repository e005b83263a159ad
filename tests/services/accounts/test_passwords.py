"""Passwords: every byte counts, easily guessed ones are found, and load is bounded."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest

from vitrina.errors import Overloaded
from vitrina.services.accounts.passwords import Passwords

CONTEXT = ("wilhelmina.harker@example.com", "wilhelmina.harker", "Wilhelmina Murray Harker")
COSTLY = "+!l+[e30o|l8s+1%!<6e49@6e8[76el219(9s@|[o6$<{@%!$45094z!&(6[72"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """Two threads, and two places in the queue, for 0.05 s each."""
    passwords = Passwords(cost=4, workers=2, queue=2, wait=0.05)
    yield passwords
    passwords.close()


@pytest.fixture
def held(passwords: Passwords) -> Iterator[Callable[[], asyncio.Task[None]]]:
    """Starts jobs that each hold a thread until the test ends."""
    let_go = threading.Event()

    async def work() -> None:
        await passwords._checks.run(let_go.wait)

    yield lambda: asyncio.create_task(work())
    let_go.set()


async def test_a_password_matches_only_its_own_hash(passwords: Passwords) -> None:
    """Each hash has its own salt."""
    hashed = await passwords.hash("blue-lantern-2026")
    assert hashed.startswith("$2b$04$")
    assert hashed != await passwords.hash("blue-lantern-2026")
    assert await passwords.matches("blue-lantern-2026", hashed)
    assert not await passwords.matches("Blue-lantern-2026", hashed)


@pytest.mark.parametrize(
    ("password", "other"),
    [
        ("x" * 79 + "1", "x" * 79 + "2"),
        ("x" * 72, "x" * 73),
        ("\U0001f4a1" * 18 + "a", "\U0001f4a1" * 18 + "b"),
        ("before\0after", "before\0other"),
        ("before\0after", "before"),
    ],
)
async def test_no_byte_of_a_password_is_ignored(passwords: Passwords, password: str, other: str) -> None:
    """By itself bcrypt reads 72 bytes at most, and stops at NUL."""
    hashed = await passwords.hash(password)
    assert await passwords.matches(password, hashed)
    assert not await passwords.matches(other, hashed)


async def test_a_password_matches_in_every_unicode_normal_form(passwords: Passwords) -> None:
    """Keyboards send an accent with its letter or after it (NIST SP 800-63B-4, section 3.1.1.2)."""
    assert await passwords.matches("e\u0301" * 12, await passwords.hash("é" * 12))


async def test_no_password_matches_a_missing_hash(passwords: Passwords) -> None:
    for password in ("nobody has this password", "", "blue-lantern-2026"):
        assert not await passwords.matches(password, None)


async def test_a_missing_hash_takes_as_long_to_check_as_any_and_no_time_to_prepare() -> None:
    """Else sign-ins would tell which addresses have accounts, and each cold start would take a hash longer."""
    began = time.process_time()
    slow = Passwords(cost=15, workers=1, queue=1, wait=1)
    assert time.process_time() - began < 0.5
    slow.close()
    passwords = Passwords(cost=9, workers=1, queue=1, wait=5)
    known = await passwords.hash("blue-lantern-2026")
    seconds: dict[str | None, list[float]] = {known: [], None: []}
    for password_hash in [known, None] * 4:
        began = time.process_time()
        await passwords.matches("another", password_hash)
        seconds[password_hash].append(time.process_time() - began)
    passwords.close()
    assert 0.7 < min(seconds[None]) / min(seconds[known]) < 1.4


@pytest.mark.parametrize(
    "password",
    ["password1234", "qwertyuiop12", "P@ssw0rd1234", "passwordpasswordpassword", "vitrinavitrina", *CONTEXT],
)
async def test_a_common_password_or_ones_own_name_is_easily_guessed(passwords: Passwords, password: str) -> None:
    assert await passwords.is_common(password, context=CONTEXT)
    assert await passwords.is_common(password.upper(), context=CONTEXT)


@pytest.mark.parametrize(
    "password",
    [
        "blue-lantern-2026",
        "İstanbul'da kestane",
        "💡🦊🌻🚀🧭🌊🍋🎻🪁🐢🥨🦉",
        "passwordpassword1234-otter-gravel",
        "a" * 72 + "b",
        "é" * 37,
    ],
)
async def test_an_unusual_password_is_not_easily_guessed(passwords: Passwords, password: str) -> None:
    assert not await passwords.is_common(password, context=CONTEXT)


async def test_no_password_takes_long_to_estimate(passwords: Passwords) -> None:
    """62 characters of l33t substitutions once held a thread and the GIL for 10 s."""
    began = time.process_time()
    assert not await passwords.is_common(COSTLY, context=CONTEXT)
    assert time.process_time() - began < 1.5


async def test_concurrent_estimates_do_not_share_their_context() -> None:
    """The dictionary of zxcvbn is shared between threads."""
    passwords = Passwords(cost=4, workers=4, queue=200, wait=30)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        names = [f"qzvkxj{number * 7919}dwpfbg" for number in range(100)]
        judged = await asyncio.gather(*(passwords.is_common(name, context=(name,)) for name in names))
    finally:
        sys.setswitchinterval(interval)
        passwords.close()
    assert all(judged)


async def test_a_full_queue_refuses_at_once(passwords: Passwords, held: Callable[[], asyncio.Task[None]]) -> None:
    tasks = [held() for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.02):
            await passwords.matches("blue-lantern-2026", None)
    results = asyncio.gather(*tasks[2:], return_exceptions=True)
    assert [type(result) for result in await results] == [Overloaded, Overloaded]


async def test_a_check_that_waits_too_long_is_refused_and_frees_its_place(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    for _ in range(2):
        held()
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(Overloaded):
            await passwords.matches("blue-lantern-2026", None)
    assert passwords._checks.waiting == 0


async def test_a_cancelled_check_frees_its_place_in_the_queue(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    for _ in range(2):
        held()
    waiting = [asyncio.create_task(passwords.matches("blue-lantern-2026", None)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert passwords._checks.waiting == 0


async def test_a_thread_stays_taken_until_a_cancelled_job_is_done(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    """So no later check is given a thread that is still busy."""
    gone = [held(), held()]
    await asyncio.sleep(0.01)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(5):
            await passwords.matches("blue-lantern-2026", None)


async def test_accounts_get_threads_in_turn_and_one_at_a_time() -> None:
    """Many sign-ins of one account delay none of another, and leave it a place in the queue."""
    passwords = Passwords(cost=4, workers=2, queue=8, wait=5)
    begun, both, let_go = list[str](), threading.Event(), threading.Event()

    def check(owner: str) -> None:
        begun.append(owner)
        if len(begun) == 2:
            both.set()
        let_go.wait()

    owners = ["busy"] * 6 + ["ana", "luis"]
    tasks = [asyncio.create_task(passwords._checks.run(partial(check, owner), owner=owner)) for owner in owners]
    await asyncio.to_thread(both.wait)
    assert begun == ["busy", "ana"]
    let_go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    passwords.close()
    assert begun.index("luis") <= 3
    assert [type(result) for result in results].count(Overloaded) == 1
    assert (passwords._checks.waiting, passwords._checks._turns, passwords._checks._running) == (0, {}, set())


async def test_a_crowd_at_one_account_waits_for_few_of_its_checks_and_delays_no_session() -> None:
    """More than eight are refused at once, whatever room the queue has. A session proves whose it is."""
    passwords = Passwords(cost=4, workers=2, queue=256, wait=5)
    let_go = threading.Event()
    crowd = [asyncio.create_task(passwords._checks.run(let_go.wait, owner="ana@example.com")) for _ in range(20)]
    await asyncio.sleep(0)
    refused = [task for task in crowd if task.done()]
    assert [type(task.exception()) for task in refused] == [Overloaded] * 11
    async with asyncio.timeout(5):
        assert not await passwords.matches("blue-lantern-2026", None, owner="session")
    assert passwords._checks.waiting == 8
    let_go.set()
    await asyncio.gather(*crowd, return_exceptions=True)
    passwords.close()


async def test_registrations_leave_a_thread_to_sign_ins(passwords: Passwords) -> None:
    """New passwords also have a queue of their own."""
    let_go = threading.Event()
    crowd = [asyncio.create_task(passwords._new.run(let_go.wait)) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert not await passwords.matches("blue-lantern-2026", None)
    let_go.set()
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert results[0] is True
    assert isinstance(results[3], Overloaded)


async def test_hashing_does_not_block_the_loop() -> None:
    """It runs in a thread, and bcrypt releases the GIL."""
    slow = Passwords(cost=11, workers=1, queue=1, wait=1)
    hashing = asyncio.create_task(slow.hash("blue-lantern-2026"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    slow.close()
    assert turns > 10
