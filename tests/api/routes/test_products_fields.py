"""The fields of a product: prices, SKUs and texts, in POST and PATCH."""

import json
import unicodedata

import orjson
import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused, unique

ARABIC_INDIC_TEN = "\u0661\u0660"
FULLWIDTH_TEN = "\uff11\uff10"


async def created(admin: Person, **fields: object) -> JsonObject:
    """Create a product with these fields."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(**fields)), 201)
    return made


@pytest.mark.parametrize(
    ("sent", "currency", "shown"),
    [
        ("19.99", "USD", "19.99"),
        (19.99, "USD", "19.99"),
        (10, "USD", "10.00"),
        ("10", "USD", "10.00"),
        ("10.00", "USD", "10.00"),
        ("10.5", "USD", "10.50"),
        ("0", "USD", "0.00"),
        (0, "USD", "0.00"),
        ("0.01", "USD", "0.01"),
        ("0010", "USD", "10.00"),
        ("1500", "JPY", "1500"),
        ("1.234", "BHD", "1.234"),
        ("1.2", "BHD", "1.200"),
        ("999999999999.99", "USD", "999999999999.99"),
        (0.1, "USD", "0.10"),
    ],
)
async def test_a_price_is_returned_with_the_decimals_of_its_currency(
    admin: Person, sent: object, currency: str, shown: str
) -> None:
    """A request has a string or a number, a response always a string."""
    made = await created(admin, price=sent, currency=currency)
    assert (made["price"], made["currency"]) == (shown, currency)
    assert ok(await admin.get(f"/v1/products/{made['id']}"))["price"] == shown


PLAIN_NUMBERS = [
    "1e2", "1E2", "-1", "+1", " 1", "1 ", "1_0", "1,5", "1.", ".5", "", ".", "1..2", "0x10", "NaN", "Infinity", "-0",
    ARABIC_INDIC_TEN, FULLWIDTH_TEN, "1\u00a0000", "1\n", "ten", "1000000000000", "9" * 5000, "1.001",
    "0." + "0" * 400 + "1",
]  # fmt: skip


@pytest.mark.parametrize("price", PLAIN_NUMBERS)
async def test_a_string_price_must_be_a_plain_decimal(admin: Person, price: str) -> None:
    """POST and PATCH reject signs, exponents, spaces, underscores and digits other than 0-9."""
    refused(await admin.post("/v1/products", product_body(price=price)), "/price")
    made = await created(admin)
    refused(await admin.patch(f"/v1/products/{made['id']}", {"price": price}), "/price")


@pytest.mark.parametrize(
    "literal", ["1e2", "1E2", "-1", "-0", "-0.0", "1.001", "1e400", "1" + "0" * 12, "9" * 5000, "1.5e1"]
)
async def test_a_number_price_must_be_a_plain_decimal(admin: Person, literal: str) -> None:
    """The digits of the request are checked, not a float made from them."""
    body = b'{"sku": "%s", "name": "N", "brand": "B", "price": %s}' % (unique("S").encode(), literal.encode())
    refused(await admin.post("/v1/products", data=body, headers={"Content-Type": "application/json"}), "/price")


async def test_a_price_has_no_more_decimals_than_its_currency(admin: Person) -> None:
    """The dollar has two decimals, the yen none, the dinar three."""
    refused(await admin.post("/v1/products", product_body(price="1.001")), "/price")
    refused(await admin.post("/v1/products", product_body(price="1.5", currency="JPY")), "/price")
    refused(await admin.post("/v1/products", product_body(price="1.2345", currency="BHD")), "/price")


async def test_a_price_is_never_converted_to_a_float(admin: Person) -> None:
    """A number of 14 digits is returned unchanged."""
    body = b'{"sku": "%s", "name": "N", "brand": "B", "price": 123456789012.34}' % unique("S").encode()
    made = ok(await admin.post("/v1/products", data=body, headers={"Content-Type": "application/json"}), 201)
    assert made["price"] == "123456789012.34"


@pytest.mark.parametrize("currency", ["usd", "US", "USDD", "XYZ", "", " USD", "\uff35\uff33\uff24"])
async def test_only_iso_4217_currencies_are_accepted(admin: Person, currency: str) -> None:
    """Codes must be in capitals."""
    refused(await admin.post("/v1/products", product_body(currency=currency)), "/currency")


@pytest.mark.parametrize("sku", ["a", "Z-._9", "...", "a..b", "-", "_"])
async def test_a_sku_is_returned_as_sent(admin: Person, sku: str) -> None:
    """It has letters, digits, dots, underscores and hyphens."""
    given = unique(sku)
    assert (await created(admin, sku=given))["sku"] == given


async def test_a_sku_has_at_most_64_characters(admin: Person) -> None:
    longest = unique("S").ljust(64, "x")
    assert (await created(admin, sku=longest))["sku"] == longest
    refused(await admin.post("/v1/products", product_body(sku="s" * 65)), "/sku")


@pytest.mark.parametrize(
    "sku",
    [
        "",
        ".",
        "..",
        "a b",
        " a",
        "a ",
        "a/b",
        "a\n",
        "é",
        "\u017fku",
        "\u212a9",
        "a_delete_2026-11-24T07:01:34.120Z",
        "a%41",
    ],
)
async def test_an_invalid_sku_is_rejected(admin: Person, sku: str) -> None:
    """The dot segments of a path are invalid, and so are letters that become ASCII only when case-folded."""
    refused(await admin.post("/v1/products", product_body(sku=sku)), "/sku")


WHITE_SPACE = "".join(
    chr(code)
    for code in range(0x11_0000)
    if unicodedata.category(chr(code)) in {"Zs", "Zl", "Zp"} or code in {9, 10, 11, 12, 13, 0x85}
)


@pytest.mark.parametrize("field", ["name", "brand"])
async def test_all_unicode_white_space_is_trimmed(admin: Person, field: str) -> None:
    """Length and characters are checked after trimming."""
    assert (await created(admin, **{field: f"{WHITE_SPACE}Oak  Lamp{WHITE_SPACE}"}))[field] == "Oak  Lamp"


@pytest.mark.parametrize("field", ["name", "brand"])
@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0\u3000\u2003", WHITE_SPACE])
async def test_a_text_of_white_space_alone_is_rejected(admin: Person, field: str, text: str) -> None:
    refused(await admin.post("/v1/products", product_body(**{field: text})), f"/{field}")


@pytest.mark.parametrize("field", ["name", "brand"])
async def test_a_text_has_at_most_200_characters_once_trimmed(admin: Person, field: str) -> None:
    """The limit counts characters, not bytes."""
    longest = "\U0001f4a1" * 200
    assert (await created(admin, **{field: f" {longest} "}))[field] == longest
    refused(await admin.post("/v1/products", product_body(**{field: "x" * 201})), f"/{field}")


CONTROL_CHARACTERS = [chr(code) for code in (*range(1, 9), 0x0B, 0x0C, 0x1B, 0x1F, 0x7F, 0x80, 0x85, 0x9F)]


@pytest.mark.parametrize("field", ["name", "brand"])
@pytest.mark.parametrize("character", [*CONTROL_CHARACTERS, "\n", "\r", "\t", "\u2028", "\u2029"])
async def test_a_single_line_text_rejects_control_characters_and_line_breaks(
    admin: Person, field: str, character: str
) -> None:
    """A line break could start another header in a mail."""
    refused(await admin.post("/v1/products", product_body(**{field: f"a{character}b"})), f"/{field}")


@pytest.mark.parametrize("character", CONTROL_CHARACTERS)
async def test_a_description_rejects_control_characters(admin: Person, character: str) -> None:
    """Line breaks and tabs are accepted."""
    refused(await admin.post("/v1/products", product_body(description=f"a{character}b")), "/description")


async def test_a_description_may_have_line_breaks_and_tabs(admin: Person) -> None:
    assert (await created(admin, description=" a\r\n\tb\u2028c "))["description"] == "a\r\n\tb\u2028c"


@pytest.mark.parametrize("blank", ["", " \n\u2003"])
async def test_an_empty_description_becomes_null(admin: Person, blank: str) -> None:
    """Front ends send an empty string for a field that was left empty."""
    made = await created(admin, description=blank)
    assert made["description"] is None
    path = f"/v1/products/{made['id']}"
    ok(await admin.patch(path, {"description": "x"}))
    emptied = ok(await admin.patch(path, {"description": blank}))
    assert (emptied["description"], emptied["version"]) == (None, 3)
    assert ok(await admin.patch(path, {"description": blank}))["version"] == 3


async def test_a_description_has_at_most_10_000_characters(admin: Person) -> None:
    """Characters of any width count as one."""
    longest = "\U0001f4a1" * 10_000
    assert (await created(admin, description=longest))["description"] == longest
    refused(await admin.post("/v1/products", product_body(description="x" * 10_001)), "/description")


@pytest.mark.parametrize("control", ["\0", "\x0b", "\x1f", "\x7f", "\x9f"])
@pytest.mark.parametrize("field", ["sku", "name", "brand", "price", "currency", "description", "anything"])
async def test_a_control_character_is_refused_with_its_field(admin: Person, field: str, control: str) -> None:
    """As an escape, or as itself where JSON allows it: DEL and above."""
    body = product_body(**{field: f"a{control}b"})
    refused(await admin.post("/v1/products", body), f"/{field}")
    plain = json.dumps(body, ensure_ascii=False).encode()
    reply = await admin.post("/v1/products", data=plain, headers={"Content-Type": "application/json"})
    refused(reply, f"/{field}")


async def test_a_raw_control_character_that_json_forbids_is_malformed(admin: Person) -> None:
    body = orjson.dumps(product_body(name="a b")).replace(b"a b", b"a\x1fb")
    reply = await admin.post("/v1/products", data=body, headers={"Content-Type": "application/json"})
    problem(reply, 400, "malformed_json")


@pytest.mark.parametrize("field", ["name", "brand"])
async def test_a_name_shows_something(admin: Person, field: str) -> None:
    """Joiners and soft hyphens within it come back as sent."""
    for text in ("\u200b", "\u2060", "\u3164", "\u00ad", " \u200d\u00a0\ufeff"):
        refused(await admin.post("/v1/products", product_body(**{field: text})), f"/{field}")
    kept = "\u200bBam\u00adbus 👩\u200d🌾"
    assert (await created(admin, **{field: kept}))[field] == kept


async def test_a_body_with_too_many_members_is_refused_as_a_whole(admin: Person) -> None:
    """Up to a hundred, each unknown one is named, twenty at most."""
    members = {f"field{number}": 1 for number in range(200)}
    refused(await admin.post("/v1/products", members), "")
    refused(await admin.post("/v1/products", product_body(name=[1] * 200)), "")
    few = dict(list(members.items())[:3])
    refused(await admin.post("/v1/products", product_body(**few)), *(f"/{name}" for name in few))


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00\ud800"])
async def test_a_string_with_a_lone_surrogate_is_malformed(admin: Person, escape: str) -> None:
    """Only escapes can express one."""
    body = b'{"sku": "x", "name": "a%s", "brand": "B", "price": "1"}' % escape.encode()
    reply = await admin.post("/v1/products", data=body, headers={"Content-Type": "application/json"})
    assert reply.json["code"] == "malformed_json"


async def test_the_composed_form_of_a_text_must_fit_too(admin: Person, anonymous: Client) -> None:
    """U+1D160 becomes three characters in NFC; 200 of them would exceed the length of a DynamoDB key."""
    longer = "\U0001d160"
    for field in ("name", "brand"):
        refused(await admin.post("/v1/products", product_body(**{field: longer * 67})), f"/{field}")
        assert (await created(admin, **{field: longer * 66}))[field] == longer * 66
    refused(await anonymous.get("/v1/products", params={"brand": longer * 67}), "/brand")
    assert ok(await anonymous.get("/v1/products", params={"name_prefix": longer * 200}))["items"] == []
