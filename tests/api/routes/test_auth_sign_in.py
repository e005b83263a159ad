"""POST /v1/auth/login, /refresh and /logout: sessions start, are refreshed and end (R14)."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import bcrypt
import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, problem, refused, sign_in, sign_up
from tests.service import Clock, Service
from vitrina.metrics import DYNAMODB_CALLS


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """An account that no other test uses."""
    return await sign_up(anonymous)


@pytest.fixture
def clock(service: Service) -> Iterator[Clock]:
    """The clock of the service, which the test moves."""
    with service.clock.hold() as clock:
        yield clock


def calls() -> Counter[str]:
    """The number of calls to the table so far, by operation."""
    samples = (sample for family in DYNAMODB_CALLS.collect() for sample in family.samples)
    return Counter({each.labels["operation"]: int(each.value) for each in samples if each.name.endswith("_total")})


async def refresh(client: Client, tokens: JsonObject) -> JsonObject:
    """Use a refresh token and return the new pair."""
    made: JsonObject = ok(await client.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]}))
    return made


async def is_in(client: Client, tokens: JsonObject) -> bool:
    """Whether an access token is accepted; any other status than 401 fails the test."""
    reply = await client.bearing(tokens["access_token"]).get("/v1/me")
    if reply.status != 200:
        assert problem(reply, 401, "invalid_token")
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    return reply.status == 200


async def test_a_sign_in_returns_two_tokens_and_their_lifetimes(anonymous: Client, somebody: Person) -> None:
    """The response has the fields of the contract and no others, and forbids caches to store it."""
    reply = await anonymous.post("/v1/auth/login", somebody.credentials)
    tokens = ok(reply)
    assert tokens == {
        "access_token": tokens["access_token"],
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": tokens["refresh_token"],
        "refresh_expires_in": 30 * 86_400,
        "session_id": tokens["session_id"],
    }
    assert reply.headers["Cache-Control"] == "no-store"
    assert await is_in(anonymous, tokens)


@pytest.mark.parametrize("email", ["", " ", "\r\n"])
async def test_a_blank_email_is_refused(anonymous: Client, email: str) -> None:
    reply = await anonymous.post("/v1/auth/login", {"email": email, "password": PASSWORD})
    assert problem(reply, 422, "validation_failed")["errors"] == [{"pointer": "/email", "detail": "is blank"}]


async def test_a_sign_in_ignores_the_case_of_the_email(anonymous: Client) -> None:
    """Its Unicode composition makes no difference either."""
    email = f"Juergen.{fresh_email().replace('@', '@bücher.')}"
    somebody = await sign_up(anonymous, email=email)
    for same in (email.upper(), email.lower(), email.replace("ü", "u\u0308")):
        assert ok(await (await sign_in(anonymous, {"email": same})).get("/v1/me")) == somebody.account


async def test_a_wrong_email_and_a_wrong_password_get_the_same_response(anonymous: Client, somebody: Person) -> None:
    """Both get 401 `invalid_credentials` with the same bytes and headers."""
    answers = []
    for email, password in [
        (somebody.email, "wrong-lantern-2026"),
        (fresh_email(), PASSWORD),
        ("no address at all", PASSWORD),
        (somebody.email, PASSWORD + " "),
        (somebody.email, PASSWORD.upper()),
        (somebody.email, "x"),
    ]:
        reply = await anonymous.post("/v1/auth/login", {"email": email, "password": password})
        problem(reply, 401, "invalid_credentials")
        answers.append((reply.body, sorted(set(reply.headers) - {"Date", "X-Request-ID"})))
    assert all(answer == answers[0] for answer in answers)


async def test_a_wrong_email_takes_as_long_as_a_wrong_password(
    anonymous: Client, somebody: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both make the same calls to the table, and both check a hash of the same cost."""
    checked: list[bytes] = []
    checkpw = bcrypt.checkpw

    def check(password: bytes, hashed: bytes) -> bool:
        checked.append(hashed[:7])
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", check)
    work = []
    for email in (somebody.email, fresh_email()):
        checked.clear()
        before = calls()
        problem(
            await anonymous.post("/v1/auth/login", {"email": email, "password": "wrong-lantern-2026"}),
            401,
            "invalid_credentials",
        )
        work.append((calls() - before, list(checked)))
    assert work[0] == work[1]
    assert work[0] == ({"GetItem": 1, "BatchGetItem": 1, "UpdateItem": 3}, [b"$2b$04$"])


@pytest.mark.parametrize("field", ["email", "password"])
async def test_each_field_is_required_and_a_string(anonymous: Client, somebody: Person, field: str) -> None:
    """The response is 422. The rules of new passwords do not apply to a sign-in."""
    left = dict(somebody.credentials)
    del left[field]
    refused(await anonymous.post("/v1/auth/login", left), f"/{field}")
    for value in (None, "", 1, ["a"]):
        refused(await anonymous.post("/v1/auth/login", somebody.credentials | {field: value}), f"/{field}")
    refused(await anonymous.post("/v1/auth/login", somebody.credentials | {"role": "admin"}), "/role")


@pytest.mark.parametrize("control", ["\0", "\n", "\t", "\x85"])
async def test_a_control_character_is_refused_with_its_field(anonymous: Client, somebody: Person, control: str) -> None:
    """Line breaks and tabs too: no e-mail, password or token has one."""
    bodies = (
        ("login", "email", somebody.credentials),
        ("login", "password", somebody.credentials),
        ("refresh", "refresh_token", {"refresh_token": somebody.tokens["refresh_token"]}),
        ("password", "current_password", {"current_password": PASSWORD, "new_password": "green-harbour-2026"}),
    )
    for route, field, body in bodies:
        spoilt = body | {field: f"{body[field][:5]}{control}{body[field][5:]}"}
        refused(await somebody.post(f"/v1/auth/{route}", spoilt), f"/{field}")
    ok(await anonymous.post("/v1/auth/login", somebody.credentials | {"email": f" {somebody.email}\r\n"}))


