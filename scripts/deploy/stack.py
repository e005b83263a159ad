"""A stack of CloudFormation: its change sets, its events while it changes, and its end."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import click
from botocore.exceptions import ClientError, WaiterError

from scripts.deploy.target import Target

CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
NEVER_CREATED: Final = frozenset({"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})
"""States of a stack whose first creation did not come to its end; none can be updated."""
WORKS: Final = frozenset({"CREATE_COMPLETE", "IMPORT_COMPLETE", "UPDATE_COMPLETE"})
HIDDEN: Final = "****"
"""What CloudFormation shows of the value of a parameter with `NoEcho`."""
_NO_CHANGES: Final = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A resource that a change set adds, modifies, replaces or removes."""

    action: str
    resource: str
    type: str
    replacement: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """A change that CloudFormation has worked out and not made yet."""

    id: str
    changes: Sequence[Change]


class Stack:
    """One stack by its name."""

    def __init__(self, target: Target, name: str) -> None:
        self.target = target
        self.name = name

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 has no types
        return self.target.client("cloudformation")

    def describe(self) -> dict[str, Any] | None:
        """Return what CloudFormation says of it; None if it does not exist."""
        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def status(self) -> str:
        """Return its status, such as `UPDATE_COMPLETE`; empty if it does not exist."""
        found = self.describe()
        return str(found["StackStatus"]) if found else ""

    def outputs(self) -> dict[str, str]:
        """Return its outputs by name."""
        found = self.describe() or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """Return the values of its template's parameters, `HIDDEN` for those with `NoEcho`."""
        found = self.describe() or {}
        return {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}

    def template(self) -> str:
        """Return the text of its template, as it was given."""
        return str(self._client.get_template(StackName=self.name, TemplateStage="Original")["TemplateBody"])

    def resources(self) -> Iterator[dict[str, Any]]:
        """Yield its resources."""
        for page in self._client.get_paginator("list_stack_resources").paginate(StackName=self.name):
            yield from page["StackResourceSummaries"]

    def propose(
        self, template: str, parameters: Mapping[str, str], *, role: str | None = None, table: str | None = None
    ) -> ChangeSet | None:
        """Return the change to a template, by its address in S3, that CloudFormation would make with a role's rights.

        Parameters that are not named keep their values. With `table` the change imports this table as the resource
        `Table` of the template, which can then have no other resource. None stands for nothing to change. Raises
        ClickException if CloudFormation refuses it.
        """
        exists = self.status() not in {"", "REVIEW_IN_PROGRESS"}
        found = {"ResourceType": "AWS::DynamoDB::Table", "ResourceIdentifier": {"TableName": table}}
        try:
            summary = self._client.get_template_summary(TemplateURL=template)
            declared = {each["ParameterKey"] for each in summary["Parameters"]}
            kept = (self.parameters().keys() if exists else set()) & declared - parameters.keys()
            made = self._client.create_change_set(
                StackName=self.name,
                ChangeSetName=f"up-{uuid.uuid4().hex[:12]}",
                ChangeSetType="IMPORT" if table else "UPDATE" if exists else "CREATE",
                TemplateURL=template,
                Parameters=[
                    *({"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()),
                    *({"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)),
                ],
                Capabilities=list(CAPABILITIES),
                **({"RoleARN": role} if role else {}),
                **({"ResourcesToImport": [{"LogicalResourceId": "Table", **found}]} if table else {}),
            )
        except ClientError as error:
            raise click.ClickException(f"CloudFormation refuses it: {error.response['Error']['Message']}") from None
        return self._computed(made["Id"])

    def execute(self, change: ChangeSet) -> str:
        """Make a change, print its events, and return the status in which the stack ends."""
        began = datetime.now(UTC)
        seen = {each["EventId"] for each in self._events()} if self.status() != "REVIEW_IN_PROGRESS" else set()
        self._client.execute_change_set(ChangeSetName=change.id, StackName=self.name)
        return self._follow(seen, began)

    def drop(self, change: ChangeSet) -> None:
        """Forget a change that was not made, and the empty stack that CloudFormation makes for a first one."""
        self._client.delete_change_set(ChangeSetName=change.id, StackName=self.name)
        if self.status() == "REVIEW_IN_PROGRESS":
            self.delete()

    def delete(self, *, role: str | None = None) -> str:
        """Delete it, print its events, and return its last status; empty if it is gone."""
        began = datetime.now(UTC)
        stack_id = (self.describe() or {})["StackId"]
        seen = {each["EventId"] for each in self._events()}
        self._client.delete_stack(StackName=self.name, **({"RoleARN": role} if role else {}))
        return self._follow(seen, began, name=stack_id)

    def _computed(self, change_id: str) -> ChangeSet | None:
        """Wait until CloudFormation has worked out a change."""
        changes: list[dict[str, Any]] = []
        try:
            self._client.get_waiter("change_set_create_complete").wait(
                ChangeSetName=change_id,
                StackName=self.name,
                WaiterConfig={"Delay": self.target.poll, "MaxAttempts": 200},
            )
        except WaiterError as error:
            reason = str(error.last_response.get("StatusReason", error))
            self.drop(ChangeSet(id=change_id, changes=()))
            if any(words in reason for words in _NO_CHANGES):
                return None
            raise click.ClickException(f"CloudFormation refuses the change: {reason}") from None
        pages = self._client.get_paginator("describe_change_set")
        for page in pages.paginate(ChangeSetName=change_id, StackName=self.name):
            changes += [each["ResourceChange"] for each in page["Changes"]]
        return ChangeSet(
            id=change_id,
            changes=[
                Change(
                    action=each["Action"],
                    resource=each["LogicalResourceId"],
                    type=each["ResourceType"],
                    replacement=each.get("Replacement") in {"True", "Conditional"},
                )
                for each in changes
            ],
        )

    def _follow(self, seen: set[str], began: datetime, *, name: str | None = None) -> str:
        """Print new events until the stack rests; returns its status, empty for a deleted one."""
        while True:
            try:
                found = self._client.describe_stacks(StackName=name or self.name)["Stacks"][0]
            except ClientError as error:  # A deleted stack is known by its id only, and not for ever.
                if "does not exist" not in error.response["Error"]["Message"]:
                    raise
                return ""
            for each in reversed(self._events(name)):
                if each["EventId"] not in seen:
                    seen.add(each["EventId"])
                    _print(each, began)
            status = str(found["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return "" if status == "DELETE_COMPLETE" else status
            time.sleep(self.target.poll)

    def _events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the events of the last operations, the newest first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(
            StackName=name or self.name, PaginationConfig={"MaxItems": 500}
        )
        return [each for page in pages for each in page["StackEvents"]]


def _print(event: Mapping[str, Any], began: datetime) -> None:
    """Print what has ended or failed; beginnings would double the lines."""
    status, reason = str(event["ResourceStatus"]), str(event.get("ResourceStatusReason", ""))
    if status.endswith("_IN_PROGRESS") and not reason:
        return
    seconds = max((event["Timestamp"] - began).total_seconds(), 0)
    colour = "red" if "FAILED" in status or "ROLLBACK" in status else None
    line = f"{seconds:6.1f} s  {status:<28} {event['LogicalResourceId']} {event['ResourceType']}"
    click.secho(f"{line}{f': {reason}' if reason and 'FAILED' in status else ''}", fg=colour)
