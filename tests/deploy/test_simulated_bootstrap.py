"""What a deployment may do by IAM's own rules: GitHub's role and CloudFormation's, made by bootstrap.yaml."""

import pytest

from tests.deploy.rendered import ACCOUNT, REGION, Rendered
from tests.deploy.simulation import Request, possible
from tests.deploy.test_simulated_rights import (
    FOR_PREVIEWS,
    FOREIGN,
    HERE,
    ON_LAMBDA,
    OWN,
    PREPARED,
    STACK,
    TABLE,
)  # fmt: skip


def test_cloudformation_works_on_its_own_stacks_and_makes_bounded_roles() -> None:
    bounded = {"iam:PermissionsBoundary": PREPARED.arn("Boundary")}
    unbounded = {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/another"}
    role, secret = f"arn:aws:iam::{ACCOUNT}:role/{STACK}-x", ON_LAMBDA.arn("SigningKeys")
    to_lambda = {"iam:PassedToService": "lambda.amazonaws.com"}
    mapping, layer = f"arn:aws:lambda:{HERE}:function", f"arn:aws:lambda:{HERE}:layer"
    policies = PREPARED.policies("CloudFormation")
    may = [
        Request("iam:CreateRole", role, bounded),
        Request("iam:PutRolePolicy", role, bounded),
        Request("iam:PassRole", role, to_lambda),
        Request("dynamodb:UpdateTable", TABLE),
        Request("secretsmanager:CreateSecret", secret),
        Request("secretsmanager:UpdateSecret", secret, OWN),
        Request("lambda:CreateEventSourceMapping", "*", {"lambda:FunctionArn": f"{mapping}:{STACK}-Relay-1"}),
        Request("lambda:PublishLayerVersion", f"{layer}:{STACK}-packages"),
        Request("lambda:DeleteLayerVersion", f"{layer}:{STACK}-packages:1"),
        Request("logs:DescribeLogGroups", "*"),
        Request("ecs:RegisterTaskDefinition", f"arn:aws:ecs:{HERE}:task-definition/{STACK}-api:1"),
    ]
    assert possible(policies, may) == may
    made_before = [PREPARED.arn(name) for name in ("Deploy", "CloudFormation")]
    refused = [
        Request("iam:CreateRole", role),
        Request("iam:CreateRole", role, unbounded),
        Request("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/vitrina-staging-x", bounded),
        Request("iam:PutRolePolicy", role, unbounded),
        Request("iam:AttachRolePolicy", role),
        Request("iam:PutRolePermissionsBoundary", role, unbounded),
        Request("iam:DeleteRolePermissionsBoundary", role, bounded),
        Request("iam:CreatePolicyVersion", PREPARED.arn("Boundary")),
        Request("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/{STACK}-x"),
        Request("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}),
        Request("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/vitrina-staging-x", to_lambda),
        *(Request("iam:PassRole", each, to_lambda) for each in made_before),
        *(Request("iam:UpdateAssumeRolePolicy", each) for each in made_before),
        *(Request("iam:DeleteRole", each) for each in made_before),
        *(Request("iam:PutRolePermissionsBoundary", each, bounded) for each in made_before),
        Request("dynamodb:UpdateTable", TABLE.replace(STACK, "vitrina-staging")),
        Request("dynamodb:GetItem", TABLE),
        Request("secretsmanager:GetSecretValue", secret, FOREIGN),
        Request("secretsmanager:DeleteSecret", secret, FOREIGN),
        Request("lambda:CreateEventSourceMapping", "*", {"lambda:FunctionArn": f"{mapping}:vitrina-staging-Relay-1"}),
        Request("lambda:UpdateFunctionCode", f"{mapping}:vitrina-staging-Relay-1"),
        Request("lambda:DeleteLayerVersion", f"{layer}:vitrina-staging-packages:1"),
        Request("s3:GetObject", f"{ON_LAMBDA.arn('Exports')}/exports/prices/prices.parquet"),
        Request("ecs:RegisterTaskDefinition", f"arn:aws:ecs:{HERE}:task-definition/vitrina-staging-api:1"),
        Request("sts:AssumeRole", PREPARED.arn("Deploy")),
    ]
    assert not possible(policies, refused)


@pytest.mark.parametrize("prepared", [PREPARED, FOR_PREVIEWS], ids=["production", "previews"])
def test_the_deployment_works_by_cloudformation_alone(prepared: Rendered) -> None:
    """It reaches no data, but for previews, whose tables it may delete and give accounts."""
    policies, works = prepared.policies("Deploy"), prepared.arn("CloudFormation")
    stack, bucket = (
        f"arn:aws:cloudformation:{HERE}:stack/{STACK}/1",
        f"arn:aws:s3:::vitrina-artifacts-{ACCOUNT}-{REGION}",
    )
    may = [
        Request("cloudformation:CreateChangeSet", stack),
        Request("cloudformation:ExecuteChangeSet", stack),
        Request("iam:PassRole", works, {"iam:PassedToService": "cloudformation.amazonaws.com"}),
        Request("s3:PutObject", f"{bucket}/{STACK}/code-1.zip"),
    ]
    assert possible(policies, may) == may
    images = [Request("ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/vitrina")]
    assert possible(policies, images) == ([] if prepared is FOR_PREVIEWS else images)
    of_previews = [
        Request("dynamodb:DeleteTable", TABLE),
        Request("dynamodb:PutItem", TABLE),
        Request("s3:DeleteBucket", ON_LAMBDA.arn("Exports")),
        Request("secretsmanager:DeleteSecret", ON_LAMBDA.arn("SigningKeys"), OWN),
    ]
    assert possible(policies, of_previews) == (of_previews if prepared is FOR_PREVIEWS else [])
    refused = [
        Request("cloudformation:DeleteStack", stack.replace(STACK, "vitrina-staging")),
        Request("iam:PassRole", works, {"iam:PassedToService": "lambda.amazonaws.com"}),
        Request("iam:PassRole", ON_LAMBDA.arn("RelayRole"), {"iam:PassedToService": "cloudformation.amazonaws.com"}),
        Request("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/{STACK}-x"),
        Request("dynamodb:Scan", TABLE),
        Request("dynamodb:UpdateTable", TABLE),
        Request("dynamodb:DeleteTable", TABLE.replace(STACK, "vitrina-staging")),
        Request("s3:DeleteObject", f"{bucket}/{STACK}/code-1.zip"),
        Request("s3:PutObject", f"{bucket}/vitrina-staging/code-1.zip"),
        Request("secretsmanager:GetSecretValue", ON_LAMBDA.arn("SigningKeys"), OWN),
        Request("secretsmanager:DeleteSecret", ON_LAMBDA.arn("SigningKeys"), FOREIGN),
        Request("ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/another"),
    ]
    assert not possible(policies, refused)
