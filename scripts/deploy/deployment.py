"""Brings a stack to a new version, and back to the one before if the new one does not serve."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from botocore.exceptions import ClientError
from rich.console import Console
from rich.table import Column, Table

from scripts.deploy.artifacts import TEMPLATE
from scripts.deploy.stack import HIDDEN, NEVER_CREATED, WORKS, ChangeSet, Stack
from scripts.deploy.target import Prerequisites, Target

_NO_REVISION: Final = 'Revision: {Type: String, Default: ""'
_EXPECTED: Final = {"/healthz": 200, "/readyz": 200, "/v1/products": 200, "/v1/analytics/top-products": 401}
"""Paths of the smoke test with their statuses: a process, the table, a list, and the function of the reports."""
_PATIENCE: Final = 60.0
"""Seconds in which the API must pass the smoke test: a balancer takes new tasks after two checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is deployed where. `yes` answers the questions; `role` is the one that CloudFormation works with."""

    stack: Stack
    found: Prerequisites
    role: str | None = None
    yes: bool = False

    def up(self, parameters: Mapping[str, str], *, template: Path = TEMPLATE, table: str | None = None) -> None:
        """Deploy a template with the artifacts, a new stack upon an existing table if one is named.

        Raises ClickException if the new version does not serve.
        """
        self.clear_failed_creation()
        self._check_image({**self.stack.parameters(), **self.found.parameters, **parameters})
        if table is not None:
            self._import(table, {**self.found.parameters, **parameters}, template.read_text())
        before = self._current()
        self._upload_artifacts()
        wanted = {**self.found.parameters, **parameters}
        wanted["Revision"] = _revision(template, {**self.stack.parameters(), **wanted})
        # Emulators expand templates with the defaults of parameters.
        text = (
            template.read_text().replace(_NO_REVISION, _NO_REVISION.replace('""', f'"{wanted["Revision"]}"')).encode()
        )
        change = self.stack.propose(self._upload_template(text), wanted, role=self.role)
        if change is None:
            click.echo("The stack is up to date.")
        else:
            self._make(change)
        if problem := smoke(self.stack.target, self.stack.outputs()["Url"]):
            self._restore(before if change else None, problem)
        for name, value in self.stack.outputs().items():
            click.echo(f"{name}: {value}")

    def _make(self, change: ChangeSet) -> None:
        """Show a change, and make it if that is confirmed."""
        show(change)
        try:
            if not self.yes:
                click.confirm(f"Change the stack {self.stack.name} so?", abort=True)
        except BaseException:
            self.stack.drop(change)
            raise
        status = self.stack.execute(change)
        if status in WORKS:
            return
        if status == "UPDATE_ROLLBACK_COMPLETE":
            raise click.ClickException("CloudFormation has undone the change, and the version before serves.")
        if status in NEVER_CREATED:
            raise click.ClickException("The stack was not created: repair the cause and run up again, which clears it.")
        raise click.ClickException(
            f"The stack {self.stack.name} is in {status}: repair the cause of the first failure above, then run "
            f"`aws cloudformation continue-update-rollback --stack-name {self.stack.name}` and up again."
        )

    def _check_image(self, parameters: Mapping[str, str]) -> None:
        """Raise ClickException without an image for Fargate: its tasks would fail for minutes, then the whole stack."""
        if (parameters.get("ApiOn", "fargate"), parameters.get("Image", "unused")) == ("fargate", "unused"):
            raise click.ClickException(
                "ApiOn=fargate needs an image: push one and name it by -p Image=..., or choose -p ApiOn=lambda."
            )

    def _import(self, table: str, parameters: Mapping[str, str], template: str) -> None:
        """Make a stack of a table alone. An import can create nothing beside it: the next change does."""
        if self.stack.status():
            held = [
                each["PhysicalResourceId"] for each in self.stack.resources() if each["LogicalResourceId"] == "Table"
            ]
            if held == [table]:
                return
            if not held:
                raise click.ClickException(
                    f"The stack {self.stack.name} has no table, as after an import that failed: repair the cause, run "
                    f"`aws cloudformation delete-stack --stack-name {self.stack.name}`, and up again."
                )
            raise click.ClickException(f"The stack {self.stack.name} has another table: name a new stack by --stack.")
        if not table.startswith(f"{self.stack.name}-"):
            raise click.ClickException(
                f"The roles of a stack may use only tables whose names begin with its own: restore it to a table "
                f"{self.stack.name}-..."
            )
        text = _table_alone(template).encode()
        wanted = {name: value for name, value in parameters.items() if name == "Environment"}
        if change := self.stack.propose(self._upload_template(text), wanted, role=self.role, table=table):
            self._make(change)

    def _current(self) -> tuple[str, dict[str, str]] | None:
        """Return the address of the template and the parameters of the version that serves; None before the first."""
        if "Url" not in self.stack.outputs():
            return None
        text = self.stack.template().encode()
        known = {name: value for name, value in self.stack.parameters().items() if value != HIDDEN}
        return self._upload_template(text), known

    def _restore(self, before: tuple[str, dict[str, str]] | None, problem: str) -> None:
        """Deploy the version before, because of a problem of the new one. Raises ClickException in any case."""
        if before is None:
            raise click.ClickException(f"The API does not serve, and there is no version before: {problem}")
        click.secho(f"The new version does not serve, so the one before is deployed again: {problem}", fg="red")
        change = self.stack.propose(*before, role=self.role)
        status = self.stack.execute(change) if change else self.stack.status()
        again = smoke(self.stack.target, self.stack.outputs()["Url"])
        if status not in WORKS or again:
            raise click.ClickException(f"The version before does not serve either ({status}): {again}")
        raise click.ClickException(f"The version before serves again. The new one did not: {problem}")

    def _upload_artifacts(self) -> None:
        for key, path in self.found.files.items():
            self._upload(key, path)

    def _upload_template(self, text: bytes) -> str:
        return self._upload(f"{self.stack.name}/template-{hashlib.sha256(text).hexdigest()[:16]}.yaml", text)

    def _upload(self, key: str, content: bytes | Path) -> str:
        """Put a file into the bucket unless it is there: its key names its content. Returns its address."""
        s3 = self.stack.target.client("s3")
        try:
            s3.head_object(Bucket=self.found.bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:  # noqa: PLR2004 - not found
                raise
            body = content.read_bytes() if isinstance(content, Path) else content
            click.echo(f"Uploading {key}, {len(body) / 2**20:.1f} MiB")
            s3.put_object(Bucket=self.found.bucket, Key=key, Body=body)
        return f"{s3.meta.endpoint_url}/{self.found.bucket}/{key}"

    def clear_failed_creation(self) -> None:
        """Delete a stack that was never created as a whole: it can be neither used nor updated.

        A table in it that is protected against deletion has stopped CloudFormation's own clearing. The protection is
        taken away from tables without items only; others are left, with a sentence.
        """
        status = self.stack.status()
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise click.ClickException(f"The stack {self.stack.name} is in {status}: run up again when that has ended.")
        if status not in NEVER_CREATED:
            return
        click.echo(f"The first creation of {self.stack.name} has failed ({status}), so what is left of it is deleted.")
        tables = [
            each["PhysicalResourceId"]
            for each in self.stack.resources()
            if each["ResourceType"] == "AWS::DynamoDB::Table" and each["ResourceStatus"] != "DELETE_COMPLETE"
        ]
        empty = [name for name in tables if self._unprotect(name)]
        if left := self.stack.delete(role=self.role):
            raise click.ClickException(f"The stack could not be deleted ({left}): see the first failure above.")
        for name in empty:
            self._delete_table(name)

    def _unprotect(self, table: str) -> bool:
        """Return whether a table has no items, and then let it be deleted.

        The role of a workflow may not look into tables: it leaves the table, which costs next to nothing.
        """
        dynamodb = self.stack.target.client("dynamodb")
        try:
            if dynamodb.scan(TableName=table, Limit=1, ConsistentRead=True)["Count"]:
                click.secho(f"The table {table} holds items and is kept.", fg="red")
                return False
            dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
            dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 2})
        except dynamodb.exceptions.ResourceNotFoundException:
            return False
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            click.secho(f"The table {table} is kept: these credentials may not see whether it is empty.", fg="red")
            return False
        return True

    def _delete_table(self, name: str) -> None:
        """Delete an empty table that the deletion of its stack has kept, as its policy says."""
        dynamodb = self.stack.target.client("dynamodb")
        try:
            dynamodb.delete_table(TableName=name)
        except dynamodb.exceptions.ResourceNotFoundException:
            return
        click.echo(f"The empty table {name} is deleted.")


def smoke(target: Target, url: str) -> str:
    """Return what is wrong with an API after a minute at most; empty if it serves."""
    end, api = time.monotonic() + _PATIENCE, target.api(url)
    for path, status in _EXPECTED.items():
        while (reply := target.get(api + path)).status != status:
            if time.monotonic() > end or reply.status == 500:  # noqa: PLR2004 - a fault that no time mends
                return f"GET {path} answers {reply.status} instead of {status}: {reply.body[:300]}"
            time.sleep(target.poll)
        click.echo(f"GET {path}: {status}")
    return ""


def show(change: ChangeSet) -> None:
    """Print the table of a change, with whole names; what is replaced or removed stands out."""
    console = Console()
    if not console.is_terminal:  # The log of a workflow has no width.
        console = Console(width=200)
    table = Table(*(Column(name, overflow="fold") for name in ("Action", "Resource", "Type")), box=None, pad_edge=False)
    for each in sorted(change.changes, key=lambda each: (each.action, each.resource)):
        action = f"{each.action}, replaced" if each.replacement else each.action
        table.add_row(
            action, each.resource, each.type, style="red" if each.replacement or each.action == "Remove" else ""
        )
    console.print(table)


def _table_alone(template: str) -> str:
    """Return the part of a template that describes the table."""
    parts = {
        "Parameters": r"^  Environment: .*\n",
        "Conditions": r"^  IsProduction: .*\n",
        "Resources": r"^  Table:\n(?:(?:    .*)?\n)+",
    }
    found = {name: re.search(pattern, template, re.MULTILINE) for name, pattern in parts.items()}
    return "".join(f"{name}:\n{part[0]}" for name, part in found.items() if part)


def _revision(template: Path, parameters: Mapping[str, str]) -> str:
    """Return a digest of all that a version is made from."""
    values = {name: value for name, value in parameters.items() if name != "Revision"}
    return hashlib.sha256(template.read_bytes() + json.dumps(values, sort_keys=True).encode()).hexdigest()
