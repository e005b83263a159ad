"""Pages of products: each page but the last is full, and the order is the same on every engine."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.store.samples import at, create, delete, edit, product, restore
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Listing, Product, Sort
from vitrina.domain.text import fold
from vitrina.store import listings as listings_module
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.table import Table

ReadPage = Callable[[int, Position | None], Awaitable[Page[Product]]]


@pytest.fixture
def store(table: Table) -> ProductStore:
    """The store of products, on an empty table."""
    return ProductStore(table)


@pytest.fixture
def listings(table: Table) -> ProductListings:
    """The listings of the same table."""
    return ProductListings(table)


def listed(
    listings: ProductListings, sort: Sort, *, brand: str | None = None, name_prefix: str | None = None
) -> ReadPage:
    """Return a function that reads a page of one listing."""
    listing = Listing(sort=sort, brand=brand, name_prefix=name_prefix)
    return lambda limit, start: listings.live(listing, limit=limit, start=start)


async def read_all(page: ReadPage, *, limit: int) -> list[Product]:
    """Read a listing to its end; every page but the last must be full, and none after the first empty."""
    read = await page(limit, None)
    items = list(read.items)
    while read.next is not None:
        assert len(read.items) == limit
        read = await page(limit, read.next)
        assert read.items
        items += read.items
    return items


def expected(products: list[Product], sort: Sort) -> list[Product]:
    """Return products in the specified order: ties by id, in the direction of the sort."""
    keys: dict[Sort, Callable[[Product], tuple[object, str]]] = {
        Sort.NEWEST: lambda one: (one.created_at, one.id),
        Sort.NAME: lambda one: (fold(one.name).encode(), one.id),
        Sort.PRICE: lambda one: (one.price, one.id),
        Sort.PRICE_DESCENDING: lambda one: (one.price, one.id),
    }
    return sorted(products, key=keys[sort], reverse=sort in {Sort.NEWEST, Sort.PRICE_DESCENDING})


async def a_catalogue(store: ProductStore) -> list[Product]:
    """Create 23 products of two brands, with ties in time, name and price."""
    rolls = random.Random(11)
    return [
        await create(
            store,
            name=rolls.choice(
                ["Lamp", "lamp", "LAMP", "Älg", "älg", "Zebra", "Éclair", "eclair", "İstanbul", "Straße"]
            ),
            brand=rolls.choice(["Brightwell", "BRIGHTWELL", "Dovetail"]),
            price=rolls.choice([Decimal(price) for price in ("9.99", "10.00", "100.00", "1000.50")]),
            created_at=at(rolls.randrange(4)),
        )
        for _ in range(23)
    ]


@pytest.mark.parametrize("sort", list(Sort))
async def test_every_sort_lists_each_product_once_with_ties_and_pages_of_any_size(
    store: ProductStore, listings: ProductListings, sort: Sort
) -> None:
    """Of all products and of one brand, which is compared without regard to case."""
    catalogue = await a_catalogue(store)
    brightwell = [one for one in catalogue if fold(one.brand) == "brightwell"]
    for limit in (1, 4, 22, 23, 24, 100):
        assert await read_all(listed(listings, sort), limit=limit) == expected(catalogue, sort)
        assert await read_all(listed(listings, sort, brand="brightWELL"), limit=limit) == expected(brightwell, sort)


@pytest.mark.parametrize("sort", list(Sort))
async def test_a_cursor_survives_the_deletion_of_the_product_that_it_points_at(
    store: ProductStore, listings: ProductListings, sort: Sort
) -> None:
    """The next page is the same as without the deletion (api.md, cursors)."""
    catalogue = expected([await create(store, name=f"N{number}") for number in range(6)], sort)
    first = await listed(listings, sort)(3, None)
    assert first.items == catalogue[:3]
    await delete(store, first.items[-1])
    rest = await listed(listings, sort)(3, first.next)
    assert (rest.items, rest.next) == (catalogue[3:], None)


@pytest.mark.parametrize("sort", list(Sort))
async def test_a_cursor_survives_the_change_of_the_product_that_it_points_at(
    store: ProductStore, listings: ProductListings, sort: Sort
) -> None:
    """A cursor holds a position, not a product: a product that moves forward is listed again."""
    catalogue = expected([await create(store, name=f"N{number}") for number in range(6)], sort)
    first = await listed(listings, sort)(3, None)
    await edit(store, first.items[-1], name="zz", price=Decimal(5000), brand="Other")
    rest = await listed(listings, sort)(9, first.next)
    assert [one.id for one in rest.items if one.id != first.items[-1].id] == [one.id for one in catalogue[3:]]


async def test_an_exactly_full_last_page_has_no_cursor(store: ProductStore, listings: ProductListings) -> None:
    """A cursor would lead to an empty page."""
    for _ in range(4):
        await create(store)
    page = await listed(listings, Sort.NEWEST)(4, None)
    assert (len(page.items), page.next) == (4, None)
    page = await listed(listings, Sort.NEWEST, brand="Brightwell")(2, None)
    page = await listed(listings, Sort.NEWEST, brand="Brightwell")(2, page.next)
    assert (len(page.items), page.next) == (2, None)


async def test_an_empty_listing_is_an_empty_page_without_a_cursor(listings: ProductListings) -> None:
    for page in (
        await listed(listings, Sort.PRICE)(25, None),
        await listed(listings, Sort.NAME, brand="Nobody", name_prefix="x")(25, None),
        await listings.deleted(limit=25, start=None),
    ):
        assert page == Page([], None)


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("lam", ["Lamp", "LAMPE"]),
        ("LAMP", ["Lamp", "LAMPE"]),
        ("lampe", ["LAMPE"]),
        ("straß", ["STRASSE", "Straße 9"]),
        ("STRASS", ["STRASSE", "Straße 9"]),
        ("i", ["İstanbul"]),
        ("İ", ["İstanbul"]),
        ("ǆ", ["Ǆ one", "ǅ two"]),
        ("ǅ", ["Ǆ one", "ǅ two"]),
        ("e\u0301", ["Éclair", "e\u0301tude"]),
        ("é", ["Éclair", "e\u0301tude"]),
        ("e", []),
        ("Ω", ["Ωmega", "ωmikron"]),
        ("日本", ["日本茶"]),
        ("🦊", ["🦊 toy"]),
        (" ", []),
    ],
)
async def test_a_name_is_found_by_prefix_regardless_of_case_and_composition(
    store: ProductStore, listings: ProductListings, prefix: str, found: list[str]
) -> None:
    """By case folding and NFC: ß is ss, İ is i with a dot, Ǆ and ǅ are one letter (api.md)."""
    names = "Lamp|LAMPE|STRASSE|Straße 9|İstanbul|Ǆ one|ǅ two|Éclair|e\u0301tude|Ωmega|ωmikron|日本茶|🦊 toy"
    for name in names.split("|"):
        await create(store, name=name)
    page = await listed(listings, Sort.NAME, name_prefix=prefix)(25, None)
    assert sorted(one.name for one in page.items) == sorted(found)
    of_brand = await listed(listings, Sort.NAME, brand="brightwell", name_prefix=prefix)(25, None)
    assert of_brand.items == page.items


async def test_a_prefix_is_paged_like_a_list(store: ProductStore, listings: ProductListings) -> None:
    """The pages end where the prefix does."""
    made = [await create(store, name=f"Lamp {number:02}") for number in range(7)]
    await create(store, name="Lama")
    await create(store, name="Lamq")
    assert await read_all(listed(listings, Sort.NAME, name_prefix="lamp"), limit=3) == made


async def test_names_sort_by_code_point(store: ProductStore, listings: ProductListings) -> None:
    """The order is that of UTF-8, in which an emoji comes after every character of the basic plane."""
    names = ["a", "a b", "ab", "z", "é", "ﬀ", "\uff5e", "\U0001f98a", "日本"]
    for name in names:
        await create(store, name=name)
    items = await read_all(listed(listings, Sort.NAME), limit=4)
    assert [one.name for one in items] == sorted(names, key=lambda name: fold(name).encode())


async def test_a_name_that_is_a_prefix_of_another_comes_first(store: ProductStore, listings: ProductListings) -> None:
    """Whatever follows in the longer name, and whatever the ids are."""
    names = ["Lamp", "Lamp !", "Lamp 1", "Lamp-1"]
    for name in reversed(names):
        await create(store, name=name)
    assert [one.name for one in await read_all(listed(listings, Sort.NAME), limit=9)] == names


async def test_the_longest_names_can_be_listed_and_paged(store: ProductStore, listings: ProductListings) -> None:
    """200 characters can fold into 2,400 bytes, more than a key may hold; the id orders names cut to the same key."""
    longest = "\U0001d160"
    assert len(fold(longest * 199).encode()) > 2_048
    made = [await create(store, name=longest * 199 + end) for end in "abc"]
    items = await read_all(listed(listings, Sort.NAME), limit=1)
    assert {one.id for one in items} == {one.id for one in made}
    prefixed = await read_all(listed(listings, Sort.NAME, name_prefix=longest * 199), limit=2)
    assert len(prefixed) == 3


async def test_prices_sort_as_numbers_from_zero_to_the_highest(store: ProductStore, listings: ProductListings) -> None:
    """9.99 comes before 10, and three decimals count."""
    prices = ["0.000", "0.001", "0.010", "9.990", "10.000", "999999999999.999"]
    for price in reversed(prices):
        await create(store, price=Decimal(price), currency="KWD")
    items = await read_all(listed(listings, Sort.PRICE), limit=2)
    assert [str(one.price) for one in items] == prices
    items = await read_all(listed(listings, Sort.PRICE_DESCENDING), limit=2)
    assert [str(one.price) for one in items] == prices[::-1]


async def test_a_deleted_product_is_only_in_the_listing_of_deleted_ones(
    store: ProductStore, listings: ProductListings
) -> None:
    """By index, not by filter (R7); the latest deletion comes first, and restoring moves the product back."""
    made = [await create(store, sku=f"S{number}") for number in range(5)]
    deleted = [await delete(store, one, minutes=minutes) for minutes, one in enumerate(made[:4], 1)]
    for sort in Sort:
        for brand in (None, "Brightwell"):
            assert await read_all(listed(listings, sort, brand=brand), limit=9) == made[4:]
    assert await read_all(lambda limit, start: listings.deleted(limit=limit, start=start), limit=3) == deleted[::-1]
    restored = await restore(store, deleted[0], minutes=9)
    assert await read_all(listed(listings, Sort.PRICE), limit=9) == expected([made[4], restored], Sort.PRICE)
    assert await read_all(lambda limit, start: listings.deleted(limit=limit, start=start), limit=2) == deleted[:0:-1]


async def test_a_changed_product_moves_in_every_listing(store: ProductStore, listings: ProductListings) -> None:
    """In every order, and from its old brand to its new one."""
    other, moved = await create(store, name="M"), await create(store, name="A", price=Decimal(1))
    moved = await edit(store, moved, name="Z", price=Decimal(50), brand="Dovetail")
    assert await read_all(listed(listings, Sort.NAME), limit=9) == [other, moved]
    assert await read_all(listed(listings, Sort.PRICE), limit=9) == [other, moved]
    assert await read_all(listed(listings, Sort.NEWEST, brand="Dovetail"), limit=9) == [moved]
    assert await read_all(listed(listings, Sort.NEWEST, brand="Brightwell"), limit=9) == [other]


async def test_a_products_changes_are_paged_newest_first(store: ProductStore, listings: ProductListings) -> None:
    """Version numbers sort as numbers, so version 10 comes after version 9."""
    latest = await create(store, sku="Lamp-1")
    for number in range(2, 11):
        latest = await edit(store, latest, minutes=number, name=f"N{number}")
    await restore(store, await delete(store, latest, minutes=11), minutes=12)
    first = await listings.history(latest.id, limit=7, start=None)
    second = await listings.history(latest.id, limit=7, start=first.next)
    changes = [*first.items, *second.items]
    assert (len(first.items), second.next) == (7, None)
    assert [change.version for change in changes] == list(range(12, 0, -1))
    assert [change.action.value for change in changes[:2]] == ["restored", "deleted"]
    assert changes[0].changes["sku"].after == "Lamp-1"
    assert changes[-1].action == "created"
    assert changes[-1].changes["price"].before is None
    assert await listings.history(product().id, limit=7, start=None) == Page([], None)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7, 100])
async def test_each_price_ends_where_the_next_begins_across_pages(
    store: ProductStore, listings: ProductListings, limit: int
) -> None:
    """Other changes lie between the six prices; the first price of a continued page also has its end."""
    latest = await create(store, price=Decimal("1.00"))
    for number in range(2, 7):
        latest = await edit(store, latest, minutes=number * 10, price=Decimal(number))
        latest = await edit(store, latest, minutes=number * 10 + 1, name=f"N{number}")
    page = await listings.prices(latest.id, limit=limit, start=None, consistent=True)
    periods = list(page.items)
    while page.next is not None:
        assert len(page.items) == limit
        page = await listings.prices(latest.id, limit=limit, start=page.next, consistent=False)
        assert page.items
        periods += page.items
    assert [(str(period.price), period.since, period.until) for period in periods] == [
        ("6.00", at(60), None),
        ("5.00", at(50), at(60)),
        ("4.00", at(40), at(50)),
        ("3.00", at(30), at(40)),
        ("2.00", at(20), at(30)),
        ("1.00", at(0), at(20)),
    ]


async def test_the_prices_since_a_time_are_those_in_force_then_and_later(
    store: ProductStore, listings: ProductListings
) -> None:
    """Including the price that was in force at that time or began exactly then; no older one."""
    latest = await create(store, price=Decimal("1.00"))
    for number in range(2, 5):
        latest = await edit(store, latest, minutes=number * 10, price=Decimal(number))

    async def prices_since(minutes: float) -> list[str]:
        return [str(one.price) for one in await listings.prices_since(latest.id, at(minutes), consistent=True)]

    assert await prices_since(41) == ["4.00"]
    assert await prices_since(40) == ["4.00"]
    assert await prices_since(39) == ["4.00", "3.00"]
    assert await prices_since(0) == ["4.00", "3.00", "2.00", "1.00"]
    assert await prices_since(-5) == ["4.00", "3.00", "2.00", "1.00"]
    assert await listings.prices_since(product().id, at(0), consistent=True) == []


async def test_the_prices_before_the_newest_one_are_read_too(
    store: ProductStore, listings: ProductListings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long ago a reduction began, and by several calls; before a rise none is needed."""
    monkeypatch.setattr(listings_module, "_LATEST_PRICES", 2)
    monkeypatch.setattr(listings_module, "_EARLIER_PRICES", 3)
    latest, risen = await create(store, price=Decimal(9)), await create(store, price=Decimal(1))
    for number in range(2, 7):
        latest = await edit(store, latest, minutes=number * 10, price=Decimal(10 - number))
        risen = await edit(store, risen, minutes=number * 10, price=Decimal(number))
    for minutes, highest in ((0, 4), (9, 5), (10, 5), (11, 6), (40, 8), (50, 9), (999, 9)):
        before = timedelta(minutes=minutes)
        read = await listings.prices_since(latest.id, at(99), before_newest=before, consistent=True)
        assert [one.price for one in read] == list(range(4, highest + 1)), minutes
        read = await listings.prices_since(risen.id, at(99), before_newest=before, consistent=True)
        assert len(read) <= 2
    read = await listings.prices_since(latest.id, at(25), before_newest=timedelta(0), consistent=True)
    assert [one.price for one in read] == [4, 5, 6, 7, 8]


