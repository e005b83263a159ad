"""The requests about a product, from its creation to its restoration, and about notifications."""

from typing import Final

from scripts.postman.step import Step

_ETAG: Final = 'header("ETag")'
_KETTLE: Final = {"sku": "KETTLE-{{run}}", "name": "Enamel kettle", "brand": "Brightwell", "price": "24.5"}
_POT: Final = {"name": "Enamel pot", "brand": "Brightwell", "price": "32"}
_KEY: Final = {"Idempotency-Key": "kettle-{{run}}"}

PRODUCTS: Final = (
    Step(
        name="Create a product",
        operation="createProduct",
        caller="admin",
        headers=_KEY,
        body=_KETTLE | {"description": "Holds 1.5 litres."},
        facts={"the price has its currency's decimals": 'body.price === "24.50" && body.currency === "USD"'},
        keep={"product_id": "body.id", "sku": "body.sku", "etag": _ETAG},
    ),
    Step(
        name="Create it again under the same key",
        operation="createProduct",
        caller="admin",
        headers=_KEY,
        body=_KETTLE | {"description": "Holds 1.5 litres."},
        facts={
            "it is the first response again": 'header("Idempotency-Replayed") === "true"',
            "it is the same product": 'body.id === kept("product_id")',
        },
    ),
    Step(
        name="A key with another body is refused",
        operation="createProduct",
        caller="admin",
        headers=_KEY,
        body=_KETTLE,
        code="idempotency_key_reused",
    ),
    Step(
        name="A SKU is taken whatever its case",
        operation="createProduct",
        caller="admin",
        body=_KETTLE | {"sku": "kettle-{{run}}"},
        code="sku_taken",
        facts={"its holder is named": 'body.holder.id === kept("product_id")'},
    ),
    Step(
        name="Each invalid field of a product is reported",
        operation="createProduct",
        caller="admin",
        body=_KETTLE | {"price": "1e2", "colour": "blue"},
        code="validation_failed",
        facts={"two fields are refused": "body.errors.length === 2"},
    ),
    Step(
        name="Users may not create products", operation="createProduct", caller="user", body=_KETTLE, code="forbidden"
    ),
    Step(
        name="An anonymous caller cannot create products",
        operation="createProduct",
        body=_KETTLE,
        code="authentication_required",
    ),
    Step(
        name="Read a product, which stores a view",
        operation="readProduct",
        headers={"Referer": "https://example.org/kettles"},
        facts={"it does not name its author": '!("created_by" in body)'},
    ),
    Step(
        name="Read the product again only if it has changed",
        operation="readProduct",
        headers={"If-None-Match": "{{etag}}"},
        not_modified=True,
    ),
    Step(
        name="Read a product by its SKU",
        operation="readProductBySku",
        facts={"it is that product": 'body.id === kept("product_id")'},
    ),
    Step(
        name="List the cheapest of a brand",
        operation="listProducts",
        query={"brand": "Brightwell", "sort": "price", "limit": "5"},
        facts={"all are of the brand": 'body.items.every((product) => product.brand === "Brightwell")'},
    ),
    Step(
        name="List a price range",
        operation="listProducts",
        query={"price_min": "20", "price_max": "30.00", "brand": "Brightwell"},
        facts={"all are in it": "body.items.every((product) => product.price >= 20 && product.price <= 30)"},
    ),
    Step(
        name="Read products by their ids",
        operation="listProducts",
        caller="user",
        query={"id": "{{product_id}}"},
        facts={
            "it is that product": 'body.items[0].id === kept("product_id")',
            "none is missing": "body.missing.length === 0",
        },
    ),
    Step(
        name="Read products by their SKUs",
        operation="listProducts",
        query={"sku": "NOTHING-{{run}}"},
        facts={"what is missing is named": 'body.missing[0] === "NOTHING-" + kept("run")'},
    ),
    Step(
        name="An invalid cursor is refused", operation="listProducts", query={"cursor": "page-2"}, code="invalid_cursor"
    ),
    Step(
        name="A page holds at most a hundred",
        operation="listProducts",
        query={"limit": "101"},
        code="validation_failed",
    ),
    Step(
        name="Change the price if the product is unchanged since the read",
        operation="changeProduct",
        caller="admin",
        headers={"If-Match": "{{etag}}"},
        body={"price": "19.90"},
        facts={"it has a new price": 'body.price === "19.90"', "it has a new version": "body.version === 2"},
    ),
    Step(
        name="The same price changes nothing",
        operation="changeProduct",
        caller="admin",
        body={"price": 19.9},
        facts={"it has the same version": "body.version === 2"},
    ),
    Step(
        name="A change of an outdated product is refused",
        operation="changeProduct",
        caller="admin",
        headers={"If-Match": "{{etag}}"},
        body={"price": "17.90"},
        code="version_mismatch",
        facts={"the current version is named": "body.current_version === 2"},
    ),
    Step(
        name="List its changes",
        operation="listProductHistory",
        caller="admin",
        facts={
            "the newest comes first": 'body.items.map((change) => change.action).join() === "updated,created"',
            "it has both prices": 'Object.values(body.items[0].changes.price).join() === "24.50,19.90"',
        },
    ),
    Step(
        name="Read the feed of all changes from today on",
        operation="listChanges",
        caller="admin",
        query={"from": "{{today}}T00:00:00Z", "limit": "5"},
        facts={"the oldest comes first": "body.items.every((item, n) => !n || body.items[n - 1].at <= item.at)"},
        keep={"changes_cursor": "body.next_cursor"},
    ),
    Step(
        name="Go on from there, now or later",
        operation="listChanges",
        caller="admin",
        query={"cursor": "{{changes_cursor}}"},
        facts={"there is always a next cursor": 'typeof body.next_cursor === "string"'},
    ),
    Step(
        name="A cursor and a time do not go together",
        operation="listChanges",
        caller="admin",
        query={"cursor": "{{changes_cursor}}", "from": "{{today}}T00:00:00Z"},
        code="validation_failed",
    ),
    Step(
        name="List its prices",
        operation="listProductPrices",
        caller="admin",
        facts={
            "the newest comes first": 'body.items.map((period) => period.price).join() === "19.90,24.50"',
            "it has the lowest of 30 days": 'body.lowest_last_30_days === "19.90"',
            "it has the lowest before the reduction": 'body.lowest_30_days_before_reduction === "24.50"',
        },
    ),
    Step(
        name="Set another by its SKU, which creates it",
        operation="putProductBySku",
        caller="admin",
        path={"sku": "POT-{{run}}"},
        headers={"If-None-Match": "*"},
        body=_POT,
        facts={"it is new": "body.version === 1"},
    ),
    Step(
        name="Set it again, which replaces it",
        operation="putProductBySku",
        status=200,
        caller="admin",
        path={"sku": "pot-{{run}}"},
        body=_POT | {"price": "31.00"},
        facts={"it has the new price": 'body.price === "31.00"', "it has a new version": "body.version === 2"},
        keep={"pot_etag": _ETAG},
    ),
    Step(
        name="Create it only if there is none",
        operation="putProductBySku",
        caller="admin",
        path={"sku": "POT-{{run}}"},
        headers={"If-None-Match": "*"},
        body=_POT,
        code="version_mismatch",
    ),
    Step(
        name="Change it by its SKU if it is unchanged",
        operation="changeProductBySku",
        caller="admin",
        path={"sku": "POT-{{run}}"},
        headers={"If-Match": "{{pot_etag}}"},
        body={"price": "29.00"},
        facts={"it has a new version": "body.version === 3"},
    ),
    Step(
        name="Change prices in a batch",
        operation="runProductBatch",
        caller="admin",
        headers={"Idempotency-Key": "prices-{{run}}"},
        body={
            "operations": [
                {"op": "patch", "sku": "POT-{{run}}", "price": "27.00"},
                {"op": "upsert", "sku": "PAN-{{run}}"} | _POT,
                {"op": "patch", "sku": "NOTHING-{{run}}", "price": "1.00"},
                {"op": "delete", "sku": "PAN-{{run}}"},
            ]
        },
        facts={
            "each has its status": 'body.results.map((result) => result.status).join() === "200,201,404,204"',
            "a refusal says why": 'body.results[2].problem.code === "not_found"',
        },
    ),
    Step(name="Delete it by its SKU", operation="deleteProductBySku", caller="admin", path={"sku": "POT-{{run}}"}),
    Step(name="Delete the product", operation="deleteProduct", caller="admin", headers={"If-Match": '"2"'}),
    Step(name="It is gone for users", operation="readProduct", caller="user", code="not_found"),
    Step(
        name="Admins still see it",
        operation="readProduct",
        caller="admin",
        facts={"its SKU is free": 'body.original_sku === kept("sku") && body.sku.includes("_delete_")'},
    ),
    Step(name="List deleted products", operation="listDeletedProducts", caller="admin", query={"limit": "5"}),
    Step(
        name="Create another under the free SKU",
        operation="createProduct",
        caller="other_admin",
        body=_KETTLE,
        keep={"other_product_id": "body.id"},
    ),
    Step(
        name="A restored product needs a free SKU",
        operation="restoreProduct",
        caller="admin",
        code="sku_taken",
        facts={"its holder is named": 'body.holder.id === kept("other_product_id")'},
    ),
    Step(
        name="Restore it under another",
        operation="restoreProduct",
        caller="admin",
        body={"sku": "KETTLE-{{run}}-B"},
        facts={"it has that SKU": 'body.sku === kept("sku") + "-B"', "it has a new version": "body.version === 4"},
    ),
    Step(name="A live product cannot be restored", operation="restoreProduct", caller="admin", code="not_deleted"),
    Step(
        name="Delete the other one",
        operation="deleteProduct",
        caller="admin",
        path={"product_id": "{{other_product_id}}"},
    ),
)

