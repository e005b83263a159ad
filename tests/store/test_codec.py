"""The contract with PynamoDB, which is used as a codec and never as a client.

Its expression builders have public names but no documentation, so the version is pinned and these tests hold what we
use.
"""

import inspect
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pynamodb.attributes import Attribute, NumberAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Update as UpdateExpression

from vitrina.store import items as items_module, keys
from vitrina.store.items import (
    ApiKeyItem,
    ChangeItem,
    DecimalAttribute,
    DeletionItem,
    EmailItem,
    IdempotencyItem,
    IntegerAttribute,
    Item,
    LeaseItem,
    LoginAttemptsItem,
    MailItem,
    MailWindowItem,
    MigrationItem,
    NoticeItem,
    NoticePreferencesItem,
    PasswordItem,
    PriceItem,
    ProductItem,
    SessionItem,
    SkuItem,
    SuperAdminsItem,
    TimeAttribute,
    UserItem,
    ViewDayItem,
    ViewRollupItem,
    ViewSegmentItem,
    ViewSummaryItem,
    ViewTallyItem,
)
from vitrina.store.keys import Key
from vitrina.store.operations import Check, Delete, Expressions, Put, Query, Update, Write
from vitrina.store.table import Table

AT = datetime(2026, 11, 24, 7, 1, 34, 120_000, UTC)
KEY = Key("PK#ü", "SK")
ITEMS: dict[type[Item], dict[str, Any]] = {
    UserItem: {
        "id": "1", "email": "uma@example.com", "name": "Uma Ü", "role": "user", "active": False,
        "password_hash": "$2b$", "session_epoch": 0, "key_epoch": 1, "version": 1, "created_at": AT, "updated_at": AT,
        "listing": "USERS", "listing_group": "ROLE#user", "by_time": "2026",
    },
    PasswordItem: {"user_id": "1", "password_hash": "$2b$"},
    EmailItem: {"user_id": "1"},
    SuperAdminsItem: {"members": 2},
    SessionItem: {
        "id": "1", "user_id": "2", "epoch": 3, "generation": 4, "user_agent": "Firefox", "created_at": AT,
        "refreshed_at": AT, "mark": "m", "expires_at": 1_795_500_000,
    },
    ApiKeyItem: {
        "id": "1", "user_id": "2", "name": "Till", "scope": "read", "epoch": 3, "digest": bytes(range(32)),
        "created_at": AT, "last_used_on": "2026-11-24", "expires_at": 1_795_500_000,
    },
    ProductItem: {
        "id": "1", "sku": "Lamp-1", "name": "Lamp", "brand": "B", "description": "two\nlines", "version": 9,
        "currency": "KWD", "price": Decimal("999999999999.125"), "created_at": AT, "created_by": "a", "updated_at": AT,
        "updated_by": "b", "deleted_at": AT, "deleted_by": "c", "original_sku": "o", "by_name": "n", "by_price": "p",
    },
    SkuItem: {"product_id": "1"},
    DeletionItem: {"product_id": "1", "original_sku": "o", "deleted_at": AT, "deleted_by": "c"},
    ChangeItem: {
        "product_id": "1", "version": 2, "action": "updated", "at": AT, "by": "a", "request_id": "r", "sku": "s",
        "name": "n", "price": "1.00", "currency": "USD", "changes": {"name": {"from": None, "to": "ü"}},
        "old_price": "2.00", "old_currency": "EUR",
    },
    NoticeItem: {
        "id": "n", "user_id": "u", "product_id": "p", "version": 2, "sku": "s", "name": "Lamp Ü", "old_price": "2.00",
        "old_currency": "EUR", "price": "1.00", "currency": "USD", "changed_at": AT, "changed_by": "a",
        "changed_by_name": "Ana", "request_id": "r", "read_at": AT, "digest": True, "mail": "m",
        "due": "MAIL#1", "due_at": AT,
    },
    NoticePreferencesItem: {"email": "digest", "digest_minutes": 15, "language": "es"},
    MailWindowItem: {"closes_at": AT, "notices": 4},
    MailItem: {
        "id": "m", "user_id": "u", "notices": ["a", "b"], "digest": True, "attempts": 2, "failures": 1,
        "created_at": AT, "due": "MAIL#1", "due_at": AT,
    },
    LeaseItem: {"shard_id": "s", "parent": "p", "owner": "o", "counter": 7, "checkpoint": "TRIM_HORIZON"},
    ViewDayItem: {"views": 3, "unique_visitors": 2, "bots": 1},
    ViewTallyItem: {"rows": bytes(range(28))},
    ViewSummaryItem: {"hours": [[1, 0]] * 24, "referrers": [["example.org", 3]], "direct": 1, "other": 0},
    ViewRollupItem: {"views": 3, "unique_visitors": 2, "bots": 1, "products": 1},
    PriceItem: {"price": Decimal("0.001"), "currency": "KWD", "since": AT},
    ViewSegmentItem: {"events": bytes(range(256)), "referrers": ["www.google.com"]},
    IdempotencyItem: {"body_fingerprint": "f", "status": 201, "headers": {"Location": "/x"}, "body": b"\x00\xff"},
    LoginAttemptsItem: {"tries": 3},
    MigrationItem: {
        "name": "n", "started_at": AT, "finished_at": AT, "runner": "r", "held_until": AT, "seen": 1, "changed": 0,
        "position": [{}, None, {"pk": "a", "sk": "b"}],
    },
}  # fmt: skip


