"""Derived SKUs in a catalogue: rows of one origin find their product again, and never that of another origin."""

from decimal import Decimal
from typing import Any

import pytest

from tests.services.imports.catalogue import NO_PAUSE, Catalogue
from tests.services.imports.files import case, csv_file, import_file
from vitrina.domain.products import Product, ProductDraft
from vitrina.errors import SkuTaken
from vitrina.services.imports.importer import Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome, Profile
from vitrina.services.imports.skus import Origin
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products

Results = dict[str, Outcome]


def variant(handle: str, *options: str, **cells: str) -> dict[str, str]:
    """Return a row of a Shopify export; `cells` may give a title, a SKU and a price."""
    values = {f"Option{number} Value": option for number, option in enumerate((*options, "", "", "")[:3], start=1)}
    texts = {"Title": cells.get("title", handle), "Vendor": "Acme", "Variant SKU": cells.get("sku", "")}
    return {"Handle": handle} | texts | values | {"Variant Price": cells.get("price", "9")}


async def imported(
    catalogue: Catalogue,
    *rows: dict[str, str],
    content: bytes = b"",
    derive: bool = False,
    products: Products | None = None,
) -> Results:
    """Import rows of Shopify, or a file, and return the outcome of each SKU."""
    options = ImportOptions(profile=Profile.SHOPIFY, derive_skus=derive)
    with ImportPlan() as plan:
        parse(import_file(content or csv_file(*rows)), options, plan)
        importer = Importer(products or catalogue.products, catalogue.store, plan, backoff=NO_PAUSE)
        await importer.compare()
        await importer.apply(by="ana", run="import-test")
        return {row.sku: row.outcome for row in plan.results(*Outcome)}


async def price_of(catalogue: Catalogue, sku: str) -> Decimal:
    """Return the price of the live product with a SKU."""
    return (await catalogue.products.get_by_sku(sku)).price


async def test_files_whose_options_differ_by_a_sign_make_different_products(catalogue: Catalogue) -> None:
    """And each file finds its own again."""
    minus, plus = (Origin.of("lens", power).sku for power in ("-1.00", "+1.00"))
    for outcome in (Outcome.CREATED, Outcome.UNCHANGED):
        assert await imported(catalogue, content=case("sh-diopter-a")) == {minus: outcome}
        assert await imported(catalogue, content=case("sh-diopter-b")) == {plus: outcome}
    assert [await price_of(catalogue, sku) for sku in (minus, plus)] == [Decimal("9.00"), Decimal("12.00")]
    assert list((await imported(catalogue, content=case("sh-diopters"))).values()) == [Outcome.CREATED] * 3


async def test_a_derived_sku_never_updates_a_product_of_another_origin(catalogue: Catalogue) -> None:
    """Though it is the same, because a boundary, a hyphen or the case is lost, or because the other SKU was given."""
    await keep_apart(catalogue, variant("wool-cap", "Red"), variant("wool-cap-red", title="wool-cap - Red"))
    await keep_apart(catalogue, variant("tee", "Deep Red"), variant("tee", "Deep-Red"))
    await keep_apart(catalogue, variant("ring", "a"), variant("ring", "A"))
    await keep_apart(catalogue, variant("tee", "x", "y"), variant("tee", "x y"))
    await keep_apart(catalogue, variant("pro", sku="LENS-RED"), variant("lens", "Red", title="pro"))


async def keep_apart(catalogue: Catalogue, first: dict[str, str], second: dict[str, str]) -> None:
    """The second gets the distinct SKU, in another file or in the same, in any order, and keeps it."""
    ((sku, outcome),) = (await imported(catalogue, first)).items()
    assert outcome is Outcome.CREATED
    dearer = second | {"Variant Price": "12"}
    distinct = Origin.of(second["Handle"], *(second[name] for name in second if "Option" in name and second[name]))
    assert await imported(catalogue, dearer) == {distinct.distinct_sku: Outcome.CREATED}
    assert await price_of(catalogue, sku) == Decimal("9.00")
    for rows in ((dearer,), (dearer, first), (first, dearer)):
        assert set((await imported(catalogue, *rows)).values()) == {Outcome.UNCHANGED}
    await catalogue.delete(sku)
    assert await imported(catalogue, dearer) == {distinct.distinct_sku: Outcome.UNCHANGED}


