"""A client that was generated from the last release's document keeps working."""

import copy
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.api.openapi.breaking import Comparison
from tests.api.openapi.released import RELEASED
from vitrina.api.openapi.document import document
from vitrina.cli.api import declared_routes

LAST_RELEASE = RELEASED.with_name("last_release.json")
TODAY: Any = orjson.loads(orjson.dumps(document(declared_routes())))
PRODUCTS = TODAY["paths"]["/v1/products"]
NOW_STATED = re.compile(
    r"[ .](brand|cursor|email|name|name_prefix|sku|\w*password|refresh_token): has another pattern$"
    r"|[.](description|price): a variant is refused$"
)
"""What the last release refused although its document did not say so."""
Edit = Callable[[Any, Any], object]
"""Changes a document, given its paths and its schemas."""


def breaks_of(edit: Edit) -> list[str]:
    """Return what a change of today's document would break."""
    changed = copy.deepcopy(TODAY)
    edit(changed["paths"], changed["components"]["schemas"])
    return list(Comparison(TODAY, changed).breaks())


def test_nothing_of_the_last_release_is_broken() -> None:
    """Before a break is released, `CHANGELOG.md` announces it and this file gets the place as an exception."""
    breaks = Comparison(orjson.loads(LAST_RELEASE.read_bytes()), TODAY).breaks()
    assert [line for line in breaks if not NOW_STATED.search(line)] == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda paths, _: paths.update({"/v1/new": PRODUCTS}),
        lambda paths, _: paths["/v1/me"].update(post=PRODUCTS["post"]),
        lambda paths, _: paths["/v1/products"]["get"]["parameters"].append(
            {"name": "new", "in": "query", "required": False, "schema": {"type": "string"}}
        ),
        lambda _, schemas: schemas["PublicProduct"]["properties"].update(new={"type": "string"}),
        lambda _, schemas: schemas["ProductCreate"]["properties"].update(new={"type": "string"}),
        lambda _, schemas: schemas["Sort"]["enum"].append("brand"),
    ],
)
def test_an_addition_breaks_nothing(edit: Edit) -> None:
    assert breaks_of(edit) == []


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda paths, _: paths.pop("/v1/me"), "GET /v1/me: is gone"),
        (lambda paths, _: paths["/v1/products"].pop("post"), "POST /v1/products: is gone"),
        (lambda paths, _: paths["/v1/products"]["get"]["parameters"].pop(0), "GET /v1/products"),
        (lambda paths, _: paths["/v1/products"]["post"]["responses"].pop("201"), "POST /v1/products 201"),
        (lambda _, schemas: schemas["FeedPage"]["properties"].pop("next_cursor"), "GET /v1/changes 200.next_cursor"),
        (lambda _, schemas: schemas["FeedEntry"]["required"].remove("at"), "GET /v1/changes 200.items[].at"),
        (lambda _, schemas: schemas["ProductCreate"]["required"].append("currency"), "POST /v1/products body.currency"),
        (lambda _, schemas: schemas["ProductCreate"]["properties"].pop("brand"), "POST /v1/products body.brand"),
        (
            lambda _, schemas: schemas["ProductCreate"]["properties"]["name"].update(maxLength=100),
            "POST /v1/products body.name: maxLength is 100",
        ),
        (lambda _, schemas: schemas["Sort"]["enum"].remove("name"), "GET /v1/products sort: has other values"),
        (
            lambda _, schemas: schemas["Action"]["enum"].append("moved"),
            "GET /v1/products/{product_id}/history 200.items[].action: has other values",
        ),
        (
            lambda _, schemas: schemas["FeedEntry"]["properties"]["version"].update(type="string"),
            "GET /v1/changes 200.items[].version: is string, not integer",
        ),
    ],
)
def test_a_removal_or_a_narrower_type_is_found(edit: Edit, place: str) -> None:
    found = breaks_of(edit)
    assert any(line.startswith(place) for line in found), found
