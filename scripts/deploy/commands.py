"""Deploys Vitrina, shows how it is, and takes it down: `scripts/deploy/up`, `status`, `logs` and `down`."""

import functools
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, ParamSpec

import click
from botocore.exceptions import BotoCoreError, ClientError

from scripts.deploy.deployment import Deployment, smoke
from scripts.deploy.emulator import PORT
from scripts.deploy.stack import Stack
from scripts.deploy.target import Target, check, check_sender

P = ParamSpec("P")
_KEPT: Final = {
    "AWS::DynamoDB::Table": "the table, with all data",
    "AWS::SecretsManager::Secret": "a key of tokens, cursors and visitor hashes",
    "AWS::S3::Bucket": "the exports",
}
"""What outlives its stack, by type, because the template retains it."""
_LOGS: Final = {"functions": "FunctionLog", "requests": "AccessLog", "tasks": "TaskLog"}


def _url(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.match("https?://[^/]", value):
        raise click.BadParameter("it is not a URL such as http://127.0.0.1:4566")
    return value


def _on_stack(command: Callable[Concatenate[Stack, P], None]) -> Callable[..., None]:
    """Give a command the stack of its options, and end it by a sentence if AWS refuses a call."""

    @click.option("--to", type=click.Choice(["aws", "emulator"]), default="aws", show_default=True, help="Where it is.")
    @click.option("--stack", default="vitrina", show_default=True, help="The name of the stack.")
    @click.option(
        "--endpoint",
        default=f"http://127.0.0.1:{PORT}",
        show_default=True,
        callback=_url,
        help="The address of the emulator.",
    )
    @functools.wraps(command)
    def wrapped(to: Literal["aws", "emulator"], stack: str, endpoint: str, **options: Any) -> None:  # noqa: ANN401
        try:
            command(Stack(Target(kind=to, endpoint=endpoint), stack), **options)  # type: ignore[call-arg]
        except (ClientError, BotoCoreError) as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted. CloudFormation goes on with what it has begun; `status` shows it.", err=True)
            raise click.exceptions.Exit(130) from None

    return wrapped


@click.group()
def main() -> None:
    """Deploy Vitrina to AWS or to an emulator."""


@main.command()
@_on_stack
@click.option(
    "--build", type=click.Path(path_type=Path), default=Path("build"), show_default=True, help="What `build` made."
)
@click.option("--bucket", help="The bucket for the artifacts.  [default: vitrina-artifacts-ACCOUNT-REGION]")
@click.option("--role", help="The ARN of the role that CloudFormation works with.")
@click.option("--table", help="An existing table for a new stack, such as one that was restored.")
@click.option(
    "--parameter",
    "-p",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the template; others keep their values.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def up(
    stack: Stack,
    *,
    build: Path,
    bucket: str | None,
    role: str | None,
    table: str | None,
    parameter: tuple[str, ...],
    yes: bool,
) -> None:
    """Create or update a stack with what `scripts/deploy/build` made.

    It shows the change, asks, makes it and tests the API. If the change fails, CloudFormation undoes it; if the new
    version does not serve, the one before is deployed again.
    """
    values = _values(parameter)
    # A folder for each stack, so that the roles of one environment cannot replace what another one deploys.
    found = check(stack.target, build, bucket=bucket, folder=stack.name)
    check_sender({**stack.parameters(), **found.parameters, **values})
    Deployment(stack=stack, found=found, role=role, yes=yes).up(values, table=table)
    if hint := unheard(stack.parameters()):
        click.secho(hint, fg="yellow", err=True)


@main.command()
@_on_stack
@click.option("--role", help="The ARN of the role that CloudFormation works with.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def down(stack: Stack, *, role: str | None, yes: bool) -> None:
    """Delete a stack; the table, the keys and the exports stay."""
    account = _check(stack)
    click.echo(f"The stack {stack.name} of account {account} in {stack.target.region} is to be deleted. These stay:")
    for each in stack.resources():
        if kept := _KEPT.get(each["ResourceType"]):
            click.echo(f"  {kept}: {each['PhysicalResourceId']}")
    if not yes and click.prompt("Type the name of the stack to delete it") != stack.name:
        raise click.ClickException("Nothing is deleted.")
    if left := stack.delete(role=role):
        raise click.ClickException(f"The stack is in {left}: repair what failed first, and run down again.")
    click.echo(f"The stack {stack.name} is deleted. A new one gets a table and keys of its own.")


@main.command()
@_on_stack
def status(stack: Stack) -> None:
    """Show the state of a stack, what runs in it, and whether it serves."""
    _check(stack)
    found = stack.describe() or {}
    since = found.get("LastUpdatedTime") or found["CreationTime"]
    click.echo(f"{stack.name}: {found['StackStatus']} since {since:%F %T %Z}")
    outputs = stack.outputs()
    for name, value in {**stack.parameters(), **outputs}.items():
        click.echo(f"{name}: {value}")
    for each in stack.resources():
        if "FAILED" in each["ResourceStatus"]:
            click.secho(f"{each['LogicalResourceId']}: {each['ResourceStatus']}", fg="red")
    if "Url" in outputs and (problem := smoke(stack.target, outputs["Url"])):
        raise click.ClickException(problem)


@main.command()
@_on_stack
@click.option("--of", type=click.Choice(list(_LOGS)), default="functions", show_default=True, help="Which log.")
@click.option("--minutes", type=click.FloatRange(min=0), default=10.0, show_default=True, help="How far back.")
@click.option("--filter", "pattern", default="", help="A filter pattern of CloudWatch.")
@click.option("--follow", is_flag=True, help="Print new lines until Ctrl-C.")
def logs(stack: Stack, *, of: str, minutes: float, pattern: str, follow: bool) -> None:
    """Print a log of a stack, the oldest lines first."""
    _check(stack)
    groups = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in stack.resources()}
    if _LOGS[of] not in groups:
        raise click.ClickException(f"This stack has no log of {of}: ApiOn decides between requests and tasks.")
    start = int((datetime.now(UTC) - timedelta(minutes=minutes)).timestamp() * 1000)
    seen: set[tuple[str, ...]] = set()
    while True:
        for line in _lines(stack.target, groups[_LOGS[of]], start, pattern):
            key = (line["logStreamName"], str(line["timestamp"]), line["message"])
            if key not in seen:
                seen.add(key)
                click.echo(line["message"].rstrip())
            start = max(start, line["timestamp"])
        if not follow:
            return
        try:
            time.sleep(stack.target.poll)
        except KeyboardInterrupt:
            return


def _lines(target: Target, group: str, start: int, pattern: str) -> Iterator[dict[str, Any]]:
    """Yield the events of a log since a time in milliseconds."""
    pages = target.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(logGroupName=group, startTime=start, filterPattern=pattern):
        yield from page["events"]


def unheard(parameters: Mapping[str, str]) -> str:
    """Return a hint if nobody gets the alarms of a stack in production; else an empty text."""
    if (parameters.get("Environment"), parameters.get("AlarmEmail")) != ("production", "none"):
        return ""
    return "Nobody gets the alarms: name an address by -p AlarmEmail=..., and confirm the mail that AWS sends to it."


def _check(stack: Stack) -> str:
    """Return the account of a stack. Raises ClickException if it does not exist, or AWS cannot be asked."""
    region, account = stack.target.region, stack.target.account()
    if not stack.status():
        raise click.ClickException(f"There is no stack {stack.name} in {region}.")
    return account


def _values(options: tuple[str, ...]) -> dict[str, str]:
    """Return the values of parameters by name. Raises UsageError."""
    values = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise click.UsageError(f"--parameter {option}: write NAME=VALUE")
        values[name] = value
    return values


if __name__ == "__main__":
    main.commands[sys.argv[1]].main(sys.argv[2:], prog_name=f"scripts/deploy/{sys.argv[1]}")
