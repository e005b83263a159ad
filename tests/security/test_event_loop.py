"""No body and no header holds the event loop, on which all other requests wait (ASVS 5.0 V15.2.2, API4:2023).

The bound here is ten times what was measured, so that it tells a time that grows with the square of a length on any
machine: a megabyte of combining characters in a name took minutes, and 8 KB of semicolons in a header seconds.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.api.client import Client, Person, ok, product_body
from tests.service import Service, serving
from vitrina.api.application import ROUTES
from vitrina.api.http.body import MAX_BODY, parse_json
from vitrina.api.http.problems import MalformedJson
from vitrina.api.http.validation import validate_body
from vitrina.api.schemas.products import ProductCreate
from vitrina.errors import ValidationFailed

MOST = 0.2
"""Seconds of processor time."""
LENGTH = MAX_BODY - 1_000
MARKS = "\u0315\u0300"
"""Two combining characters in the order that NFC changes."""

TEXTS = {
    "marks": "a" + MARKS * (LENGTH // 4),
    "marks that fit into a description": "a" + MARKS * 4_999,
    "marks that fit into a token": "a" + MARKS * 2_047,
    "white space": " " * LENGTH,
    "labels of a domain": "a@" + "é." * (LENGTH // 3),
}
SHAPES = {
    "escapes": '{"sku":"' + "\\u0041" * (LENGTH // 6) + '"}',
    "backslashes": '{"sku":"' + "\\\\" * (LENGTH // 2) + '"}',
    "an endless string": '{"sku":"' + "\\\\" * (LENGTH // 2),
    "quotes": '"' * LENGTH,
    "quotes within quotes": "{" + '"a\\"' * (LENGTH // 4),
    "digits": '{"price":' + "9" * LENGTH + "}",
    "decimals": '{"price":0.' + "9" * LENGTH + "}",
    "an exponent": '{"price":1e' + "9" * LENGTH + "}",
    "lists": "[" * LENGTH,
    "lists that end": "[" * (LENGTH // 2) + "]" * (LENGTH // 2),
    "objects": '{"a":' * (LENGTH // 5),
    "numbers": '{"sku":[' + "-0," * (LENGTH // 3) + "1]}",
    "members": "{" + ",".join(f'"{number:x}":1' for number in range(LENGTH // 10)) + "}",
    "long members": "{" + ",".join(f'"{number}{"k" * 5_000}":"{"é" * 2_000}"' for number in range(99)) + "}",
    "a long name": '{"' + "x" * LENGTH + '":1}',
    "nulls": '{"sku":"' + "\\u0000" * (LENGTH // 6) + '"}',
    "surrogates": '{"sku":"' + "\\ud83d\\ude00" * (LENGTH // 12) + '"}',
    "nothing": " " * LENGTH,
    "commas": "," * LENGTH,
}

HEADERS = (
    "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Type", "Cookie", "Expect", "Forwarded",
    "Idempotency-Key", "If-Match", "If-None-Match", "Origin", "Range", "Referer", "Sec-Purpose", "User-Agent",
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID",
)  # fmt: skip
REPEATED = ("a", " ", ";", ",", '"', "\\", "(", ":", ".", "=", "%41", "; a=b", 'a="b" ', '"a", ', "for=a, ", "http://")

LISTS = ('"a", ', "for=a, ", "1.2.3.4,")


def seconds(model: Any, body: str) -> float:  # noqa: ANN401 - a route's body may be a union
    """Return the processor time of parsing and validating a body, whatever comes of it."""
    encoded = body.encode()
    assert len(encoded) <= MAX_BODY
    began = time.thread_time()
    with suppress(MalformedJson, ValidationFailed):
        validate_body(model, parse_json(encoded))
    return time.thread_time() - began


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_json_holds_the_event_loop(shape: str) -> None:
    assert seconds(ProductCreate, SHAPES[shape]) < MOST


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_in_any_field_holds_the_event_loop(text: str) -> None:
    """In each field of each route with a body."""
    routes = [route for route in ROUTES if isinstance(route.example, dict)]
    assert len(routes) > 8
    for route in routes:
        for field in route.example:
            assert seconds(route.body, json.dumps({**route.example, field: TEXTS[text]}, ensure_ascii=False)) < MOST


@pytest.fixture(scope="module")
async def behind_proxy(service: Service, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client whom the service trusts as a proxy, so that it reads every header of the client's."""
    async with serving(service.settings.model_copy(update={"trusted_proxies": ("127.0.0.1/32",)})) as trusting:
        yield Client(http, trusting.url)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("lines", [1, 100])
async def test_no_header_holds_the_event_loop(behind_proxy: Client, admin: Person, header: str, lines: int) -> None:
    """With any text of the length that aiohttp accepts, on a route with a body and on one that records a view."""
    product = ok(await admin.post("/v1/products", product_body()), 201)
    for text in REPEATED if lines == 1 else LISTS:
        headers = [(header, f"a/b{text * (8_000 // len(text))}")] * lines
        headers += [("Content-Type", "application/json")] if header != "Content-Type" else []
        for method, path, body in (("GET", f"/v1/products/{product['id']}", None), ("POST", "/v1/auth/login", b"{}")):
            began = time.thread_time()
            async with behind_proxy.http.request(
                method, behind_proxy.url + path, data=body, headers=headers
            ) as response:
                await response.read()
            assert time.thread_time() - began < MOST, (text, path)
            assert response.status < 500
