"""`vitrina users`: the only way to create and remove super_admins (R1)."""

import sys
from collections.abc import Callable
from typing import Final

import click

from vitrina.bootstrap import Services
from vitrina.cli import example
from vitrina.cli.running import (
    CommandFailed,
    UsageError,
    json_option,
    load_settings,
    print_result,
    run,
    with_settings,
)
from vitrina.config import Settings
from vitrina.domain.users import clean_account_name, clean_email, typed_email
from vitrina.errors import LastSuperAdmin, NotFound, ValidationFailed
from vitrina.services.accounts.passwords import LONGEST, SHORTEST


def _cleaned(clean: Callable[[str], str]) -> Callable[[click.Context, click.Parameter, str], str]:
    """Return an option's callback that normalises the value by `clean`; its ValueError becomes a usage error."""

    def callback(_: click.Context, __: click.Parameter, value: str) -> str:
        try:
            return clean(value)
        except ValueError as error:
            raise click.BadParameter(f"it {error}") from error

    return callback


@click.group()
def users() -> None:
    """Create and remove super_admins, who manage all other accounts over HTTP."""


_CREATE: Final = "vitrina users create-super-admin --email sol@example.com --name Sol < password.txt"


@users.command(epilog=example(_CREATE))
@click.option("--email", callback=_cleaned(clean_email), required=True, help="The address to sign in with.")
@click.option("--name", callback=_cleaned(clean_account_name), required=True, help="The name shown to others.")
@json_option
def create_super_admin(email: str, name: str, *, as_json: bool) -> None:
    """Create a super_admin; asks for the password, or reads it from standard input when that is not a terminal.

    The exit code is 1 when the e-mail is taken, and 2 when the password is refused.
    """
    run(_create(load_settings(), email=email, name=name, password=_password(), as_json=as_json))


async def _create(settings: Settings, *, email: str, name: str, password: str, as_json: bool) -> None:
    async with Services(settings) as services:
        try:
            user = await services.accounts.create_super_admin(email=email, password=password, name=name)
        except ValidationFailed as error:
            raise UsageError(f"the password {error.errors[0].detail}") from error
    result = {"id": user.id, "email": user.email, "name": user.name, "role": user.role}
    print_result(result, f"created super_admin {user.email} ({user.id})", as_json=as_json)


@users.command(epilog=example("vitrina users remove-super-admin --email ada@example.com"))
@click.option("--email", callback=_cleaned(typed_email), required=True, help="The address of the account.")
@json_option
@with_settings
async def remove_super_admin(settings: Settings, email: str, *, as_json: bool) -> None:
    """Delete a super_admin and end its sessions; exit code 1: there is none with this e-mail, or no other one."""
    async with Services(settings) as services:
        try:
            await services.accounts.remove_super_admin(email)
        except NotFound as error:
            raise CommandFailed(f"there is no super_admin {email}") from error
        except LastSuperAdmin as error:
            raise CommandFailed(f"{email} is the last super_admin: create another one first") from error
    print_result({"removed": email}, f"removed super_admin {email}", as_json=as_json)


def _password() -> str:
    """Return the new password: typed twice, or the first line of standard input; never an argument (R1)."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"the password must have {SHORTEST} to {LONGEST} characters")
    return password
