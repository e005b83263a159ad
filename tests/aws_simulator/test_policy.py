"""Policy documents decide each call, and the items of each."""

from typing import Any

import pytest

from tests.aws_simulator.conftest import item, request, succeed
from tests.aws_simulator.policy import Policies
from tests.aws_simulator.proxy import Json, Response

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/shop"
ITERATOR = {"ShardIterator": f"0|{TABLE}/stream/7|x"}
RAW_MAIL = {"FromEmailAddress": "a@shop.example", "Content": {"Raw": {}}}
ALL_KEYS = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["VIEWS#*", "VIEW_?"]}}


def allow(*actions: str, resource: str = TABLE, **more: Any) -> Json:  # noqa: ANN401 - elements of a statement
    """Return a statement."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


async def decide(
    statements: list[Json], operation: str, *, host: str = "dynamodb", key: str = "role", **body: object
) -> Response:
    """Return what becomes of a call under a policy."""
    policies = Policies({"role": {"Version": "2012-10-17", "Statement": statements}})
    return await policies(request(operation, body, host=host, key=key), succeed)


async def test_what_no_statement_allows_is_denied() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html."""
    read: Json = {"TableName": "shop", "Key": item("a")}
    assert (await decide([allow("dynamodb:Get*")], "GetItem", **read)).ok
    refused = await decide([allow("dynamodb:Query")], "GetItem", **read)
    assert refused.code == "AccessDeniedException"
    assert refused.body["message"] == (
        "User: arn:aws:iam::000000000000:user/role is not authorized to perform: dynamodb:GetItem on resource: "
        f"{TABLE} because no identity-based policy allows the dynamodb:GetItem action"
    )
    assert not (await decide([allow("dynamodb:*", resource=f"{TABLE}-2")], "GetItem", **read)).ok
    assert not (await decide([allow("*", resource="*")], "GetItem", key="stranger", **read)).ok
    deny = {**allow("dynamodb:GetItem"), "Effect": "Deny"}
    assert "explicit deny" in (await decide([allow("*", resource="*"), deny], "GetItem", **read)).body["message"]


async def test_leading_keys_limit_the_items() -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html.

    All of a call's keys must match; a scan has none, and passes unless the condition `Null` requires one.
    """
    limited = [allow("dynamodb:*", Condition=ALL_KEYS)]
    assert (await decide(limited, "PutItem", TableName="shop", Item=item("VIEWS#1"))).ok
    assert (await decide(limited, "PutItem", TableName="shop", Item=item("VIEW_1"))).ok
    assert not (await decide(limited, "PutItem", TableName="shop", Item=item("USER#1"))).ok
    keys = {"shop": {"Keys": [item("VIEWS#1"), item("USER#1")]}}
    assert not (await decide(limited, "BatchGetItem", RequestItems=keys)).ok
    condition: Json = {"KeyConditionExpression": "pk = :0", "ExpressionAttributeValues": {":0": {"S": "USER#1"}}}
    assert not (await decide(limited, "Query", TableName="shop", **condition)).ok
    assert (await decide(limited, "Scan", TableName="shop")).ok
    strict = [allow("dynamodb:*", Condition=ALL_KEYS | {"Null": {"dynamodb:LeadingKeys": "false"}})]
    assert not (await decide(strict, "Scan", TableName="shop")).ok


async def test_a_transaction_needs_the_rights_of_its_items() -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html."""
    parts = [
        {"Put": {"TableName": "shop", "Item": item("a")}},
        {"ConditionCheck": {"TableName": "shop", "Key": item("b")}},
    ]
    refused = await decide([allow("dynamodb:PutItem")], "TransactWriteItems", TransactItems=parts)
    assert "perform: dynamodb:ConditionCheckItem on" in refused.body["message"]
    both = [allow("dynamodb:PutItem", "dynamodb:ConditionCheckItem")]
    assert (await decide(both, "TransactWriteItems", TransactItems=parts)).ok


@pytest.mark.parametrize(
    ("host", "operation", "body", "action", "resource"),
    [
        ("dynamodb", "Scan", {"TableName": "t", "IndexName": "i"}, "dynamodb:Scan", "dynamodb:{}:table/t/index/i"),
        ("streams.dynamodb", "GetRecords", ITERATOR, "dynamodb:GetRecords", "dynamodb:{}:table/shop/stream/7"),
        ("sqs", "SendMessageBatch", {"QueueUrl": "http://x/0/q.fifo"}, "sqs:SendMessage", "sqs:{}:q.fifo"),
        ("email", "SendEmail", RAW_MAIL, "ses:SendRawEmail", "ses:{}:identity/shop.example"),
    ],
)  # fmt: skip
async def test_each_service_has_actions_and_resources(
    host: str, operation: str, body: Json, action: str, resource: str
) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html."""
    arn = f"arn:aws:{resource.format('us-east-1:000000000000')}"
    assert (await decide([allow(action, resource=arn)], operation, host=host, **body)).ok
    assert not (await decide([allow(action, resource=f"{arn}-2")], operation, host=host, **body)).ok


def test_a_document_that_cannot_be_decided_is_refused() -> None:
    with pytest.raises(ValueError, match="NumericLessThan, Principal"):
        Policies({"*": {"Statement": allow("*", Principal="*", Condition={"NumericLessThan": {}})}})
