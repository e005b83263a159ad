"""Sign-ins are throttled (R14): guessing is slow, and no account is locked permanently.

ASVS 5.0 V6.1.1, V6.3.1 and V6.3.8, V2.4.1 for registrations, V15.3.4 for addresses; API2:2023, API4:2023, API6:2023.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.api.client import PASSWORD, Client, Person, Reply, fresh_email, ok, problem, sign_up
from tests.service import Clock, Service, make_table, serving, settings_for

LIMIT, ADDRESS_LIMIT, ACCOUNT_LIMIT = 4, 12, 8


@pytest.fixture(scope="module")
async def throttled(engine: str) -> AsyncIterator[Service]:
    """A service with low limits behind a trusted proxy."""
    settings = settings_for(
        engine,
        login_limit=LIMIT,
        login_address_limit=ADDRESS_LIMIT,
        login_account_limit=ACCOUNT_LIMIT,
        trusted_proxies=("127.0.0.1/32",),
    )
    await make_table(settings)
    async with serving(settings) as service:
        yield service


@pytest.fixture(scope="module")
def held(throttled: Service) -> Iterator[Clock]:
    """The clock of the service, held so that a window cannot end within a test."""
    with throttled.clock.hold() as clock:
        yield clock


@pytest.fixture(autouse=True)
def clock(held: Clock) -> Clock:
    """The same clock in a window that no other test uses."""
    held.go_on(days=1)
    return held


@pytest.fixture
def client(http: aiohttp.ClientSession, throttled: Service) -> Client:
    """An anonymous client."""
    return Client(http, throttled.url)


@pytest.fixture
async def owner(client: Client) -> Person:
    """The owner of the account."""
    return await sign_up(client)


async def attempt(
    client: Client, email: str, password: str = "wrong-lantern-2026", *, via: str = "203.0.113.1"
) -> Reply:
    """Try to sign in from an address."""
    credentials = {"email": email, "password": password}
    return await client.post("/v1/auth/login", credentials, headers={"X-Forwarded-For": via})


def limits(reply: Reply) -> tuple[int, int, int]:
    """Return the limit, the remaining tries and the seconds until reset from the response's headers."""
    limit, remaining, reset = (int(reply.headers[f"RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    return limit, remaining, reset


async def test_excess_tries_get_429_with_retry_after(client: Client, owner: Person) -> None:
    """The code is `rate_limited`; each response before it has the number of remaining tries."""
    for left in (3, 2, 1, 0):
        reply = await attempt(client, owner.email)
        problem(reply, 401, "invalid_credentials")
        assert limits(reply)[:2] == (LIMIT, left)
    reply = await attempt(client, owner.email)
    problem(reply, 429, "rate_limited")
    assert limits(reply)[:2] == (LIMIT, 0)
    assert 1 <= int(reply.headers["Retry-After"]) == limits(reply)[2] <= 900


async def test_a_throttled_sign_in_fails_even_with_the_right_password(
    client: Client, owner: Person, clock: Clock
) -> None:
    """Otherwise the limit would not stop guessing. When the window has ended the password is accepted."""
    for _ in range(LIMIT):
        await attempt(client, owner.email)
    reply = await attempt(client, owner.email, PASSWORD)
    problem(reply, 429, "rate_limited")
    seconds = int(reply.headers["Retry-After"])
    clock.go_on(seconds=seconds - 1)
    problem(await attempt(client, owner.email, PASSWORD), 429, "rate_limited")
    clock.go_on(seconds=1)
    ok(await attempt(client, owner.email, PASSWORD))


async def test_the_owner_can_sign_in_from_another_address(client: Client, owner: Person) -> None:
    """Another address has used up its own tries for the account."""
    for _ in range(ACCOUNT_LIMIT + 2):
        await attempt(client, owner.email)
    reply = await attempt(client, owner.email, PASSWORD, via="203.0.113.2")
    ok(reply)
    assert limits(reply)[:2] == (LIMIT, LIMIT)


async def test_throttled_tries_do_not_use_up_the_limits_of_account_and_address(client: Client, owner: Person) -> None:
    """A throttled try is not counted, so others of that address or account keep all of theirs."""
    for _ in range(ADDRESS_LIMIT + ACCOUNT_LIMIT):
        await attempt(client, owner.email)
    neighbour = await attempt(client, fresh_email())
    problem(neighbour, 401, "invalid_credentials")
    assert limits(neighbour)[:2] == (LIMIT, LIMIT - 1)
    elsewhere = await attempt(client, owner.email, via="203.0.113.2")
    assert limits(elsewhere)[:2] == (LIMIT, LIMIT - 1)


async def test_the_owner_can_sign_in_while_many_addresses_guess(client: Client, owner: Person) -> None:
    """Above the account's limit each address has two tries, so an address without failures can still sign in."""
    for number in range(ACCOUNT_LIMIT):
        problem(await attempt(client, owner.email, via=f"198.51.100.{number}"), 401, "invalid_credentials")
    for left in (1, 0):
        reply = await attempt(client, owner.email, via="203.0.113.9")
        problem(reply, 401, "invalid_credentials")
        assert limits(reply)[:2] == (2, left)
    problem(await attempt(client, owner.email, PASSWORD, via="203.0.113.9"), 429, "rate_limited")
    ok(await attempt(client, owner.email, PASSWORD, via="203.0.113.2"))


async def test_an_address_that_tries_many_accounts_is_throttled(client: Client, owner: Person) -> None:
    """The accounts need not exist; other addresses can sign in."""
    for _ in range(ADDRESS_LIMIT):
        problem(await attempt(client, fresh_email()), 401, "invalid_credentials")
    problem(await attempt(client, fresh_email()), 429, "rate_limited")
    problem(await attempt(client, owner.email, PASSWORD), 429, "rate_limited")
    ok(await attempt(client, owner.email, PASSWORD, via="203.0.113.2"))


async def test_an_unknown_account_is_throttled_like_a_known_one(client: Client, owner: Person) -> None:
    """Otherwise the limit would reveal which accounts exist."""
    unknown = fresh_email()
    for _ in range(LIMIT + 1):
        replies = [await attempt(client, email) for email in (owner.email, unknown)]
        assert replies[0].status == replies[1].status
        assert limits(replies[0]) == limits(replies[1])


async def test_successful_sign_ins_do_not_count(client: Client, owner: Person) -> None:
    """This holds for the limits of the account, of the address and of both together."""
    for _ in range(ADDRESS_LIMIT + 2):
        ok(await attempt(client, owner.email, PASSWORD))
    for _ in range(LIMIT - 1):
        problem(await attempt(client, owner.email), 401, "invalid_credentials")
    reply = await attempt(client, owner.email, PASSWORD)
    ok(reply)
    assert limits(reply)[:2] == (LIMIT, LIMIT)
    problem(await attempt(client, owner.email), 401, "invalid_credentials")


async def test_the_case_of_an_email_does_not_add_tries(client: Client, owner: Person) -> None:
    """All spellings are the same account."""
    for email in (owner.email, owner.email.upper(), owner.email.title(), owner.email.swapcase()):
        problem(await attempt(client, email), 401, "invalid_credentials")
    problem(await attempt(client, owner.email), 429, "rate_limited")


async def test_invalid_bodies_are_not_counted_as_tries(client: Client, owner: Person) -> None:
    """They test no password."""
    for _ in range(LIMIT + 1):
        problem(await attempt(client, owner.email, ""), 422, "validation_failed")
    ok(await attempt(client, owner.email, PASSWORD))


async def test_a_client_cannot_forge_its_address(
    http: aiohttp.ClientSession, throttled: Service, owner: Person
) -> None:
    """`X-Forwarded-For` is read only from trusted proxies: 127.0.0.1 is one in this test, 127.0.0.2 is not."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))) as other:
        stranger = Client(other, throttled.url)
        for number in range(LIMIT):
            problem(await attempt(stranger, owner.email, via=f"203.0.113.{number}"), 401, "invalid_credentials")
        problem(await attempt(stranger, owner.email, PASSWORD, via="203.0.113.77"), 429, "rate_limited")
    ok(await attempt(Client(http, throttled.url), owner.email, PASSWORD, via="203.0.113.77"))


async def test_concurrent_tries_cannot_exceed_the_limit(client: Client, owner: Person) -> None:
    """A try is counted before its password is checked."""
    replies = await asyncio.gather(*(attempt(client, owner.email) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [401] * LIMIT + [429] * (20 - LIMIT)


async def register(client: Client, *, via: str = "203.0.113.1", **fields: object) -> Reply:
    """Try to register from an address."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Somebody"} | fields
    return await client.post("/v1/auth/register", account, headers={"X-Forwarded-For": via})


async def test_registrations_are_limited_by_address(client: Client, owner: Person) -> None:
    """Those that succeed count, and those of a taken e-mail; each response has the number that remains."""
    for left in range(ADDRESS_LIMIT - 1, -1, -2):
        reply = await register(client)
        ok(reply, 201)
        assert limits(reply)[:2] == (ADDRESS_LIMIT, left)
        reply = await register(client, email=owner.email)
        problem(reply, 409, "email_taken")
        assert limits(reply)[:2] == (ADDRESS_LIMIT, left - 1)
    reply = await register(client)
    problem(reply, 429, "rate_limited")
    assert limits(reply)[:2] == (ADDRESS_LIMIT, 0)
    assert 1 <= int(reply.headers["Retry-After"]) == limits(reply)[2] <= 900
    ok(await register(client, via="203.0.113.2"), 201)
    ok(await attempt(client, owner.email, PASSWORD))


async def test_a_registration_that_is_not_valid_is_not_counted(client: Client) -> None:
    """It makes no account, and tells nothing about others."""
    for _ in range(ADDRESS_LIMIT):
        problem(await register(client, name=""), 422, "validation_failed")
        problem(await register(client, password="password1234"), 422, "validation_failed")
    assert limits(await register(client))[1] == ADDRESS_LIMIT - 1


async def test_concurrent_registrations_cannot_exceed_the_limit(client: Client) -> None:
    replies = await asyncio.gather(*(register(client) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [201] * ADDRESS_LIMIT + [429] * (20 - ADDRESS_LIMIT)
