"""What the roles of template.yaml and bootstrap.yaml may do by IAM's own rules, which the emulator applies in part.

AWS's reference says on which resources and conditions an action can be granted; a grant elsewhere has no effect.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from tests.deploy.grants import UNSEEN
from tests.deploy.rendered import ACCOUNT, REGION, Rendered
from tests.deploy.simulation import EVERYTHING, Case, Request, allowed, possible, reference
from tests.deploy.test_bootstrap_rights import BOOTSTRAP, words
from tests.deploy.test_template import DOCUMENT

STACK: Final = "vitrina-production"
HERE: Final = f"{REGION}:{ACCOUNT}"
ON_LAMBDA, ON_FARGATE = (
    Rendered(DOCUMENT, stack=STACK, ApiOn=api, MailIdentity="shop.example") for api in ("lambda", "fargate")
)
PREPARED, FOR_PREVIEWS = (
    Rendered(BOOTSTRAP, stack="vitrina-bootstrap", Stacks=STACK, Previews=previews) for previews in ("no", "yes")
)
BOUNDARY: Final = PREPARED.document("Boundary")
TABLE: Final = ON_LAMBDA.arn("Table")
TAG: Final = "aws:ResourceTag/aws:cloudformation:stack-name"
OWN: Final = {TAG: STACK}
FOREIGN: Final = {TAG: "vitrina-staging"}
_BY_DOCUMENTATION: Final = {
    # "Controlling access with IAM" of CloudFormation's guide has it on the ARN of a transform.
    ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"),
    # Of a template that is no stack yet.
    ("cloudformation:GetTemplateSummary", "*"),
}
"""Grants that the reference does not have."""

DANGEROUS: Final = [
    Request("dynamodb:DeleteTable", TABLE),
    Request("dynamodb:UpdateTable", TABLE),
    Request("dynamodb:ExportTableToPointInTime", TABLE),
    Request("dynamodb:GetItem", f"arn:aws:dynamodb:{HERE}:table/vitrina-staging-Table-1"),
    Request("dynamodb:GetRecords", f"arn:aws:dynamodb:{HERE}:table/vitrina-staging-Table-1/stream/1"),
    Request("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/{STACK}-x"),
    Request("iam:PassRole", ON_LAMBDA.arn("RelayRole"), {"iam:PassedToService": "lambda.amazonaws.com"}),
    Request("sts:AssumeRole", ON_LAMBDA.arn("RelayRole")),
    Request("lambda:UpdateFunctionCode", ON_LAMBDA.arn("Relay")),
    Request("lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:vitrina-staging-Relay-1"),
    Request("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:SigningKeys-2-AbCdEf", FOREIGN),
    Request("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:database-AbCdEf", OWN),
    Request("secretsmanager:PutSecretValue", ON_LAMBDA.arn("SigningKeys"), OWN),
    Request("secretsmanager:DeleteSecret", ON_LAMBDA.arn("SigningKeys"), OWN),
    Request("sqs:DeleteMessage", f"arn:aws:sqs:{HERE}:vitrina-staging-notices.fifo"),
    Request("sqs:PurgeQueue", ON_LAMBDA.arn("Notices")),
    Request("s3:GetObject", "arn:aws:s3:::vitrina-staging-exports-1/exports/prices/prices.parquet"),
    Request("s3:DeleteBucket", ON_LAMBDA.arn("Exports")),
    Request("ses:DeleteEmailIdentity", f"arn:aws:ses:{HERE}:identity/shop.example"),
    Request("logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:{STACK}-FunctionLog-1"),
    Request("kms:Decrypt", f"arn:aws:kms:{HERE}:key/1"),
    Request("cloudformation:DeleteStack", f"arn:aws:cloudformation:{HERE}:stack/{STACK}/1"),
]
"""What no function or task may do, whatever its policies say, because of the boundary."""


def roles() -> Iterator[tuple[str, Rendered]]:
    """Yield the roles of functions and tasks, each in a stack that has it."""
    yield from ((name, ON_LAMBDA) for name in ON_LAMBDA.names("AWS::IAM::Role"))
    yield from ((name, ON_FARGATE) for name in ("ExecutionRole", "TaskRole"))


def documents() -> Iterator[dict[str, Any]]:
    """Yield all policies of both templates."""
    for name, stack in roles():
        yield from stack.policies(name)
    for role in ("Deploy", "CloudFormation"):
        yield from FOR_PREVIEWS.policies(role)
    yield BOUNDARY


def test_every_grant_has_an_effect() -> None:
    """An action that is granted on what it does not take, or under a condition that it does not know, is denied.

    One that takes resources is granted on all of them under a condition only.
    """
    statements = [statement for document in documents() for statement in document["Statement"]]
    known = reference(action for statement in statements for action in words(statement["Action"]))
    for statement in statements:
        resources, condition = words(statement["Resource"]), statement.get("Condition", {})
        keys = [key for operator in condition if not operator.endswith("IfExists") for key in condition[operator]]
        for pattern in words(statement["Action"]):
            actions = known[pattern]
            assert actions, pattern
            assert all(action.knows(key) for action in actions for key in keys), statement
            if (pattern, *resources) not in _BY_DOCUMENTATION:
                assert any(action.takes(resource) for action in actions for resource in resources), statement
                assert resources != ["*"] or condition or not any(action.resources for action in actions), pattern


def test_a_right_that_the_emulator_does_not_see_used_is_there_and_no_wider() -> None:
    """Within the boundary, on its own resource and on no other of its kind."""
    own, foreign = [], []
    for function, rights in UNSEEN.items():
        policies = ON_LAMBDA.policies(f"{function}Role")
        for action, place in rights:
            name, (resource, other) = action.removesuffix("*"), resources_of(action, place)
            own.append(Case(policies, Request(name, resource), BOUNDARY))
            foreign += [Case(policies, Request(name, other), BOUNDARY)] if other else []
    assert allowed(own + foreign) == own
    assert foreign


def resources_of(action: str, place: str) -> tuple[str, str | None]:
    """Return the ARN of a place of `UNSEEN`, and that of a resource of its kind in another stack."""
    if action in {"dynamodb:ListStreams", "ses:GetAccount"}:
        return "*", None
    if action.startswith("ses:"):
        return f"arn:aws:ses:{HERE}:identity/shop.example", f"arn:aws:ses:{HERE}:identity/other.example"
    name, _, path = place.partition("/")
    own = ON_LAMBDA.stream(name) if path else ON_LAMBDA.arn(name)
    if action == "s3:AbortMultipartUpload":
        own += "/exports/prices/prices.parquet"
    return own, own.replace(STACK, "vitrina-staging")


def test_no_role_may_do_what_is_dangerous() -> None:
    """Neither by its own policies, nor by a policy for everything within the boundary."""
    cases = [Case(stack.policies(name), request) for name, stack in roles() for request in DANGEROUS]
    assert not allowed([*cases, *(Case([EVERYTHING], request, BOUNDARY) for request in DANGEROUS)])


def test_the_boundary_holds_what_each_role_is_granted() -> None:
    """And what SAM grants the schedules."""
    statements = [each for name, stack in roles() for policy in stack.policies(name) for each in policy["Statement"]]
    granted = [
        Request(action.removesuffix("*"), one_of(resource), OWN)
        for statement in statements
        for action in words(statement["Action"])
        for resource in words(statement["Resource"])
    ]
    granted += [Request("lambda:InvokeFunction", ON_LAMBDA.arn(name)) for name in ("Mail", "Rollup", "Export")]
    granted.append(Request("sqs:SendMessage", ON_LAMBDA.arn("FailedJobs")))
    assert possible([EVERYTHING], granted, boundary=BOUNDARY) == granted


def one_of(pattern: str) -> str:
    """Return an ARN that a statement's resource matches; `*` alone is what has no resource."""
    return pattern if pattern == "*" else re.sub(r"(?<=:)\*$", "log-stream:vitrina", pattern).replace("*", "vitrina")


def test_a_task_and_its_start_may_do_what_they_need_within_the_boundary() -> None:
    """The emulator runs no tasks."""
    keys = [ON_FARGATE.arn(name) for name in ("SigningKeys", "SecretKey")]
    start = [
        Request("ecr:GetAuthorizationToken", "*"),
        Request("ecr:BatchGetImage", f"arn:aws:ecr:{HERE}:repository/vitrina"),
        Request("logs:PutLogEvents", ON_FARGATE.arn("TaskLog").removesuffix("*") + "log-stream:api/api/1"),
        *(Request("secretsmanager:GetSecretValue", key, OWN) for key in keys),
    ]
    work = [
        Request("dynamodb:BatchWriteItem", TABLE),
        Request("dynamodb:Query", f"{TABLE}/index/listing-by-time"),
    ]
    for role, wanted, unwanted in (("ExecutionRole", start, work), ("TaskRole", work, start)):
        policies = ON_FARGATE.policies(role)
        assert possible(policies, wanted, boundary=BOUNDARY) == wanted
        assert not possible(policies, unwanted, boundary=BOUNDARY)
