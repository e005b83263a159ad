"""What the roles of a stack's functions may do, and what the emulator saw them do."""

import fnmatch
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from scripts.deploy.stack import Stack

Use = tuple[str, str]
"""An action and the ARN of its resource, which in a grant may end with `*`."""

_CALLS: Final = (
    "GetItem", "BatchGetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem",
    "TransactWriteItems", "TransactGetItems", "GetQueueUrl", "SendMessage", "SendMessageBatch", "GetSecretValue",
    "GetObject", "HeadObject", "PutObject", "DeleteObject", "ListObjects", "ListObjectsV2", "CreateMultipartUpload",
    "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads",
)  # fmt: skip
"""The calls that are looked up."""
_S3: Final = {
    "HeadObject": "GetObject", "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
    "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "CompleteMultipartUpload": "PutObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
}  # fmt: skip
"""The actions of calls, where their names differ."""
_SES: Final = {
    ("ses:SendEmail", "*"): "the emulator records no call of SES; mail that arrives shows that it is allowed",
    ("ses:SendRawEmail", "*"): "AWS wants it for mail in MIME, which Vitrina sends; the emulator wants SendEmail",
    ("ses:GetAccount", "*"): "the emulator records no call of SES",
}
UNSEEN: Final[Mapping[str, Mapping[Use, str]]] = {
    "Relay": {
        ("dynamodb:DescribeStream", "Table/stream/"): "Lambda reads the stream",
        ("dynamodb:GetRecords", "Table/stream/"): "Lambda reads the stream",
        ("dynamodb:GetShardIterator", "Table/stream/"): "Lambda reads the stream",
        ("dynamodb:ListStreams", "*"): "Lambda reads the stream",
        ("sqs:GetQueueUrl", "DeadNotices"): "for a change that cannot be read",
        ("sqs:SendMessage*", "DeadNotices"): "for a change that cannot be read",
        ("sqs:SendMessage", "LostRecords"): "Lambda sends what the function has failed at last",
    },
    "Notifier": {
        ("sqs:ReceiveMessage", "Notices"): "Lambda reads the queue",
        ("sqs:DeleteMessage", "Notices"): "Lambda reads the queue",
        ("sqs:GetQueueAttributes", "Notices"): "Lambda reads the queue",
        **_SES,
    },
    "Mail": _SES,
    "Rollup": {
        ("sqs:SendMessage", "FailedJobs"): "Lambda sends what the function has failed at last",
        ("dynamodb:UpdateItem", "Table"): "for a rollup that got views late, which have expired since",
    },
    "Export": {
        ("sqs:SendMessage", "FailedJobs"): "Lambda sends what the function has failed at last",
        ("s3:ListBucketMultipartUploads", "Exports"): "the emulator takes it for ListBucket",
        ("s3:AbortMultipartUpload", "Exports"): "for uploads that an earlier run has left",
    },
}
"""Rights that the emulator does not see used, with the reason for each; test_simulated_rights.py simulates them."""
_OF_LAMBDA: Final = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
"""Rights with which Lambda itself writes logs and traces."""


def granted(stack: Stack) -> dict[str, set[Use]]:
    """Return what the policies of each function's role allow the code, by the function's name in the template."""
    iam = stack.target.client("iam")
    found: dict[str, set[Use]] = defaultdict(set)
    for name, function in _functions(stack).items():
        role = function["Role"].rpartition("/")[2]
        assert not iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"], name
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                for action in _listed(statement["Action"]):
                    found[name] |= {(action, resource) for resource in _listed(statement["Resource"])}
        found[name] = {use for use in found[name] if use[0] not in _OF_LAMBDA}
    return found


def rows(stack: Stack, function: str, grants: Iterable[Use]) -> list[Use]:
    """Return grants as `UNSEEN` names them: the resource by its name in the template, as far as a row does."""
    names = {each["PhysicalResourceId"].rpartition("/")[2]: each["LogicalResourceId"] for each in stack.resources()}
    found = []
    for action, arn in grants:
        resource = arn.split(":", 5)[-1].removeprefix("table/")
        for physical in sorted(names, key=len, reverse=True):
            resource = resource.replace(physical, names[physical])
        known = [row for row in UNSEEN.get(function, {}) if row[0] == action and resource.startswith(row[1])]
        found.append(known[0] if known else (action, resource))
    return sorted(found)


class Recorder:
    """Collects the calls of a stack's functions. The emulator gives the last 50 of each kind, so ask it often."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.used: dict[str, set[Use]] = defaultdict(set)

    def collect(self) -> None:
        """Add the last calls."""
        trail = self._stack.target.client("cloudtrail")
        for name, keys in self._keys():
            for key in keys:
                attributes = [{"AttributeKey": "AccessKeyId", "AttributeValue": key}]
                for call in _CALLS:
                    wanted = [*attributes, {"AttributeKey": "EventName", "AttributeValue": call}]
                    for event in trail.lookup_events(LookupAttributes=wanted)["Events"]:
                        self.used[name] |= set(_uses(json.loads(event["CloudTrailEvent"]), event["Resources"]))

    def _keys(self) -> Iterator[tuple[str, set[str]]]:
        """Yield the functions with the access keys that the emulator gives to their sandboxes."""
        client = self._stack.target.client("lambda")
        for name, function in _functions(self._stack).items():
            versions = client.list_versions_by_function(FunctionName=function["FunctionName"])["Versions"]
            arns = {function["FunctionArn"], *(version["FunctionArn"] for version in versions)}
            digests = [hashlib.sha256(f"{arn}:{function['Role']}".encode()).hexdigest() for arn in arns]
            yield name, {f"ASIA{digest[:16].upper()}" for digest in digests}


def covers(grant: Use, use: Use) -> bool:
    """Return whether a grant allows a use."""
    return all(fnmatch.fnmatchcase(used, pattern) for used, pattern in zip(use, grant, strict=True))


def _functions(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the configurations of the functions by their names in the template."""
    client = stack.target.client("lambda")
    return {
        each["LogicalResourceId"]: client.get_function_configuration(FunctionName=each["PhysicalResourceId"])
        for each in stack.resources()
        if each["ResourceType"] == "AWS::Lambda::Function"
    }


def _uses(event: dict[str, Any], resources: list[dict[str, str]] | None) -> Iterator[Use]:
    """Yield what one call needed a right for: a transaction one for each of its items."""
    service, call, body = event["eventSource"].partition(".")[0], event["eventName"], event["requestParameters"]
    prefix = f"arn:aws:{service}:us-east-1:000000000000"
    match service:
        case "dynamodb" if "TransactItems" in body:
            for action, item in (pair for each in body["TransactItems"] for pair in each.items()):
                name = action if action == "ConditionCheck" else action.removesuffix("Item")
                yield f"dynamodb:{name}Item", f"{prefix}:table/{item['TableName']}"
        case "dynamodb":
            index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
            for table in body.get("RequestItems", [body.get("TableName")]):
                yield f"dynamodb:{call}", f"{prefix}:table/{table}{index}"
        case "sqs":
            name = body.get("QueueName") or body["QueueUrl"].rpartition("/")[2]
            yield f"sqs:{call}", f"{prefix}:{name}"
        case "secretsmanager":
            yield f"secretsmanager:{call}", body["SecretId"]
        case "s3":
            place = "/".join(each["ResourceName"] for each in resources or [])
            yield f"s3:{_S3.get(call, call)}", f"arn:aws:s3:::{place}"
        case _:
            raise AssertionError(event)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - a document's element or several
    return value if isinstance(value, list) else [value]
