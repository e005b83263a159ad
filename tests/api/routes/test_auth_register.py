"""POST /v1/auth/register, and the rules of a new account and its password."""

import re

import pytest

from tests.api.client import PASSWORD, Client, JsonObject, Person, fresh_email, ok, problem, refused, sign_in, unique


def account(**fields: object) -> JsonObject:
    """The body of a registration."""
    return {"email": fresh_email(), "password": PASSWORD, "name": "Somebody"} | fields


async def test_a_new_account_is_a_user_and_its_password_is_not_returned(anonymous: Client) -> None:
    """The response is 201 with the fields of the contract and no others."""
    body = account(name="  Núria\u00a0", email=" New.Person@Example.com ")
    made = ok(await anonymous.post("/v1/auth/register", body), 201)
    assert made == {
        "id": made["id"],
        "email": "New.Person@Example.com",
        "name": "Núria",
        "role": "user",
        "active": True,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "version": 1,
    }
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", made["id"])
    assert ok(await (await sign_in(anonymous, made)).get("/v1/me")) == made


async def test_an_email_is_unique_without_regard_to_case(anonymous: Client) -> None:
    """The response is 409."""
    email = f"{unique('Street')}@Example.com"
    ok(await anonymous.post("/v1/auth/register", account(email=email)), 201)
    for same in (email, email.upper(), email.lower()):
        problem(await anonymous.post("/v1/auth/register", account(email=same)), 409, "email_taken")


async def test_a_domain_is_one_account_in_unicode_and_as_a_labels(anonymous: Client) -> None:
    """By IDNA 2008, in which `faß` is not `fass`; the account has the spelling that it was made with."""
    name = unique("uma")
    made = ok(await anonymous.post("/v1/auth/register", account(email=f"{name}@Faß.example")), 201)
    assert made["email"] == f"{name}@Faß.example"
    for same in ("faß.example", "FAẞ.EXAMPLE", "xn--fa-hia.example", "XN--FA-HIA.example"):
        problem(await anonymous.post("/v1/auth/register", account(email=f"{name}@{same}")), 409, "email_taken")
        assert ok(await (await sign_in(anonymous, {"email": f"{name}@{same}"})).get("/v1/me")) == made
    ok(await anonymous.post("/v1/auth/register", account(email=f"{name}@fass.example")), 201)


@pytest.mark.parametrize(
    ("email", "advice"),
    [
        ("a@example.com.", "ends with a dot: leave it out"),
        ("a@a_canary.example", "IDNA 2008 does not allow: Codepoint U+005F"),
        ("a@xn--canary-.example", "IDNA 2008 does not allow"),
        ("a@canary\u00ad.example", "invisible character"),
        ("canaryé@example.com", "other characters than ASCII before the @"),
        ("=?utf-8?q?canary?=@example.com", "encoded word"),
    ],
)
async def test_a_refused_email_says_what_to_change(anonymous: Client, email: str, advice: str) -> None:
    """It does not repeat the address."""
    reply = await anonymous.post("/v1/auth/register", account(email=email))
    refused(reply, "/email")
    assert advice in reply.json["errors"][0]["detail"]
    assert b"canary" not in reply.body


@pytest.mark.parametrize("name", ["=?utf-8?q?Ana=0d=0aBcc=3a_x=40y.example?=", "Ana =?x?b?eA==?="])
async def test_a_name_with_an_encoded_word_is_rejected(anonymous: Client, name: str) -> None:
    """A mail program would decode it (RFC 2047)."""
    refused(await anonymous.post("/v1/auth/register", account(name=name)), "/name")


@pytest.mark.parametrize("field", ["role", "active", "version", "id", "created_at", "admin", "session_epoch"])
async def test_a_registration_cannot_set_the_role(anonymous: Client, field: str) -> None:
    """Unknown fields are rejected, never ignored (mass assignment)."""
    refused(await anonymous.post("/v1/auth/register", account(**{field: "admin"})), f"/{field}")


@pytest.mark.parametrize("field", ["email", "password", "name"])
async def test_each_field_is_required_and_a_string(anonymous: Client, field: str) -> None:
    """Errors name fields by JSON pointer; the response repeats no value that was sent."""
    body = account()
    del body[field]
    refused(await anonymous.post("/v1/auth/register", body), f"/{field}")
    for value in (None, 1, True, ["canary-value"], {"canary-value": 1}):
        reply = await anonymous.post("/v1/auth/register", account(**{field: value}))
        refused(reply, f"/{field}")
        assert b"canary-value" not in reply.body