async def test_price_history_continues_past_one_query(store: ProductStore, listings: ProductListings) -> None:
    """For a price that changes every minute for hours."""
    latest = await create(store, price=Decimal(0))
    for number in range(1, 205):
        latest = await edit(store, latest, minutes=number, price=Decimal(number))
    periods = await listings.prices_since(latest.id, at(0), consistent=True)
    assert [int(period.price) for period in periods] == list(range(204, -1, -1))
    assert all(older.until == newer.since for newer, older in pairwise(periods))


async def test_the_periods_of_prices_come_from_all_changes(store: ProductStore, listings: ProductListings) -> None:
    """A deletion ends one, and a restoration begins one."""
    latest = await create(store, price=Decimal("1.00"))
    latest = await edit(store, latest, minutes=10, price=Decimal(2))
    latest = await restore(store, await delete(store, latest, minutes=20), minutes=30)
    assert [(str(one.price), one.since, one.until) for one in await listings.price_periods(latest.id)] == [
        ("1.00", at(0), at(10)),
        ("2.00", at(10), at(20)),
        ("2.00", at(30), None),
    ]
    assert await listings.price_periods(product().id) == []


async def test_the_first_creation_may_be_that_of_a_deleted_product(
    store: ProductStore, listings: ProductListings
) -> None:
    assert await listings.first_created() is None
    await create(store, created_at=at(5))
    await create(store, created_at=at(6))
    assert await listings.first_created() == at(5)
    for minutes in (4, 3, 7):
        await delete(store, await create(store, created_at=at(minutes)), minutes=10 - minutes)
    assert await listings.first_created() == at(3)
