"""Access and refresh tokens, and forgeries of them (RFC 8725, ASVS 5.0 V9.1, V9.2, V7.4.1, API2:2023)."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import jwt
import orjson
import pytest
from pydantic import SecretStr

from tests.api.client import Client, JsonObject, Person, ok, problem, sign_in, sign_up
from tests.service import Service, serving
from vitrina.ids import new_id

KEY = b"demo-signing-key-for-development-only-0001"


@pytest.fixture(scope="module")
async def somebody(anonymous: Client) -> Person:
    """The owner of the tokens."""
    return await sign_up(anonymous)


def parts(token: str) -> tuple[JsonObject, JsonObject]:
    """Return the header and the claims of a token."""
    return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})


def encoded(part: Mapping[str, Any] | bytes) -> str:
    """Return a part of a token in its encoded form."""
    raw = part if isinstance(part, bytes) else orjson.dumps(part)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def forged(header: JsonObject, claims: JsonObject, *, key: bytes = KEY, algorithm: str = "sha256") -> str:
    """Return a token with any header and claims, signed as the test wishes."""
    message = f"{encoded(header)}.{encoded(claims)}"
    return f"{message}.{encoded(hmac.digest(key, message.encode(), algorithm))}"


async def refused_everywhere(client: Client, token: str) -> None:
    """Assert that a token is rejected both as an access token and as a refresh token."""
    problem(await client.bearing(token).get("/v1/me"), 401, "invalid_token")
    problem(await client.bearing(token).get("/v1/products"), 401, "invalid_token")
    problem(await client.post("/v1/auth/refresh", {"refresh_token": token}), 401, "invalid_token")


async def test_a_token_forged_with_the_right_key_is_accepted(anonymous: Client, somebody: Person) -> None:
    """This shows that the other forgeries are rejected for their differences alone."""
    ok(await anonymous.bearing(forged(*parts(somebody.tokens["access_token"]))).get("/v1/me"))


async def test_an_access_token_identifies_its_account_and_session_only(somebody: Person) -> None:
    """It has no name, address or role, which could become stale; `typ` distinguishes it from a refresh token."""
    header, claims = parts(somebody.tokens["access_token"])
    assert header == {"alg": "HS256", "kid": "demo", "typ": "at+jwt"}
    assert claims.keys() == {"iss", "aud", "iat", "exp", "sub", "sid", "gen"}
    assert (claims["sub"], claims["sid"]) == (somebody.id, somebody.tokens["session_id"])
    assert claims["exp"] - claims["iat"] == 900


async def test_access_and_refresh_tokens_are_not_interchangeable(anonymous: Client, somebody: Person) -> None:
    """A refresh token gives no access, and an access token cannot refresh a session."""
    access, renewal = somebody.tokens["access_token"], somebody.tokens["refresh_token"]
    problem(await anonymous.bearing(renewal).get("/v1/me"), 401, "invalid_token")
    problem(await anonymous.post("/v1/auth/refresh", {"refresh_token": access}), 401, "invalid_token")
    assert ok(await somebody.get("/v1/me"))["id"] == somebody.id


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "", "HS512", "HS384", "RS256", "ES256", None])
@pytest.mark.parametrize("signature", ["kept", "stripped", "made"])
async def test_another_algorithm_is_rejected(
    anonymous: Client, somebody: Person, algorithm: str | None, signature: str
) -> None:
    """Only HS256 is accepted, whatever the header says."""
    for token in (somebody.tokens["access_token"], somebody.tokens["refresh_token"]):
        header, claims = parts(token)
        header["alg"] = algorithm
        hashes = {"HS512": "sha512", "HS384": "sha384"}
        made = forged(header, claims, algorithm=hashes.get(algorithm or "", "sha256"))
        message = made.rpartition(".")[0]
        signed = {"kept": token.rpartition(".")[2], "stripped": "", "made": made.rpartition(".")[2]}[signature]
        await refused_everywhere(anonymous, f"{message}.{signed}")


@pytest.mark.parametrize("change", ["stripped", "cut", "no dot", "one bit", "another key", "sha1"])
async def test_a_token_with_an_incomplete_or_foreign_signature_is_rejected(
    anonymous: Client, somebody: Person, change: str
) -> None:
    token = somebody.tokens["access_token"]
    message, _, signature = token.rpartition(".")
    first = "B" if signature[0] == "A" else "A"
    changed = {
        "stripped": f"{message}.",
        "cut": token[:-4],
        "no dot": message,
        "one bit": f"{message}.{first}{signature[1:]}",
        "another key": forged(*parts(token), key=b"another-signing-key-of-32-bytes-or-more"),
        "sha1": f"{message}.{encoded(hashlib.sha1(message.encode() + KEY).digest())}",
    }
    await refused_everywhere(anonymous, changed[change])


@pytest.mark.parametrize("claim", ["iss", "aud", "iat", "exp", "sub", "sid", "gen"])
@pytest.mark.parametrize("value", ["missing", None, "", "other", 1e300, True, [], {}, ["vitrina", 1]])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_a_missing_or_invalid_claim_is_rejected(
    anonymous: Client, somebody: Person, claim: str, value: object, kind: str
) -> None:
    """The signature is valid; the response is 401, never 500."""
    header, claims = parts(somebody.tokens[kind])
    if value == "missing":
        del claims[claim]
    else:
        claims[claim] = value
    await refused_everywhere(anonymous, forged(header, claims))


async def test_a_token_from_the_future_is_rejected(anonymous: Client, somebody: Person) -> None:
    """A clock skew of a few seconds is accepted."""
    header, claims = parts(somebody.tokens["access_token"])
    ok(await anonymous.bearing(forged(header, claims | {"iat": claims["iat"] + 2})).get("/v1/me"))
    await refused_everywhere(anonymous, forged(header, claims | {"iat": claims["iat"] + 600}))


async def test_a_token_of_another_session_or_account_is_rejected(anonymous: Client, somebody: Person) -> None:
    """Session and account are read together."""
    header, claims = parts(somebody.tokens["access_token"])
    stranger = await sign_up(anonymous)
    for change in ({"sub": stranger.id}, {"sid": stranger.tokens["session_id"]}, {"sub": new_id()}, {"sid": "x\0#"}):
        await refused_everywhere(anonymous, forged(header, claims | change))


@pytest.mark.parametrize("kid", ["other", "", None, 1, ["demo"], {"demo": 1}, "../../dev/null", "missing"])
async def test_an_unknown_key_id_is_rejected(anonymous: Client, somebody: Person, kid: object) -> None:
    """`kid` selects one of the service's own keys."""
    header, claims = parts(somebody.tokens["access_token"])
    header["kid"] = kid
    if kid == "missing":
        del header["kid"]
    await refused_everywhere(anonymous, forged(header, claims))


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "x5c"])
async def test_a_key_in_the_header_of_the_token_is_ignored(anonymous: Client, somebody: Person, member: str) -> None:
    """Signed with the service's key the token is accepted, signed with the key in its header it is rejected."""
    header, claims = parts(somebody.tokens["access_token"])
    own = b"the-attackers-own-key-of-32-bytes-or-more"
    header[member] = {"kty": "oct", "k": encoded(own)} if member == "jwk" else "https://evil.example/keys"
    await refused_everywhere(anonymous, forged(header, claims, key=own))
    ok(await anonymous.bearing(forged(header, claims)).get("/v1/me"))


