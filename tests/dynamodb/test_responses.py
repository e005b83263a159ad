"""Responses parsed by orjson equal those parsed by botocore."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any

import botocore.session
import orjson
import pytest
from aiobotocore.parsers import AioJSONParser
from botocore.exceptions import HTTPClientError
from botocore.model import OperationModel, Shape
from hypothesis import given, strategies as st

from vitrina.aws import Clients
from vitrina.dynamodb import ResponseParser
from vitrina.store.table import Table

ON_ENGINES = pytest.mark.engine("dynamodb_local", "ministack")
MODEL = botocore.session.Session().get_service_model("dynamodb")
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
ITEM: dict[str, Any] = {
    **KEY,
    "S": {"S": 'é\U0001f4a1 "B": \\ \n null'},
    "N": {"N": "1.5"},
    "B": {"B": bytes(range(256))},
    "SS": {"SS": ["a", "é"]},
    "NS": {"NS": ["-1.5", "12345678901234567890123456789012345678"]},
    "BS": {"BS": [b"\x00", b"\xff\xfe"]},
    "M": {"M": {"B": {"B": b"\x01"}, "BS": {"BS": [b"\x02"]}, "M": {"M": {"B": {"M": {}}}}, "L": {"L": []}}},
    "L": {"L": [{"B": b"\x03"}, {"L": [{"BS": [b"\x04"]}]}, {"M": {"L": {"B": b"\x05"}}}, {"NULL": True}]},
    "empty": {"M": {"S": {"S": ""}, "B": {"B": b""}}},
    "BOOL": {"BOOL": False},
    "NULL": {"NULL": True},
}
QUERY = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": KEY["pk"]}, "Limit": 1}
WRITTEN = {"ReturnValues": "ALL_OLD", "ReturnItemCollectionMetrics": "SIZE"}

CALLS: dict[str, Callable[[str], dict[str, Any]]] = {
    "get_item": lambda table: {"TableName": table, "Key": KEY},
    "batch_get_item": lambda table: {"RequestItems": {table: {"Keys": [KEY]}}},
    "query": lambda table: {"TableName": table, **QUERY},
    "scan": lambda table: {"TableName": table},
    "transact_get_items": lambda table: {"TransactItems": [{"Get": {"TableName": table, "Key": KEY}}]},
    "put_item": lambda table: {"TableName": table, "Item": ITEM, **WRITTEN},
    "update_item": lambda table: {"TableName": table, "Key": KEY, "UpdateExpression": "REMOVE N", **WRITTEN},
    "delete_item": lambda table: {"TableName": table, "Key": KEY, **WRITTEN},
    "batch_write_item": lambda table: {"RequestItems": {table: [{"PutRequest": {"Item": ITEM}}]}},
    "transact_write_items": lambda table: {"TransactItems": [{"Put": {"TableName": table, "Item": ITEM}}]},
}


def base64(data: bytes) -> str:
    """Encode a binary value as DynamoDB's JSON does."""
    return b64encode(data).decode()


NAMES = st.sampled_from(["B", "BS", "M", "L", "Item", "events"]) | st.text(max_size=4)
SCALARS = st.one_of(
    st.text(max_size=6).map(lambda text: {"S": text}),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: {"N": str(number)}),
    st.binary(max_size=8).map(lambda data: {"B": base64(data)}),
    st.lists(st.text(max_size=3), max_size=3).map(lambda texts: {"SS": texts}),
    st.lists(st.integers().map(str), max_size=3).map(lambda numbers: {"NS": numbers}),
    st.lists(st.binary(max_size=3).map(base64), max_size=3).map(lambda texts: {"BS": texts}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
)
VALUES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values, max_size=3).map(lambda members: {"L": members})
        | st.dictionaries(NAMES, values, max_size=3).map(lambda members: {"M": members})
    ),
    max_leaves=8,
)
ITEMS = st.dictionaries(NAMES, VALUES, max_size=4)