async def test_each_sign_in_is_a_session_of_its_own(anonymous: Client, somebody: Person) -> None:
    """One session can end while the other continues."""
    other = await sign_in(anonymous, somebody.account)
    assert other.tokens["session_id"] != somebody.tokens["session_id"]
    ok(await other.post("/v1/auth/logout"), 204)
    assert not await is_in(anonymous, other.tokens)
    assert await is_in(anonymous, somebody.tokens)


async def test_a_sign_out_ends_both_tokens(anonymous: Client, somebody: Person) -> None:
    """The next request gets 401, and so does a second sign-out."""
    ok(await somebody.post("/v1/auth/logout"), 204)
    assert not await is_in(anonymous, somebody.tokens)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]})
    problem(reply, 401, "invalid_token")
    problem(await somebody.post("/v1/auth/logout"), 401, "invalid_token")
    problem(await anonymous.post("/v1/auth/logout"), 401, "authentication_required")


async def test_a_refresh_returns_a_new_pair_for_the_same_session(anonymous: Client, somebody: Person) -> None:
    """It has the fields of a sign-in; earlier access tokens stay valid until they expire."""
    tokens = await refresh(anonymous, somebody.tokens)
    assert tokens.keys() == somebody.tokens.keys()
    assert tokens["session_id"] == somebody.tokens["session_id"]
    assert tokens["refresh_token"] != somebody.tokens["refresh_token"]
    assert await is_in(anonymous, tokens)
    assert await is_in(anonymous, somebody.tokens)
    assert await is_in(anonymous, await refresh(anonymous, tokens))


async def test_a_reused_refresh_token_ends_the_whole_session(anonymous: Client, somebody: Person) -> None:
    """Either its sender or its owner may be a thief (RFC 9700 section 4.14.2). Other sessions continue."""
    other = await sign_in(anonymous, somebody.account)
    second = await refresh(anonymous, somebody.tokens)
    third = await refresh(anonymous, second)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]})
    problem(reply, 401, "token_reused")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    for tokens in (somebody.tokens, second, third):
        assert not await is_in(anonymous, tokens)
        reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})
        problem(reply, 401, "invalid_token")
    assert await is_in(anonymous, other.tokens)


async def test_of_concurrent_refreshes_at_most_one_succeeds_and_the_session_ends(anonymous: Client) -> None:
    """Of fifty requests at most one gets a pair. The token was used twice, so this pair is rejected, too."""
    for _ in range(3):
        somebody = await sign_up(anonymous)
        body = {"refresh_token": somebody.tokens["refresh_token"]}
        replies = await asyncio.gather(*(anonymous.post("/v1/auth/refresh", body) for _ in range(50)))
        won = [reply for reply in replies if reply.status == 200]
        lost = [reply.json["code"] for reply in replies if reply.status != 200]
        assert len(won) == 1
        assert set(lost) <= {"token_reused", "invalid_token"}
        assert "token_reused" in lost
        assert not await is_in(anonymous, ok(won[0]))
        reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": ok(won[0])["refresh_token"]})
        problem(reply, 401, "invalid_token")


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "....", " ", "ä.ö.ü", "x" * 4_096])
async def test_an_unknown_refresh_token_is_rejected(anonymous: Client, token: str) -> None:
    """The response is 401; a value of the wrong shape gets 422."""
    problem(await anonymous.post("/v1/auth/refresh", {"refresh_token": token}), 401, "invalid_token")
    for value in ("", None, 1, "x" * 4_097):
        refused(await anonymous.post("/v1/auth/refresh", {"refresh_token": value}), "/refresh_token")


async def test_an_access_token_is_rejected_from_the_second_it_expires(
    anonymous: Client, somebody: Person, clock: Clock
) -> None:
    """It is valid until the second before; the refresh token continues the session."""
    tokens = (await sign_in(anonymous, somebody.account)).tokens
    clock.go_on(seconds=899)
    assert await is_in(anonymous, tokens)
    clock.go_on(seconds=1)
    assert not await is_in(anonymous, tokens)
    assert await is_in(anonymous, await refresh(anonymous, tokens))


async def test_a_session_is_rejected_from_the_second_it_expires_though_its_item_exists(
    anonymous: Client, somebody: Person, clock: Clock
) -> None:
    """DynamoDB may delete the item days later. Each refresh extends the session by a month."""
    tokens = (await sign_in(anonymous, somebody.account)).tokens
    clock.go_on(days=30, seconds=-1)
    tokens = await refresh(anonymous, tokens)
    clock.go_on(days=30, seconds=-1)
    tokens = await refresh(anonymous, tokens)
    clock.go_on(days=30)
    reply = await anonymous.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    problem(reply, 401, "invalid_token")
    newer = (await sign_in(anonymous, somebody.account)).tokens
    listed = ok(await anonymous.bearing(newer["access_token"]).get("/v1/auth/sessions"))["items"]
    assert [session["id"] for session in listed] == [newer["session_id"]]


async def test_a_token_that_has_ended_does_not_prevent_a_sign_in(somebody: Person) -> None:
    """Other public routes respond with 401, and never treat its sender as anonymous."""
    ok(await somebody.post("/v1/auth/logout"), 204)
    problem(await somebody.get("/v1/products"), 401, "invalid_token")
    tokens = ok(await somebody.post("/v1/auth/login", somebody.credentials))
    ok(await somebody.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]}))
    account = somebody.credentials | {"email": fresh_email(), "name": "N"}
    ok(await somebody.post("/v1/auth/register", account), 201)