NOTICES: Final = (
    Step(
        name="List one's unread notices",
        operation="listNotifications",
        caller="other_admin",
        query={"unread": "true", "limit": "5"},
        facts={"all are unread": "body.items.every((notice) => notice.read_at === null)"},
        keep={"notification_id": 'body.items.length ? body.items[0].id : ""'},
    ),
    Step(name="Users may not list notices", operation="listNotifications", caller="user", code="forbidden"),
    Step(
        name="Mark a notice as read",
        operation="readNotification",
        caller="other_admin",
        before=('if (!pm.collectionVariables.get("notification_id")) pm.execution.skipRequest();',),
    ),
    Step(
        name="An unknown notice is not found",
        operation="readNotification",
        caller="other_admin",
        path={"notification_id": "{{product_id}}"},
        code="not_found",
    ),
    Step(name="Mark all notices as read", operation="readAllNotifications", caller="other_admin"),
    Step(
        name="Get mails one by one",
        operation="putNotificationPreferences",
        caller="other_admin",
        body={"email": "each", "language": "en"},
    ),
    Step(
        name="Read one's mail preferences",
        operation="readNotificationPreferences",
        caller="other_admin",
        facts={"they come one by one": 'body.email === "each"'},
    ),
    Step(
        name="Get digests again", operation="putNotificationPreferences", caller="other_admin", body={"email": "digest"}
    ),
)