def answers(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a response of each operation, with the item in every place that can hold one."""
    consumed = {"TableName": "BBB", "CapacityUnits": 1.5, "GlobalSecondaryIndexes": {"BSS": {"CapacityUnits": 1.0}}}
    size = {"ItemCollectionKey": item, "SizeEstimateRangeGB": [0.0, 1.0]}
    page = {
        "Items": [item, item],
        "Count": 2,
        "ScannedCount": 2,
        "LastEvaluatedKey": item,
        "ConsumedCapacity": consumed,
    }
    written = {"Attributes": item, "ConsumedCapacity": consumed, "ItemCollectionMetrics": size}
    asked = {"Keys": [item], "ConsistentRead": True, "ExpressionAttributeNames": {"#B": "B"}}
    pending = [{"PutRequest": {"Item": item}}, {"DeleteRequest": {"Key": item}}]
    return {
        "GetItem": {"Item": item, "ConsumedCapacity": consumed},
        "BatchGetItem": {
            "Responses": {"BBB": [item]},
            "UnprocessedKeys": {"BBB": asked},
            "ConsumedCapacity": [consumed],
        },
        "Query": page,
        "Scan": page,
        "TransactGetItems": {"Responses": [{"Item": item}, {}], "ConsumedCapacity": [consumed]},
        "PutItem": written,
        "UpdateItem": written,
        "DeleteItem": written,
        "BatchWriteItem": {"UnprocessedItems": {"BBB": pending}, "ItemCollectionMetrics": {"BBB": [size]}},
        "TransactWriteItems": {"ConsumedCapacity": [consumed], "ItemCollectionMetrics": {"BBB": [size]}},
    }


def exactly(answer: Any) -> tuple[Any, str]:  # noqa: ANN401 - any response
    """Return an object that is equal only to a value of the same types, since 1, 1.0 and True are equal in Python."""
    return answer, json.dumps(answer, sort_keys=True, default=repr)


async def both(response: dict[str, Any], shape: Shape | None) -> tuple[Any, Any]:
    """Parse a response with our parser and with botocore's."""
    ours: Any = ResponseParser()
    botocores: Any = AioJSONParser()
    return exactly(await ours.parse(response, shape)), exactly(await botocores.parse(response, shape))


async def both_read(operation: str, body: bytes, **headers: str) -> tuple[Any, Any]:
    """Parse a response body of an operation with our parser and with botocore's."""
    response = {"status_code": 200, "headers": headers, "body": body, "context": {"operation_name": operation}}
    return await both(response, MODEL.operation_model(operation).output_shape)


@ON_ENGINES
@pytest.mark.parametrize("method", CALLS)
async def test_a_client_returns_what_botocore_would(table: Table, clients: Clients, method: str) -> None:
    """Byte for byte and with the metadata, for an item with every type of value and for no item."""
    client = clients.writer
    heard: list[tuple[Any, OperationModel]] = []
    call = getattr(client, method)
    arguments = CALLS[method](table.name) | {"ReturnConsumedCapacity": "INDEXES"}
    got = [await call(**arguments)]
    await client.put_item(TableName=table.name, Item=ITEM)
    client.meta.events.register(
        f"after-call.dynamodb.{client.meta.method_to_api_mapping[method]}",
        lambda http_response, model, **_: heard.append((http_response, model)),
    )
    got.append(await call(**arguments))
    http, operation = heard[0]
    response = {"status_code": http.status_code, "headers": http.headers, "body": await http.content}
    ours, botocores = await both(response | {"context": {"operation_name": operation.name}}, operation.output_shape)
    assert ours == botocores
    assert got[1] == botocores[0]
    assert got[0].keys() <= got[1].keys()
    assert got[1]["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert got[1]["ResponseMetadata"]["RequestId"]


@ON_ENGINES
async def test_attribute_values_are_decoded_by_type(table: Table, clients: Clients) -> None:
    """Binary values become bytes at any depth, numbers stay text, and sets have no order."""
    client = clients.writer
    await client.put_item(TableName=table.name, Item=ITEM)
    item = (await client.get_item(TableName=table.name, Key=KEY))["Item"]
    assert {name: sorted(item[name][name]) for name in ("SS", "NS", "BS")} == {
        name: sorted(ITEM[name][name]) for name in ("SS", "NS", "BS")
    }
    assert {name: value for name, value in item.items() if name not in {"SS", "NS", "BS"}} == {
        name: value for name, value in ITEM.items() if name not in {"SS", "NS", "BS"}
    }


@ON_ENGINES
async def test_errors_are_parsed_by_botocore(table: Table, clients: Clients) -> None:
    """The error of a write or a transaction contains the existing item with its binary values."""
    client = clients.writer
    await client.put_item(TableName=table.name, Item=ITEM)
    put: Any = {
        "TableName": table.name,
        "Item": ITEM,
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as refused:
        await client.put_item(**put)
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        await client.transact_write_items(TransactItems=[{"Put": put}])
    alone: Any = refused.value.response
    among: Any = cancelled.value.response
    assert alone["Item"]["M"] == among["CancellationReasons"][0]["Item"]["M"] == ITEM["M"]
    assert among["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed"


@ON_ENGINES
async def test_table_descriptions_contain_datetimes(table: Table, clients: Clients) -> None:
    """Responses about tables are parsed by botocore's shapes."""
    described = await clients.writer.describe_table(TableName=table.name)
    assert isinstance(described["Table"]["CreationDateTime"], datetime)


@pytest.mark.parametrize("operation", answers({}))
@given(item=ITEMS)
async def test_every_value_is_read_as_botocore_reads_it(operation: str, item: dict[str, Any]) -> None:
    """At every place of a response, and under any attribute name."""
    body = orjson.dumps(answers(item)[operation])
    ours, botocores = await both_read(operation, body, **{"x-amzn-requestid": "1"})
    assert ours == botocores


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"Item": {"S"', b'{"Item": {"S": {"S": "\\ud800"}}}'])
async def test_an_invalid_body_is_refused(body: bytes) -> None:
    """An empty body, a proxy's page, a truncated response or a lone surrogate must not be read as a missing item."""
    response = {"status_code": 200, "headers": {}, "body": body, "context": {"operation_name": "GetItem"}}
    with pytest.raises(HTTPClientError, match="GetItem returned a body that is not JSON"):
        await ResponseParser().parse(response, MODEL.shape_for("GetItemOutput"))


async def test_a_response_may_lack_a_request_id() -> None:
    """An emulator of DynamoDB need not send one."""
    ours, botocores = await both_read("Query", b'{"Items": []}', Server="any")
    assert ours == botocores
