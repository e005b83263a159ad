"""Prints the Postman collection, which people import and newman runs as a test."""

import click
import orjson

from scripts.devstack import demo
from scripts.postman.collection import collection
from scripts.postman.story import STORY
from vitrina.cli.api import declared_routes


@click.command()
@click.option("--base-url", default="http://127.0.0.1:8080", show_default=True, help="URL of the service.")
def postman(base_url: str) -> None:
    """Print the Postman collection, which uses the demo's accounts; needs no settings and no table."""
    admin, other_admin, user = (email for email, _, _ in demo.ACCOUNTS)
    variables = {
        "base_url": base_url,
        "super_admin_email": demo.SUPER_ADMIN[0],
        "admin_email": admin,
        "other_admin_email": other_admin,
        "user_email": user,
        "password": demo.PASSWORD,
    }
    made = collection(declared_routes(), STORY, variables=variables)
    click.echo(orjson.dumps(made, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    postman()
