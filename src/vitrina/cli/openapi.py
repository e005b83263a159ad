"""`vitrina openapi`: the contract as a document, for generators and for review."""

from typing import Any

import click
import orjson

from vitrina.api.application import ROUTES, all_routes
from vitrina.api.http.routing import Route
from vitrina.api.openapi.document import document
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings


def declared_routes() -> tuple[Route[Any, Any], ...]:
    """Return every route of the service; it asks for no settings and no table."""
    settings = Settings(environment="development", signing_keys=DEMO_SIGNING_KEYS, secret_key=DEMO_SECRET_KEY)
    return all_routes(settings, ROUTES)


@click.command()
@click.option("--server", default="", help="The URL that calls go to.  [default: that of the document itself]")
def openapi(server: str) -> None:
    """Print the OpenAPI document; it asks for no settings and no table."""
    click.echo(orjson.dumps(document(declared_routes(), server=server), option=orjson.OPT_INDENT_2))
