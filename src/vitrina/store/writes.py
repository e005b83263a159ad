"""Writes as values: what a transaction is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, Update as UpdateExpression

from vitrina.store.items import Item
from vitrina.store.keys import Key

Arguments = dict[str, Any]


class _Serializable(Protocol):
    def serialize(self, names: dict[str, str], values: dict[str, Any], /) -> str | None: ...


@dataclass(slots=True)
class Expressions:
    """Collects the placeholders of a call's expressions."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def write(self, expression: _Serializable) -> str:
        """Return the text of `expression`, its names and values kept aside."""
        return expression.serialize(self.names, self.values) or ""

    def arguments(self) -> Arguments:
        """Return the names and values for the call; DynamoDB refuses empty ones."""
        arguments: Arguments = {}
        if self.names:
            arguments["ExpressionAttributeNames"] = {placeholder: name for name, placeholder in self.names.items()}
        if self.values:
            arguments["ExpressionAttributeValues"] = self.values
        return arguments


def raw_key(key: Key) -> Arguments:
    """Return `key` as DynamoDB's API has it."""
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _conditional(arguments: Arguments, condition: Condition | None, expressions: Expressions) -> Arguments:
    if condition is not None:
        arguments["ConditionExpression"] = expressions.write(condition)
        arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return arguments | expressions.arguments()


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item."""

    item: Item
    condition: Condition | None = None
    kind = "Put"

    def arguments(self) -> Arguments:
        """Return the arguments of PutItem, but for the table."""
        return _conditional({"Item": self.item.serialize()}, self.condition, Expressions())


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an item."""

    key: Key
    condition: Condition | None = None
    kind = "Delete"

    def arguments(self) -> Arguments:
        """Return the arguments of DeleteItem, but for the table."""
        return _conditional({"Key": raw_key(self.key)}, self.condition, Expressions())


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an item, which is made if it does not exist and no condition forbids it."""

    key: Key
    actions: Sequence[Action]
    condition: Condition | None = None
    kind = "Update"

    def arguments(self) -> Arguments:
        """Return the arguments of UpdateItem, but for the table."""
        expressions = Expressions()
        text = expressions.write(UpdateExpression(*self.actions))
        return _conditional({"Key": raw_key(self.key), "UpdateExpression": text}, self.condition, expressions)


@dataclass(frozen=True, slots=True)
class Check:
    """Only require a condition of an item."""

    key: Key
    condition: Condition
    kind = "ConditionCheck"

    def arguments(self) -> Arguments:
        """Return the arguments of a ConditionCheck, but for the table."""
        return _conditional({"Key": raw_key(self.key)}, self.condition, Expressions())


Write = Put | Delete | Update | Check
