"""`vitrina openapi`: the contract as a document, for generators and for review."""

import click
import orjson

from vitrina.api.app import ROUTES
from vitrina.api.application import all_routes
from vitrina.api.openapi import document
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings


@click.command()
@click.option("--server", default="", help="The URL that calls go to.  [default: that of the document itself]")
def openapi(server: str) -> None:
    """Print the OpenAPI document; it asks for no settings and no table."""
    settings = Settings(environment="development", signing_keys=DEMO_SIGNING_KEYS, secret_key=DEMO_SECRET_KEY)
    made = document(all_routes(settings, ROUTES), server=server)
    click.echo(orjson.dumps(made, option=orjson.OPT_INDENT_2))