def test_every_class_of_item_has_a_sample() -> None:
    """Add a row to ITEMS for a new class."""
    classes = {one for _, one in inspect.getmembers(items_module, inspect.isclass) if issubclass(one, Item)}
    assert set(ITEMS) == classes - {Item}


@pytest.mark.parametrize("kind", ITEMS, ids=lambda kind: kind.__name__)
def test_an_item_is_read_back_as_it_was_written(kind: type[Item]) -> None:
    """As its own class, with each attribute's type; the type name and the schema version are stored too."""
    made = kind.keyed(KEY, **ITEMS[kind])
    raw = made.serialize()
    assert raw["v"] == {"N": "1"}
    assert list(raw["type"]) == ["S"]
    read = Item.from_raw_data(dict(raw))
    assert type(read) is kind
    assert {name: getattr(read, name) for name in ITEMS[kind]} == ITEMS[kind]
    assert (read.pk, read.sk) == KEY
    assert read.serialize() == raw


@pytest.mark.engine("dynamodb_local", "ministack")
async def test_an_item_survives_the_engine_unchanged(table: Table) -> None:
    """For bytes, numbers and text of every class; DynamoDB drops only the trailing zeros of a number."""
    for kind, values in ITEMS.items():
        made = kind.keyed(Key("PK#ü", kind.__name__), **values)
        await table.put(Put(made))
        for read in (
            await table.get(Key("PK#ü", kind.__name__), consistent=True),
            (await table.query(Query(condition=(Item.pk == "PK#ü") & (Item.sk == kind.__name__)), limit=1))[0][0],
        ):
            assert type(read) is kind
            assert {name: getattr(read, name) for name in values} == values


def test_absent_attributes_are_not_written() -> None:
    """Indexes stay sparse, and items small."""
    raw = SkuItem.keyed(KEY, product_id="1", by_time=None).serialize()
    assert set(raw) == {"pk", "sk", "type", "v", "product_id"}


def test_a_missing_required_attribute_fails_on_write_and_not_on_read() -> None:
    """A read may return None where the schema forbids it; the calling code decides how to handle it."""
    with pytest.raises(ValueError, match="product_id"):
        SkuItem.keyed(KEY).serialize()
    read = Item.from_raw_data({"pk": {"S": "a"}, "sk": {"S": "b"}, "type": {"S": "sku"}})
    assert isinstance(read, SkuItem)
    assert read.attribute_values.get("product_id") is None