@pytest.mark.parametrize(
    "email",
    ["", "a", "@example.com", "a@", "a@b", "a b@example.com", "a@exa mple.com", "a@@example.com", "a@example..com",
     "a@.com", "a\n@example.com", "a@example.com\r\nBcc: b@example.com", "<a@example.com>", "a,b@example.com",
     "x" * 65 + "@example.com", "a@" + "x" * 250 + ".com", "\U0001d160" * 64 + "@" + "\U0001d160" * 60 + ".com"],
)  # fmt: skip
async def test_an_invalid_email_is_rejected(anonymous: Client, email: str) -> None:
    """It has at most 254 bytes, one @, no white space and no character that could end a mail header."""
    refused(await anonymous.post("/v1/auth/register", account(email=email)), "/email")


@pytest.mark.parametrize(
    "password",
    ["blue-lantern", "x7#Kq9" * 21 + "ab", "contraseña-única", "пароль-буквами-42",
     "\U0001f4a1\U0001f98a\U0001f33b\U0001f697\U0001f382\U0001f511\U0001f9ca\U0001f4d8\U0001f40b\U0001f9f6\U0001f527\U0001f335",
     "👨\u200d👩\u200d👧 family 7", "spaces are fine 9", "\u00a0non breaking\u3000", "tab" + "le-of-42-kings"],
)  # fmt: skip
async def test_a_password_has_12_to_128_characters_of_any_kind(anonymous: Client, password: str) -> None:
    """The account can sign in with it."""
    assert 12 <= len(password) <= 128
    made = ok(await anonymous.post("/v1/auth/register", account(password=password)), 201)
    await sign_in(anonymous, made, password)


@pytest.mark.parametrize("password", ["", "blue-lanter", "x7#Kq9" * 21 + "abc", "\U0001f4a1" * 11, "\U0001f4a1" * 129])
async def test_a_password_of_another_length_is_rejected(anonymous: Client, password: str) -> None:
    """11 and 129 characters are rejected, however many bytes they have."""
    refused(await anonymous.post("/v1/auth/register", account(password=password)), "/password")


@pytest.mark.parametrize("control", ["\0", "\t", "\x7f", "\x85"])
async def test_a_password_with_a_control_character_is_rejected(anonymous: Client, control: str) -> None:
    """Bcrypt would ignore all that follows a NUL."""
    reply = await anonymous.post("/v1/auth/register", account(password=f"blue-lantern{control}-2026"))
    refused(reply, "/password")


@pytest.mark.parametrize(
    "password",
    ["password1234", "123456789012", "qwertyuiop12", "passwordpassword", "aaaaaaaaaaaa", "iloveyou1234", "Password123!",
     "abcdefghijkl", "letmeinletmein", "1qaz2wsx3edc", "administrator", "111111111111"],
)  # fmt: skip
async def test_common_passwords_are_rejected(anonymous: Client, password: str) -> None:
    """The list is part of the package; no other service is called."""
    refused(await anonymous.post("/v1/auth/register", account(password=password)), "/password")


async def test_the_password_must_not_be_the_own_name_or_address(anonymous: Client) -> None:
    """The comparison ignores case."""
    fields = {"email": "wilhelmina.harker@example.com", "name": "Wilhelmina Murray Harker"}
    own = ("wilhelmina.harker@example.com", "Wilhelmina.Harker", "WILHELMINA MURRAY HARKER")
    for password in own:
        reply = await anonymous.post("/v1/auth/register", account(password=password, **fields))
        refused(reply, "/password")


async def test_no_byte_of_a_password_is_ignored(anonymous: Client) -> None:
    """Bcrypt alone reads only 72 bytes; two passwords that differ in byte 80 must differ."""
    one, other = ("a-long-and-winding-road-" * 5)[:79] + "1", ("a-long-and-winding-road-" * 5)[:79] + "2"
    made = ok(await anonymous.post("/v1/auth/register", account(password=one)), 201)
    await sign_in(anonymous, made, one)
    for wrong in (other, one[:72], one[:79], one + "x"):
        reply = await anonymous.post("/v1/auth/login", {"email": made["email"], "password": wrong})
        problem(reply, 401, "invalid_credentials")


async def test_a_signed_in_user_can_register_another_account(user: Person) -> None:
    """The route is public; the new account does not depend on the caller."""
    assert ok(await user.post("/v1/auth/register", account()), 201)["role"] == "user"
