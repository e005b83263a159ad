"""DynamoDB operations as values: reads of many items, and the writes that transactions consist of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Value
from pynamodb.expressions.update import Action, RemoveAction, SetAction, Update as UpdateExpression

from vitrina.errors import Conflict
from vitrina.store.items import Item, RawItem
from vitrina.store.keys import Index, Key

T = TypeVar("T")
Arguments = dict[str, Any]
"""Arguments of a client's method, as DynamoDB's API names them."""


class _Serializable(Protocol):
    def serialize(self, names: dict[str, str], values: dict[str, Any], /) -> str | None: ...


@dataclass(slots=True)
class Expressions:
    """Collects the placeholders of the expressions of one request."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def write(self, expression: _Serializable) -> str:
        """Return the text of `expression` and collect its names and values."""
        return expression.serialize(self.names, self.values) or ""

    def arguments(self) -> Arguments:
        """Return the arguments for the collected names and values; DynamoDB rejects empty ones."""
        arguments: Arguments = {}
        if self.names:
            arguments["ExpressionAttributeNames"] = {placeholder: name for name, placeholder in self.names.items()}
        if self.values:
            arguments["ExpressionAttributeValues"] = self.values
        return arguments


def raw_key(key: Key) -> Arguments:
    """Return `key` in the form of DynamoDB's API."""
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


# Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of the table or of an index.

    An index cannot be read consistently. A `fresh` query goes to the writer's endpoint and so avoids a replica's lag.
    """

    condition: Condition
    index: Index | None = None
    filter: Condition | None = None
    descending: bool = False
    consistent: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan of the whole table, or of one of its `segments` parts, which can be scanned in parallel."""

    filter: Condition | None = None
    segment: int = 0
    segments: int = 1
    consistent: bool = False


# Writes

ABSENT: Final = Item.pk.does_not_exist()
"""The condition that no item has the key. A transaction that meets another one there looks who was faster."""


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

    def is_done(self, stored: Item | None) -> bool:
        """Whether the stored item is the one to write."""
        if stored is None or type(stored) is not type(self.item):
            return False
        # As it is read back: DynamoDB drops the trailing zeros of numbers.
        return stored.attribute_values == type(self.item).from_raw_data(self.item.serialize()).attribute_values

    def arguments(self) -> Arguments:
        """Return the arguments of PutItem without the table's name."""
        return _conditional({"Item": self.item.serialize()}, self.condition, Expressions())


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an item."""

    key: Key
    condition: Condition | None = None
    kind = "Delete"

    def is_done(self, stored: Item | None) -> bool:
        """Whether there is no item."""
        return stored is None

    def arguments(self) -> Arguments:
        """Return the arguments of DeleteItem without the table's name."""
        return _conditional({"Key": raw_key(self.key)}, self.condition, Expressions())


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an item. Creates a missing item unless the condition requires it to exist."""

    key: Key
    actions: Sequence[Action]
    condition: Condition | None = None
    kind = "Update"

    def is_done(self, stored: Item | None) -> bool:
        """Whether the stored item has all that the update writes; False if a value is computed from the stored one."""
        if stored is None:
            return False
        raw = stored.serialize(null_check=False)  # An update can have removed what an item needs.
        return all(_is_visible(action, raw) for action in self.actions)

    def arguments(self) -> Arguments:
        """Return the arguments of UpdateItem without the table's name."""
        expressions = Expressions()
        text = expressions.write(UpdateExpression(*self.actions))
        return _conditional({"Key": raw_key(self.key), "UpdateExpression": text}, self.condition, expressions)


def _is_visible(action: Action, item: RawItem) -> bool:
    attribute: Any = action.values[0]  # Its type is the base of all operands, which has no path.
    name = attribute.path[0]
    if isinstance(action, RemoveAction):
        return name not in item
    if not isinstance(action, SetAction) or not isinstance(action.values[1], Value):
        return False
    return bool(item.get(name) == action.values[1].values[0])


@dataclass(frozen=True, slots=True)
class Check:
    """Require a condition of an item without writing it; only in a transaction."""

    key: Key
    condition: Condition
    kind = "ConditionCheck"

    def arguments(self) -> Arguments:
        """Return the arguments of a ConditionCheck without the table's name."""
        return _conditional({"Key": raw_key(self.key)}, self.condition, Expressions())


Write = Put | Delete | Update | Check


def _impossible(item: Item | None) -> Exception:
    # Only type and key: attributes may be personal data, which must not reach a log.
    return AssertionError(f"a write without a condition failed on {type(item).__name__} {item and item.pk}")


@dataclass(frozen=True, slots=True)
class Step:
    """A write of a transaction; `otherwise` makes the error for a failed condition from the existing item, if any.

    `busy` is raised if other transactions keep writing the item.
    """

    write: Write
    otherwise: Callable[[Item | None], Exception] = _impossible
    busy: type[Exception] = Conflict


AlsoWrite = Callable[[T], Sequence[Step]]
"""Returns further steps for the transaction that creates a value, given that value."""


def nothing_else(_: object) -> Sequence[Step]:
    """Return no further steps."""
    return ()
