"""Products as they are sent: a page without models is, byte for byte, the page of the models that describe it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product as combinations

import orjson
import pytest

from tests.store.samples import product, session, user
from vitrina.api.http.pagination import PageOf
from vitrina.api.http.responses import render
from vitrina.api.schemas.product_pages import rendered_page
from vitrina.api.schemas.products import product_resource, rendered_product
from vitrina.domain.money import fit
from vitrina.domain.products import Product
from vitrina.domain.users import Principal, Role
from vitrina.store.codecs.products import plain_product, product_item
from vitrina.store.items import RawItem

TEXTS = ("Lamp", 'a "quoted" \\ name', "Älg \U0001f4a1 \u200d\u2028", "<b>&amp;</b>", "x" * 200)
DESCRIPTIONS = (None, "two\nlines\tand a tab", "ü" * 10_000)
PRICES = (("0", "USD"), ("19.90", "USD"), ("999999999999.99", "EUR"), ("1000", "JPY"), ("0.125", "KWD"), ("7", "CLF"))
TIMES = (datetime(2026, 11, 24, 7, tzinfo=UTC), datetime(2026, 11, 24, 7, 1, 34, 120_000, UTC))
ROLES = (None, Role.USER, Role.ADMIN, Role.SUPER_ADMIN)


def shapes() -> Iterator[Product]:
    """Yield live products of all shapes, each next version changed by another person at another time."""
    for text, description, (price, currency), at in combinations(TEXTS, DESCRIPTIONS, PRICES, TIMES):
        made = product(
            name=text,
            brand=text,
            description=description,
            price=fit(Decimal(price), currency),
            currency=currency,
            created_at=at,
        )
        yield made
        yield replace(made, version=4_294_967_296, updated_by="luis", updated_at=TIMES[1])


def stored(shown: Product) -> RawItem:
    """Return a product's item as DynamoDB returns it: without the trailing zeros of numbers."""
    item: RawItem = product_item(shown).serialize()
    return item | {"price": {"N": f"{shown.price.normalize():f}"}}


def principal(role: Role) -> Principal:
    """Return a signed-in account of a role."""
    account = user(role=role)
    return Principal(user=account, credential=session(account))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("cursor", [None, "abc_-"])
def test_a_page_from_items_is_the_page_of_models(role: Role | None, cursor: str | None) -> None:
    """Its fields are defined once, in the models."""
    products = list(shapes())
    viewer = None if role is None else principal(role)
    models = [product_resource(shown, viewer) for shown in products]
    page = rendered_page([plain_product(stored(shown)) for shown in products], cursor, viewer)
    expected = render(PageOf(items=models, next_cursor=cursor))
    assert (page.body, page.next_cursor) == (expected, cursor)
    assert rendered_page([], cursor, viewer).body == render(PageOf(items=[], next_cursor=cursor))


def test_an_item_of_a_page_is_the_product_as_it_is_read_alone() -> None:
    for shown in shapes():
        page = orjson.loads(rendered_page([plain_product(stored(shown))], None).body)
        assert page["items"] == [orjson.loads(rendered_product(shown).body)]


def test_the_entity_tag_of_a_page_changes_with_every_byte() -> None:
    """It is strong: pages of different people, cursors or products never share one."""
    admin = principal(Role.ADMIN)
    item = stored(product())
    pages = [
        rendered_page([plain_product(item)], None),
        rendered_page([plain_product(item)], "c"),
        rendered_page([plain_product(item)], None, admin),
        rendered_page([plain_product(item | {"version": {"N": "2"}})], None),
        rendered_page([], None),
    ]
    assert len({page.etag for page in pages}) == len(pages)
    assert rendered_page([plain_product(item)], None) == pages[0]
