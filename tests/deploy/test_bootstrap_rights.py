"""bootstrap.yaml's policies: CloudFormation may do what template.yaml needs, and nothing without bounds."""

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest
import yaml
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from scripts.devstack.engines import ROOT
from tests.deploy.test_template import RESOURCES as DEPLOYED, _Loader

TEMPLATE: Final = ROOT / "scripts" / "deploy" / "bootstrap.yaml"
BOOTSTRAP: Final[dict[str, dict[str, Any]]] = yaml.load(TEMPLATE.read_text(), _Loader)
RESOURCES: Final = BOOTSTRAP["Resources"]

MADE_BY_SAM: Final = {
    "AWS::Serverless::Function": (
        "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias", "AWS::IAM::Role",
        "AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig", "AWS::Scheduler::Schedule",
    ),
    "AWS::Serverless::LayerVersion": ("AWS::Lambda::LayerVersion",),
}  # fmt: skip
UNUSED: Final = tuple(
    """
    *:*kms* kms:* kinesis:* *kinesis*destination lakeformation:* s3tables:* s3files:* vpc-lattice:* vpce:*
    cognito-idp:* elasticfilesystem:* firehose:* glue:*connection glue:getschemaversion s3:rest.put.object
    dynamodb:*item dynamodb:query dynamodb:scan dynamodb:*replica dynamodb:*import* dynamodb:*tresourcepolicy
    dynamodb:deleteresourcepolicy dynamodb:updatecontributorinsights logs:*logstream* logs:putlogevents
    logs:*indexpolicy logs:*tdataprotectionpolicy logs:deletedataprotectionpolicy
    logs:putbearertokenauthentication logs:putloggroupdeletionprotection logs:deleteresourcepolicy
    sns:putdataprotectionpolicy lambda:*provisioned* lambda:*functioncodesigningconfig lambda:getcodesigningconfig
    lambda:passcapacityprovider lambda:associateruntimealias
    application-autoscaling:*tscheduledaction application-autoscaling:deletescheduledaction
    cloudwatch:getmetricdata elasticloadbalancing:modifycapacityreservation elasticloadbalancing:modifyippools
    ec2:*subnetcidrblock ec2:*tachvpngateway ec2:createvpcencryptioncontrol ec2:modifyvpctenancy
    ecs:putaccountsetting* s3:putobject* s3:getobjectmetadata s3:deleteobject s3:*metadata*tableconfiguration
    s3:deletebucket?* s3:*accelerate* s3:*replication* s3:put*analytics* s3:putbucketabac s3:putbucketacl
    s3:putbucketcors s3:putbucketlogging s3:putbucketnotification s3:putbucketobjectlock* s3:putbucketwebsite
    s3:putintelligent* s3:put*inventory* s3:put*metrics* secretsmanager:*regions* apigateway:*tagresource
    iam:deleterolepermissionsboundary codedeploy:*
    """.split()
)
"""What the schemas name for features that template.yaml does not use; apigateway:TagResource is no action."""
ALSO: Final = {f"logs:{verb}LogDelivery" for verb in ("Delete", "Get", "Update")} | {"logs:ListLogDeliveries"}
"""What an access log of an HTTP API needs by API Gateway's documentation, and no schema names."""


def statements(*names: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of managed policies."""
    for name in names:
        yield from RESOURCES[name]["Properties"]["PolicyDocument"]["Statement"]


def words(value: str | list[str]) -> list[str]:
    """Return a value that IAM lets stand alone as a list."""
    return [value] if isinstance(value, str) else value


WORKS: Final = list(statements("Roles", "Functions", "Storage", "Network"))
GRANTED: Final = {action for statement in WORKS for action in words(statement["Action"])}


def needed() -> set[str]:
    """Return the actions that CloudFormation needs for the types of template.yaml, by the schemas of these."""
    types = {resource["Type"] for resource in DEPLOYED.values()}
    types = {made for name in types for made in MADE_BY_SAM.get(name, (name,))}
    found: set[str] = set()
    for name in types:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", name).schema["handlers"]
        for kind in ("create", "read", "update", "delete"):
            found.update(handlers.get(kind, {}).get("permissions", []))
    return found


def matches(action: str, patterns: Iterable[str]) -> bool:
    """Return whether an action is one that patterns grant; IAM ignores case."""
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def test_cloudformation_may_do_what_the_template_needs_and_nothing_else() -> None:
    asked = needed()
    assert not sorted(action for action in asked if not matches(action, GRANTED) and not matches(action, UNUSED))
    assert not sorted(action for action in GRANTED - ALSO if not any(matches(one, (action,)) for one in asked))


@pytest.mark.parametrize("name", ["Roles", "Functions", "Storage", "Network", "Boundary"])
def test_a_policy_is_not_larger_than_iam_takes(name: str) -> None:
    """6,144 characters without white space."""
    assert len(json.dumps(RESOURCES[name]["Properties"]["PolicyDocument"], separators=(",", ":"))) < 6_144


def test_every_role_of_the_template_takes_the_boundary() -> None:
    """CloudFormation may create no other role. SAM makes one for each schedule."""
    taken = {"If": ["HasBoundary", {"Ref": "Boundary"}, {"Ref": "AWS::NoValue"}]}
    roles = [resource["Properties"] for resource in DEPLOYED.values() if resource["Type"] == "AWS::IAM::Role"]
    schedules = [
        event["Properties"]
        for resource in DEPLOYED.values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert len(roles) >= 2
    assert len(schedules) >= 3
    assert all(each["PermissionsBoundary"] == taken for each in (*roles, *schedules))