@pytest.mark.parametrize(
    "change", [{"crit": ["exp"]}, {"typ": "JWT"}, {"typ": None}, {"crit": []}, {"b64": False, "crit": ["b64"]}]
)
async def test_an_unknown_critical_header_is_rejected(anonymous: Client, somebody: Person, change: JsonObject) -> None:
    """RFC 7515 section 4.1.11. A token of another type is rejected, too."""
    header, claims = parts(somebody.tokens["access_token"])
    await refused_everywhere(anonymous, forged(header | change, claims))


@pytest.mark.parametrize("header", [b"[" * 1_400, b"null", b"[]", b"\xff\xfe", b'"x"', b"1", b'{"alg":"HS256"', b""])
async def test_a_header_that_is_not_an_object_is_rejected(anonymous: Client, header: bytes) -> None:
    """Deeply nested brackets do not cause a 500."""
    await refused_everywhere(anonymous, f"{encoded(header)}.e30.AAAA")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token {}", "{}", "Bearer {} {}", "Bearer {},", "Bearer\t{}",
     "Bearer {}=="],
)  # fmt: skip
async def test_another_form_of_authorization_is_rejected(anonymous: Client, somebody: Person, value: str) -> None:
    """The response is 401 on public routes, too (RFC 6750 section 2.1)."""
    header = {"Authorization": value.replace("{}", somebody.tokens["access_token"])}
    for path in ("/v1/me", "/v1/products"):
        problem(await anonymous.get(path, headers=header), 401, "invalid_token")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_has_no_case(anonymous: Client, somebody: Person, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    ok(await anonymous.get("/v1/me", headers={"Authorization": f"{scheme} {somebody.tokens['access_token']}"}))


async def test_two_tokens_are_rejected(http: aiohttp.ClientSession, somebody: Person) -> None:
    """The request is ambiguous."""
    value = f"Bearer {somebody.tokens['access_token']}"
    headers = [("Authorization", value), ("Authorization", value)]
    async with http.get(f"{somebody.url}/v1/me", headers=headers) as reply:
        assert reply.status == 401


@pytest.fixture(scope="module")
async def rotated(service: Service, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """The same table, served with a new signing key; the old key still verifies."""
    keys = f"new:the-new-signing-key-of-32-bytes-or-more-42,{service.settings.signing_keys.get_secret_value()}"
    async with serving(service.settings.model_copy(update={"signing_keys": SecretStr(keys)})) as changed:
        yield Client(http, changed.url)


async def test_keys_can_be_rotated_while_tokens_are_valid(anonymous: Client, rotated: Client) -> None:
    """Old tokens are accepted until they expire; new ones are signed with the new key."""
    somebody = await sign_up(anonymous)
    ok(await rotated.bearing(somebody.tokens["access_token"]).get("/v1/me"))
    renewed = ok(await rotated.post("/v1/auth/refresh", {"refresh_token": somebody.tokens["refresh_token"]}))
    assert parts(renewed["access_token"])[0]["kid"] == "new"
    ok(await rotated.bearing(renewed["access_token"]).get("/v1/me"))
    problem(await anonymous.bearing(renewed["access_token"]).get("/v1/me"), 401, "invalid_token")
    assert (await sign_in(rotated, somebody.account)).tokens["session_id"] != renewed["session_id"]


async def test_an_old_kid_with_the_new_key_is_rejected(rotated: Client, somebody: Person) -> None:
    """A key is valid only under its own id."""
    header, claims = parts(somebody.tokens["access_token"])
    ok(await rotated.bearing(forged(header, claims)).get("/v1/me"))
    await refused_everywhere(rotated, forged(header | {"kid": "new"}, claims))
    new = b"the-new-signing-key-of-32-bytes-or-more-42"
    await refused_everywhere(rotated, forged(header, claims, key=new))
    ok(await rotated.bearing(forged(header | {"kid": "new"}, claims, key=new)).get("/v1/me"))