async def test_derived_skus_that_a_file_repeats_are_distinct_in_any_order(catalogue: Catalogue) -> None:
    """A SKU of its own stays; the same handle with the same options is one product on two lines."""
    one, other, own = variant("a", "b-c"), variant("a-b", "c"), variant("z", sku="A-B-C")
    distinct = {Origin.of(*parts).distinct_sku: Outcome.CREATED for parts in (("a", "b-c"), ("a-b", "c"))}
    assert await imported(catalogue, one, other) == distinct
    assert await imported(catalogue, other, own, one) == dict.fromkeys(distinct, Outcome.UNCHANGED) | {
        "A-B-C": Outcome.CREATED
    }
    assert await imported(catalogue, variant("x", "1"), variant("x", "1", price="8")) == {
        Origin.of("x", "1").distinct_sku: Outcome.REFUSED
    }


async def test_skus_of_the_shop_that_are_repeated_or_not_allowed_are_derived_on_request(catalogue: Catalogue) -> None:
    with ImportPlan() as plan:
        parse(import_file(case("sh-spaced")), ImportOptions(profile=Profile.SHOPIFY), plan)
        reasons = [row.reason for row in plan.results(Outcome.REFUSED)]
    assert reasons == [
        "its SKU is not allowed: --derive-skus derives another",
        "its SKU is not allowed: --derive-skus derives another",
        "its SKU is on line 5 too: --derive-skus derives others",
        "its SKU is on line 4 too: --derive-skus derives others",
    ]
    for outcome in (Outcome.CREATED, Outcome.UNCHANGED):
        found = await imported(catalogue, content=case("sh-spaced"), derive=True)
        assert found == dict.fromkeys(("CAP-S", "CAP-M", "CAP-L", "HAT"), outcome)


async def made_by_hand(catalogue: Catalogue, sku: str, name: str) -> Product:
    """Create a product whose id tells no origin, as by a request or by release 0.1.0."""
    draft = ProductDraft(sku=sku, name=name, brand="Acme", description=None, price=Decimal(5), currency="USD")
    return await catalogue.products.create(draft, by="luis", request_id="r")


async def test_a_product_without_a_known_origin_is_found_by_its_name(catalogue: Catalogue) -> None:
    """Release 0.1.0 kept no origin; a product that an admin made under the SKU is another one."""
    earlier = await made_by_hand(catalogue, "CAP-RED", "Cap - red")
    await made_by_hand(catalogue, "CAP-BLUE", "Blue hat")
    blue = Origin.of("cap", "Blue").distinct_sku
    found = await imported(catalogue, variant("cap", "Red", title="Cap"), variant("cap", "Blue", title="Cap"))
    assert found == {"CAP-RED": Outcome.UPDATED, blue: Outcome.CREATED}
    assert (await catalogue.products.get(earlier.id)).price == Decimal("9.00")
    await made_by_hand(catalogue, "LENS-1.00", "Lens - -1.00")
    assert await imported(catalogue, content=case("sh-diopter-a")) == {"LENS-1.00": Outcome.UPDATED}
    plus = Origin.of("lens", "+1.00").sku
    assert await imported(catalogue, content=case("sh-diopter-b")) == {plus: Outcome.CREATED}


async def test_a_row_is_refused_if_even_its_distinct_sku_is_that_of_another_origin(catalogue: Catalogue) -> None:
    """Eight digits can collide; the digest in the product's id tells it."""
    lens = Origin.of("lens", "-1.00")
    await imported(catalogue, variant("other", sku=lens.sku))
    assert await imported(catalogue, variant("lens", "-1.00")) == {lens.sku: Outcome.REFUSED}


class Hasty(Products):
    """A service in which another import creates a product just before the first `create`."""

    meanwhile: dict[str, str] | None = None
    catalogue: Catalogue

    async def create(self, draft: ProductDraft, **options: Any) -> Product:  # noqa: ANN401 - as the service has it
        """Let the other import come first."""
        if self.meanwhile is not None:
            row, self.meanwhile = self.meanwhile, None
            await imported(self.catalogue, row)
            raise SkuTaken("x")
        return await super().create(draft, **options)


@pytest.fixture
def hasty(catalogue: Catalogue) -> Hasty:
    """A service for the catalogue."""
    service = Hasty(catalogue.store, catalogue.products._listings, NoCache())
    service.catalogue = catalogue
    return service


async def test_a_product_of_another_origin_made_after_the_plan_is_not_updated(
    catalogue: Catalogue, hasty: Hasty
) -> None:
    hasty.meanwhile = variant("wool-cap-red", price="7")
    found = await imported(catalogue, variant("wool-cap", "Red"), products=hasty)
    assert found == {Origin.of("wool-cap", "Red").distinct_sku: Outcome.CREATED}
    assert await price_of(catalogue, "WOOL-CAP-RED") == Decimal("7.00")