def test_an_unknown_type_is_an_error_and_a_missing_one_is_the_base_class() -> None:
    """Scans filter by type for this reason, so that items of a newer release do not stop them."""
    with pytest.raises(ValueError, match="Unknown discriminator"):
        Item.from_raw_data({"pk": {"S": "a"}, "sk": {"S": "b"}, "type": {"S": "newer"}})
    assert type(Item.from_raw_data({"pk": {"S": "a"}, "sk": {"S": "b"}})) is Item


def test_unknown_attributes_are_ignored() -> None:
    """An older release can read items of a newer one."""
    raw = SkuItem.keyed(KEY, product_id="1").serialize() | {"newer": {"S": "x"}}
    read = Item.from_raw_data(raw)
    assert isinstance(read, SkuItem)
    assert read.product_id == "1"


@pytest.mark.parametrize(
    "text", ["0", "0.10", "19.99", "999999999999.9999", "0.0001", "12345678901234567890.123456789"]
)
def test_money_is_exact(text: str) -> None:
    """PynamoDB's own number attribute converts to float and refuses Decimal, so no item uses it."""
    assert DecimalAttribute().serialize(Decimal(text)) == text
    assert DecimalAttribute().deserialize(text) == Decimal(text)
    assert DecimalAttribute().serialize(Decimal("1E+3")) == "1000"
    for kind in ITEMS:
        assert not any(isinstance(attribute, NumberAttribute) for attribute in kind.get_attributes().values())


def test_integers_and_times_are_encoded_as_sortable_text() -> None:
    assert IntegerAttribute().serialize(-7) == "-7"
    assert IntegerAttribute().deserialize("12345678901234567890") == 12_345_678_901_234_567_890
    assert TimeAttribute().serialize(AT) == "2026-11-24T07:01:34.120Z"
    assert TimeAttribute().deserialize("2026-11-24T07:01:34.120Z") == AT


@pytest.mark.parametrize(
    ("condition", "text", "values"),
    [
        (SkuItem.product_id == "1", "#0 = :0", [{"S": "1"}]),
        (ProductItem.version == 3, "#0 = :0", [{"N": "3"}]),
        (SuperAdminsItem.members > 1, "#0 > :0", [{"N": "1"}]),
        (Item.expires_at <= 5, "#0 <= :0", [{"N": "5"}]),
        (MigrationItem.held_until < AT, "#0 < :0", [{"S": "2026-11-24T07:01:34.120Z"}]),
        (Item.pk.does_not_exist(), "attribute_not_exists (#0)", []),
        (MigrationItem.finished_at.exists(), "attribute_exists (#0)", []),
        (Item.sk.startswith("PRICE#"), "begins_with (#0, :0)", [{"S": "PRICE#"}]),
        (Item.sk.between("a", "b"), "#0 BETWEEN :0 AND :1", [{"S": "a"}, {"S": "b"}]),
        (Item.type.is_in(SkuItem, EmailItem), "#0 IN (:0, :1)", [{"S": "sku"}, {"S": "email"}]),
        ((Item.pk == "a") & Item.sk.startswith("b"), "(#0 = :0 AND begins_with (#1, :1))", [{"S": "a"}, {"S": "b"}]),
        ((Item.pk == "a") | (Item.pk == "b"), "(#0 = :0 OR #0 = :1)", [{"S": "a"}, {"S": "b"}]),
    ],
    ids=str,
)
def test_a_condition_is_written_with_placeholders(
    condition: Condition, text: str, values: list[dict[str, str]]
) -> None:
    """No name and no value is in the expression, so none can be read as syntax or as a reserved word."""
    expressions = Expressions()
    assert expressions.write(condition) == text
    arguments = expressions.arguments()
    assert list(arguments.get("ExpressionAttributeValues", {}).values()) == values
    assert all(placeholder.startswith("#") for placeholder in arguments["ExpressionAttributeNames"])


