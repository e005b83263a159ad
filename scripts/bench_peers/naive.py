"""The usual design: aiohttp and aioboto3, one DynamoDB call per step of a request.

`python naive.py PORT ENDPOINT` serves the tables `naive_products` and `naive_views`. It is a careful first version: one
long-lived client, a large enough connection pool, uvloop, and no access log.
"""

import base64
import hashlib
import json
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig
from aiohttp import web
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from types_aiobotocore_dynamodb import DynamoDBClient

ENDPOINT = web.AppKey("ENDPOINT", str)
DYNAMODB = web.AppKey("DYNAMODB", DynamoDBClient)

deserialize = TypeDeserializer().deserialize
serialize = TypeSerializer().serialize


async def clients(app: web.Application) -> AsyncIterator[None]:
    """Keep one client with a pool of 100 connections while the app runs."""
    config = AioConfig(max_pool_connections=100)
    session = aioboto3.Session()
    async with session.client("dynamodb", endpoint_url=app[ENDPOINT], config=config) as client:
        app[DYNAMODB] = client
        yield


def now() -> str:
    """Return this instant in ISO 8601."""
    return datetime.now(UTC).isoformat()


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Turn DynamoDB's typed attributes into plain values."""
    return {name: deserialize(value) for name, value in item.items()}


def typed(item: dict[str, Any]) -> dict[str, Any]:
    """Turn plain values into DynamoDB's typed attributes."""
    return {name: serialize(value) for name, value in item.items()}


async def get_product(request: web.Request) -> web.Response:
    """Read the product, store the view, respond."""
    client = request.app[DYNAMODB]
    answer = await client.get_item(TableName="naive_products", Key={"id": {"S": request.match_info["id"]}})
    if "Item" not in answer:
        raise web.HTTPNotFound
    product = plain(answer["Item"])
    visitor = f"{request.remote} {request.headers.get('User-Agent', '')}"
    view = {
        "product_id": product["id"],
        "viewed_at": f"{now()}#{uuid.uuid4()}",
        "visitor": hashlib.sha256(visitor.encode()).hexdigest(),
        "referrer": request.headers.get("Referer", ""),
    }
    await client.put_item(TableName="naive_views", Item=typed(view))
    return web.json_response(product)


async def create_product(request: web.Request) -> web.Response:
    """Store a new product; nothing keeps its SKU unique."""
    made = {"id": str(uuid.uuid4()), "listing": "products", "created_at": now(), "updated_at": now()}
    product = await request.json() | made
    await request.app[DYNAMODB].put_item(TableName="naive_products", Item=typed(product))
    return web.json_response(product, status=201)


async def patch_product(request: web.Request) -> web.Response:
    """Set the price, with no history, no event and no version."""
    body = await request.json()
    answer = await request.app[DYNAMODB].update_item(
        TableName="naive_products",
        Key={"id": {"S": request.match_info["id"]}},
        UpdateExpression="SET price = :price, updated_at = :now",
        ConditionExpression="attribute_exists(id)",
        ExpressionAttributeValues={":price": {"S": body["price"]}, ":now": {"S": now()}},
        ReturnValues="ALL_NEW",
    )
    return web.json_response(plain(answer["Attributes"]))


async def list_products(request: web.Request) -> web.Response:
    """Query a page of 25 products, newest first, and the cursor of the next page."""
    cursor = request.query.get("cursor")
    start = {"ExclusiveStartKey": json.loads(base64.urlsafe_b64decode(cursor))} if cursor else {}
    answer = await request.app[DYNAMODB].query(
        TableName="naive_products",
        IndexName="listing-created_at",
        KeyConditionExpression="listing = :listing",
        ExpressionAttributeValues={":listing": {"S": "products"}},
        ScanIndexForward=False,
        Limit=25,
        **start,
    )
    last = answer.get("LastEvaluatedKey")
    following = base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if last else None
    return web.json_response({"items": [plain(item) for item in answer["Items"]], "next_cursor": following})


def main() -> None:
    """Serve on the loopback port of the first argument until the process ends."""
    app = web.Application()
    app[ENDPOINT] = sys.argv[2]
    app.cleanup_ctx.append(clients)
    app.router.add_get("/v1/products", list_products)
    app.router.add_post("/v1/products", create_product)
    app.router.add_get("/v1/products/{id}", get_product)
    app.router.add_patch("/v1/products/{id}", patch_product)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
