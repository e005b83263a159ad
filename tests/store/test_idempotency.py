"""Stored responses for idempotency keys are replayed until they expire and prevent a second creation."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.samples import START, create, product
from vitrina.domain.products import Action, describe
from vitrina.errors import IdempotencyKeyReused, SkuTaken
from vitrina.store.idempotency import AlreadyAnswered, Claim, IdempotencyStore, StoredResponse
from vitrina.store.products import ProductStore
from vitrina.store.table import Table

ANSWER = StoredResponse(status=201, headers={"Location": "/v1/products/1"}, body=b'{"name":"\xc3\x9c"}\x00\xff')


@pytest.fixture
def store(table: Table) -> IdempotencyStore:
    """The store of responses, on an empty table."""
    return IdempotencyStore(table)


def claim(
    *, key: str = "key", body: str = "body", owner: str = "ana", route: str = "products", hours: int = 0
) -> Claim:
    """Return the claim of a request, valid for a day."""
    made_at = START + timedelta(hours=hours)
    return Claim(
        owner=owner,
        route=route,
        key_fingerprint=key,
        body_fingerprint=body,
        made_at=made_at,
        expires_at=made_at + timedelta(hours=24),
    )


async def test_a_response_is_stored_unchanged(store: IdempotencyStore) -> None:
    """Status, headers and every byte of the body."""
    assert await store.find(claim()) is None
    await store.keep(claim(), ANSWER)
    assert await store.find(claim()) == ANSWER
    assert await store.find(claim(hours=23)) == ANSWER


async def test_a_key_belongs_to_its_owner_and_route(store: IdempotencyStore) -> None:
    """Other accounts and routes may use the same key."""
    await store.keep(claim(), ANSWER)
    for other in (claim(owner="luis"), claim(route="users"), claim(key="other")):
        assert await store.find(other) is None


async def test_a_key_with_another_body_is_refused(store: IdempotencyStore) -> None:
    """On lookup, and when two requests race."""
    await store.keep(claim(), ANSWER)
    with pytest.raises(IdempotencyKeyReused):
        await store.find(claim(body="other"))
    with pytest.raises(IdempotencyKeyReused):
        await store.keep(claim(body="other"), ANSWER)


async def test_the_first_response_is_kept(store: IdempotencyStore) -> None:
    """A second request gets the first response."""
    await store.keep(claim(), ANSWER)
    with pytest.raises(AlreadyAnswered) as already:
        await store.keep(claim(), StoredResponse(status=409, headers={}, body=b""))
    assert already.value.response == ANSWER


async def test_an_expired_response_is_not_found(store: IdempotencyStore) -> None:
    """Even while its item still exists; the key can be used for another body."""
    await store.keep(claim(), ANSWER)
    late = claim(hours=24, body="other")
    assert await store.find(late) is None
    second = StoredResponse(status=200, headers={}, body=b"second")
    await store.keep(late, second)
    assert await store.find(late) == second


async def test_parts_of_a_request_have_responses_of_their_own(store: IdempotencyStore) -> None:
    """Together they may exceed what one query reads; those of other keys are not among them."""
    parts, other = ([replace(claim(key=key), part=part) for part in range(100)] for key in ("key", "key2"))
    large = replace(ANSWER, body=b"x" * 40_000)
    assert await store.find_parts(parts) == [None] * 100
    await asyncio.gather(store.keep(claim(), ANSWER), *(store.keep(part, large) for part in (*parts[:30], other[99])))
    assert await store.find_parts(parts) == [large] * 30 + [None] * 70
    assert await store.find_parts([replace(part, made_at=part.expires_at) for part in parts]) == [None] * 100
    with pytest.raises(IdempotencyKeyReused):
        await store.find_parts([replace(part, body_fingerprint="other") for part in parts])


async def test_a_creation_and_its_response_are_one_transaction(store: IdempotencyStore, table: Table) -> None:
    """A creation repeated under its key gets the first response and creates nothing."""
    products = ProductStore(table)
    first, second = product(), product()
    change = describe(None, first, action=Action.CREATED, request_id="test")
    await products.create(first, change, also=[store.step(claim(), ANSWER)])
    assert await store.find(claim()) == ANSWER
    change = describe(None, second, action=Action.CREATED, request_id="test")
    with pytest.raises(AlreadyAnswered) as already:
        await products.create(
            second, change, also=[store.step(claim(), StoredResponse(status=201, headers={}, body=b"2"))]
        )
    assert already.value.response == ANSWER
    assert await products.get(second.id, consistent=True) is None


async def test_a_refused_creation_stores_no_response(store: IdempotencyStore, table: Table) -> None:
    products = ProductStore(table)
    await create(products, sku="Lamp-1")
    refused = product(sku="lamp-1")
    change = describe(None, refused, action=Action.CREATED, request_id="test")
    with pytest.raises(SkuTaken):
        await products.create(refused, change, also=[store.step(claim(), ANSWER)])
    assert await store.find(claim()) is None
