"""What is left of a stack whose first creation has failed, where AWS could not delete its protected table.

The emulator deletes protected tables with their stack, so the state of the stack is made up here; its tables are real.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from scripts.deploy.deployment import Deployment
from scripts.deploy.stack import Stack
from scripts.deploy.target import Prerequisites, Target


class Failed(Stack):
    """A stack in ROLLBACK_FAILED with tables, which its deletion retains."""

    def __init__(self, target: Target, tables: tuple[str, ...]) -> None:
        super().__init__(target, "failed")
        self._tables = tables

    def status(self) -> str:
        return "ROLLBACK_FAILED"

    def resources(self) -> Iterator[dict[str, Any]]:
        for table in self._tables:
            yield {
                "ResourceType": "AWS::DynamoDB::Table",
                "ResourceStatus": "DELETE_FAILED",
                "PhysicalResourceId": table,
            }

    def delete(self, *, role: str | None = None) -> str:
        assert role is None
        return ""


def protected_table(dynamodb: Any) -> str:  # noqa: ANN401 - boto3 has no types
    """Create a table with deletion protection and return its name."""
    name = f"failed-Table-{uuid.uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=True,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    return name


def test_an_empty_table_goes_and_one_with_items_stays(ministack: str) -> None:
    target = Target(kind="emulator", endpoint=ministack)
    dynamodb = target.client("dynamodb")
    empty, full = protected_table(dynamodb), protected_table(dynamodb)
    dynamodb.put_item(TableName=full, Item={"pk": {"S": "a"}})
    found = Prerequisites(bucket="", files={}, parameters={})
    Deployment(stack=Failed(target, (empty, full, "gone")), found=found).clear_failed_creation()
    left = dynamodb.list_tables()["TableNames"]
    assert (empty in left, full in left) == (False, True)
    assert dynamodb.describe_table(TableName=full)["Table"]["DeletionProtectionEnabled"]