def test_expressions_of_one_request_share_their_placeholders() -> None:
    """Two may name the same attribute, and no two values get the same placeholder."""
    expressions = Expressions()
    first, second = expressions.write(Item.pk == "a"), expressions.write((Item.pk == "b") & (Item.sk == "c"))
    assert (first, second) == ("#0 = :0", "(#0 = :1 AND #1 = :2)")
    assert expressions.arguments() == {
        "ExpressionAttributeNames": {"#0": "pk", "#1": "sk"},
        "ExpressionAttributeValues": {":0": {"S": "a"}, ":1": {"S": "b"}, ":2": {"S": "c"}},
    }
    assert Expressions().arguments() == {}


def test_json_is_utf_8_and_what_an_older_release_wrote_is_read() -> None:
    """PynamoDB's own JSON has an escape of six bytes in place of two or three."""
    notes = ["Teekännchen", "急須"]
    item = MigrationItem(notes=notes)
    assert item.to_dynamodb_dict()["notes"] == {"S": '["Teekännchen","急須"]'}
    older = item.to_dynamodb_dict() | {"notes": {"S": json.dumps(notes)}}
    read = MigrationItem()
    read.from_dynamodb_dict(older)
    assert read.notes == notes


def test_serialising_an_update_twice_gives_the_same_expression() -> None:
    """PynamoDB's update builder appends to the list of actions it gets; ours must not."""
    update = Update(
        KEY,
        [
            MigrationItem.name.set("n"),
            MigrationItem.seen.set(MigrationItem.seen | 0),
            LoginAttemptsItem.tries.add(2),
            Item.by_name.remove(),
            MigrationItem.position.set([{}, None]),
            LoginAttemptsItem.type.set(LoginAttemptsItem),
        ],
        Item.v == 1,
    )
    first = update.arguments()
    assert update.arguments() == first
    assert first["Key"] == {"pk": {"S": "PK#ü"}, "sk": {"S": "SK"}}
    assert first["UpdateExpression"] == (
        "SET #0 = :0, #1 = if_not_exists (#1, :1), #2 = :2, #3 = :3 REMOVE #4 ADD #5 :4"
    )
    assert first["ConditionExpression"] == "#6 = :5"
    assert first["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    assert first["ExpressionAttributeValues"][":2"] == {"S": "[{},null]"}
    assert first["ExpressionAttributeValues"][":3"] == {"S": "failures"}
    assert UpdateExpression(*update.actions).serialize({}, {}) == first["UpdateExpression"]


def test_unconditional_writes_request_no_old_item() -> None:
    """DynamoDB refuses ReturnValuesOnConditionCheckFailure without a condition."""
    plain: list[Write] = [Put(SkuItem.keyed(KEY, product_id="1")), Delete(KEY)]
    for write in plain:
        assert not {"ConditionExpression", "ReturnValuesOnConditionCheckFailure"} & write.arguments().keys()
    exists = Item.pk.exists()
    conditional: list[Write] = [
        Put(SkuItem.keyed(KEY, product_id="1"), exists),
        Delete(KEY, exists),
        Check(KEY, exists),
        Update(KEY, [], exists),
    ]
    assert [write.kind for write in conditional] == ["Put", "Delete", "ConditionCheck", "Update"]
    for write in conditional:
        assert write.arguments()["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_decoding_does_not_change_the_raw_item() -> None:
    """It may be decoded again."""
    raw = ChangeItem.keyed(KEY, **ITEMS[ChangeItem]).serialize()
    copy = {name: dict(value) for name, value in raw.items()}
    Item.from_raw_data(raw)
    assert raw == copy


def test_every_index_key_and_the_ttl_are_attributes_of_every_item() -> None:
    """The base class declares them: PynamoDB loses indexes declared on children of a discriminated model."""
    names = {name for index in keys.INDEXES for name in index[1:]} | {keys.TTL_ATTRIBUTE}
    attributes: dict[str, Attribute[Any]] = Item.get_attributes()
    assert names <= attributes.keys()
    assert all(attributes[name].null for name in names)
