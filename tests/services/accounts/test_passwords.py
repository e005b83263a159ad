"""Passwords: no byte is ignored, none is easy to guess, and no crowd of them holds up the service."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from vitrina.errors import Overloaded
from vitrina.services.accounts.passwords import Passwords

CONTEXT = ("wilhelmina.harker@example.com", "wilhelmina.harker", "Wilhelmina Murray Harker")
COSTLY = "+!l+[e30o|l8s+1%!<6e49@6e8[76el219(9s@|[o6$<{@%!$45094z!&(6[72"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """Two threads, two that may wait, for a twentieth of a second."""
    passwords = Passwords(cost=4, workers=2, queue=2, wait=0.05)
    yield passwords
    passwords.close()


@pytest.fixture
def held(passwords: Passwords) -> Iterator[Callable[[], asyncio.Task[None]]]:
    """Starts work that holds a thread until the test ends."""
    let_go = threading.Event()

    async def work() -> None:
        await passwords._checks.run(let_go.wait)

    yield lambda: asyncio.create_task(work())
    let_go.set()


async def test_a_password_matches_its_own_hash_alone(passwords: Passwords) -> None:
    """Each hash has a salt of its own."""
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
    """Bcrypt reads 72 bytes at most, and stops at NUL."""
    hashed = await passwords.hash(password)
    assert await passwords.matches(password, hashed)
    assert not await passwords.matches(other, hashed)


async def test_a_password_is_the_same_from_every_keyboard(passwords: Passwords) -> None:
    """An accent may come with its letter or after it (NIST SP 800-63B-4, section 3.1.1.2)."""
    assert await passwords.matches("e\u0301" * 12, await passwords.hash("é" * 12))


async def test_nobody_has_no_password(passwords: Passwords) -> None:
    """Not even the one of the hash that stands in for a missing one, so that both take the same time."""
    for password in ("nobody has this password", "", "blue-lantern-2026"):
        assert not await passwords.matches(password, None)


@pytest.mark.parametrize(
    "password",
    ["password1234", "qwertyuiop12", "P@ssw0rd1234", "passwordpasswordpassword", "vitrinavitrina", *CONTEXT],
)
async def test_what_is_common_or_ones_own_is_easily_guessed(passwords: Passwords, password: str) -> None:
    """In any case."""
    assert await passwords.is_common(password, context=CONTEXT)
    assert await passwords.is_common(password.upper(), context=CONTEXT)


@pytest.mark.parametrize("password", ["blue-lantern-2026", "İstanbul'da kestane", "💡🦊🌻🚀🧭🌊🍋🎻🪁🐢🥨🦉"])
async def test_what_is_unusual_is_not(passwords: Passwords, password: str) -> None:
    """Of whatever alphabet."""
    assert not await passwords.is_common(password, context=CONTEXT)


async def test_no_password_takes_long_to_judge(passwords: Passwords) -> None:
    """One of 62 look-alikes of letters held a thread and the interpreter's lock for ten seconds."""
    began = time.process_time()
    assert not await passwords.is_common(COSTLY, context=CONTEXT)
    assert time.process_time() - began < 1.5


async def test_each_password_is_judged_by_its_own_words() -> None:
    """However many are judged at once: zxcvbn shares its words between threads."""
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


async def test_who_finds_the_queue_full_is_sent_away_at_once(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    """Two work, two wait, and the fifth hears so without waiting."""
    tasks = [held() for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(0.02):
            await passwords.matches("blue-lantern-2026", None)
    results = asyncio.gather(*tasks[2:], return_exceptions=True)
    assert [type(result) for result in await results] == [Overloaded, Overloaded]


async def test_who_waits_too_long_is_sent_away_and_leaves_its_place(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    """Nothing is lost of the pool."""
    for _ in range(2):
        held()
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(Overloaded):
            await passwords.matches("blue-lantern-2026", None)
    assert passwords._checks.waiting == 0


async def test_who_goes_away_while_waiting_leaves_its_place(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    """As a client does whose request is cut off."""
    for _ in range(2):
        held()
    waiting = [asyncio.create_task(passwords.matches("blue-lantern-2026", None)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert passwords._checks.waiting == 0


async def test_who_goes_away_from_work_under_way_leaves_its_thread_to_it(
    passwords: Passwords, held: Callable[[], asyncio.Task[None]]
) -> None:
    """A thread that is still busy is not free: the next one is not kept waiting for it beyond its time."""
    gone = [held(), held()]
    await asyncio.sleep(0.01)
    for task in gone:
        task.cancel()
    await asyncio.wait(gone)
    with pytest.raises(Overloaded):
        async with asyncio.timeout(5):
            await passwords.matches("blue-lantern-2026", None)


async def test_a_crowd_that_registers_leaves_a_thread_to_those_who_sign_in(passwords: Passwords) -> None:
    """And its queue is its own."""
    let_go = threading.Event()
    crowd = [asyncio.create_task(passwords._new.run(let_go.wait)) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert not await passwords.matches("blue-lantern-2026", None)
    let_go.set()
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert results[0] is True
    assert isinstance(results[3], Overloaded)


async def test_the_loop_goes_on_while_a_password_is_hashed() -> None:
    """Bcrypt lets the interpreter's lock go, and works in a thread."""
    slow = Passwords(cost=11, workers=1, queue=1, wait=1)
    hashing = asyncio.create_task(slow.hash("blue-lantern-2026"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    slow.close()
    assert turns > 10
