"""The requests of the collection in order, from signing in to signing out."""

from typing import Final

from scripts.postman.accounts import API_KEYS, MANAGE_ACCOUNTS, SIGN_IN, SIGN_OUT
from scripts.postman.products import NOTICES, PRODUCTS
from scripts.postman.step import Chapter, Step

_REPORTS: Final = (
    Step(
        name="Count a product's views by day",
        operation="getProductViews",
        caller="admin",
        query={"from": "{{today}}"},
        facts={
            "each day has its row": "body.days[0].day === body.from",
            "both views are counted": "body.total + body.bots === 2",
        },
    ),
    Step(
        name="An invalid day is refused",
        operation="getProductViews",
        caller="admin",
        query={"from": "2026-02-30"},
        code="validation_failed",
    ),
    Step(name="Users may not read reports", operation="getProductViews", caller="user", code="forbidden"),
    Step(
        name="List the products most viewed",
        operation="listTopProducts",
        caller="admin",
        query={"from": "{{today}}", "limit": "5"},
        facts={"there are at most five": "body.items.length <= 5"},
    ),
    Step(
        name="Export the views of today",
        operation="exportViews",
        caller="admin",
        query={"from": "{{today}}"},
        facts={
            "each line is an event": '"event_id" in JSON.parse(pm.response.text().split("\\n")[0])',
            "it has the views of the product": 'pm.response.text().includes(kept("product_id"))',
        },
    ),
    Step(
        name="Export them as CSV",
        operation="exportViews",
        caller="admin",
        query={"from": "{{today}}", "format": "csv"},
        media_type="text/csv",
        facts={"the first line names the columns": 'pm.response.text().startsWith("event_id,event_time,day,")'},
    ),
    Step(name="Users may not export", operation="exportViews", caller="user", code="forbidden"),
    Step(
        name="Export the prices that were in force today",
        operation="exportPrices",
        caller="admin",
        query={"from": "{{today}}"},
        facts={
            "each line is a price": '"valid_from" in JSON.parse(pm.response.text().split("\\n")[0])',
            "it has both prices of the product": 'pm.response.text().split(kept("product_id")).length >= 3',
        },
    ),
)
_OPERATIONS: Final = (
    Step(name="Check that the process is up", operation="healthz"),
    Step(name="Check that it is ready for requests", operation="readyz"),
    Step(name="Read the metrics", operation="metrics"),
    Step(name="Read the OpenAPI document", operation="openapi"),
    Step(name="Open the interactive page", operation="docs"),
)

STORY: Final = (
    Chapter("auth", "sign in", SIGN_IN),
    Chapter("auth", "API keys for programs", API_KEYS),
    Chapter("users", "manage accounts", MANAGE_ACCOUNTS),
    Chapter("products", "from creation to restoration", PRODUCTS),
    Chapter("analytics", "count views", _REPORTS),
    Chapter("notifications", "read notices", NOTICES),
    Chapter("ops", "watch the service", _OPERATIONS),
    Chapter("auth", "sign out", SIGN_OUT),
)
