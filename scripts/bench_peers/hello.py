"""The upper bound: aiohttp on uvloop with fixed responses, no middleware and no access log.

`python hello.py PORT` serves every measured route with responses of about the size of Vitrina's.
"""

import json
import sys

import uvloop
from aiohttp import web

PRODUCT = json.dumps(
    {
        "id": "0193a5b2-7c1e-7e64-9c3a-5f1d2b7a9e10",
        "sku": "BENCH-000001",
        "name": "Enamelled kettle 000001",
        "brand": "Aurora",
        "description": "A kettle that is there to be measured: this text is as long as a short real one would be.",
        "price": "19.99",
        "currency": "USD",
        "created_at": "2026-11-24T07:01:34.120Z",
        "updated_at": "2026-11-24T07:01:34.120Z",
        "version": 1,
    }
).encode()
PAGE = b'{"items":[' + b",".join([PRODUCT] * 25) + b'],"next_cursor":null}'


async def product(_request: web.Request) -> web.Response:
    """Respond to a read or a write of one product."""
    return web.Response(body=PRODUCT, content_type="application/json")


async def page(_request: web.Request) -> web.Response:
    """Respond to a list request."""
    return web.Response(body=PAGE, content_type="application/json")


def main() -> None:
    """Serve on the loopback port of the first argument until the process ends."""
    app = web.Application()
    app.router.add_get("/v1/products", page)
    app.router.add_post("/v1/products", product)
    app.router.add_get("/v1/products/{id}", product)
    app.router.add_patch("/v1/products/{id}", product)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
