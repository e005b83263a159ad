"""template.yaml and bootstrap.yaml as IAM sees their policies: names and ARNs replace CloudFormation's functions."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

ACCOUNT: Final = "123456789012"
REGION: Final = "eu-west-1"
_PSEUDO: Final = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
_RANDOM: Final = "1A2B3C4D5E6F"
_NAMED_BY: Final = ("QueueName", "RoleName", "ManagedPolicyName", "BucketName", "RepositoryName")
_HERE: Final = f"{REGION}:{ACCOUNT}"
_ARNS: Final[Mapping[str, str]] = {
    "AWS::DynamoDB::Table": f"dynamodb:{_HERE}:table/{{name}}",
    "AWS::SQS::Queue": f"sqs:{_HERE}:{{name}}",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SecretsManager::Secret": f"secretsmanager:{_HERE}:secret:{{logical}}-{_RANDOM}-AbCdEf",
    "AWS::Logs::LogGroup": f"logs:{_HERE}:log-group:{{name}}:*",
    "AWS::Serverless::Function": f"lambda:{_HERE}:function:{{name}}",
    "AWS::IAM::Role": f"iam::{ACCOUNT}:role{{path}}{{name}}",
    "AWS::IAM::ManagedPolicy": f"iam::{ACCOUNT}:policy/{{name}}",
}
_MISSING: Final = object()
"""`AWS::NoValue`."""


class Rendered:
    """The resources of a template, read by test_template's loader, in a stack with these values of its parameters."""

    def __init__(self, document: Mapping[str, Any], *, stack: str, **parameters: str) -> None:
        self._resources = document["Resources"]
        self._conditions = document.get("Conditions", {})
        defaults = {name: each.get("Default", "") for name, each in document["Parameters"].items()}
        self._values = {**_PSEUDO, "AWS::StackName": stack, "AWS::NoValue": _MISSING, **defaults, **parameters}
        self.stack = stack

    def names(self, kind: str) -> list[str]:
        """Return the resources of a type that the conditions let be created."""
        return [
            name
            for name, it in self._resources.items()
            if it["Type"] == kind and ("Condition" not in it or self._holds({"Condition": it["Condition"]}))
        ]

    def name(self, resource: str) -> str:
        """Return the physical name of a resource."""
        properties = self._resources[resource].get("Properties", {})
        given = [self.resolve(properties[key]) for key in _NAMED_BY if key in properties]
        made = f"{self.stack}-{resource}-{_RANDOM}"
        return str(given[0] if given else made.lower() if self._type(resource) == "AWS::S3::Bucket" else made)

    def arn(self, resource: str) -> str:
        """Return the ARN of a resource."""
        path = self._resources[resource].get("Properties", {}).get("Path", "/")
        return "arn:aws:" + _ARNS[self._type(resource)].format(name=self.name(resource), logical=resource, path=path)

    def stream(self, table: str) -> str:
        """Return the ARN of a table's stream."""
        return f"{self.arn(table)}/stream/2026-11-27T08:00:00.000"

    def policies(self, role: str) -> list[dict[str, Any]]:
        """Return the documents of a role's own policies and of the managed ones of the same template."""
        properties = self._resources[role]["Properties"]
        own = [each["PolicyDocument"] for each in self.resolve(properties.get("Policies", []))]
        return own + [self.document(each["Ref"]) for each in properties.get("ManagedPolicyArns", [])]

    def document(self, policy: str) -> dict[str, Any]:
        """Return the document of a managed policy."""
        found: dict[str, Any] = self.resolve(self._resources[policy]["Properties"]["PolicyDocument"])
        return found

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 - any part of a template
        """Return a part of the template without CloudFormation's functions."""
        match value:
            case list():
                return [each for each in map(self.resolve, value) if each is not _MISSING]
            case dict() if len(value) == 1 and (function := self._functions().get(next(iter(value)))):
                return function(next(iter(value.values())))
            case dict():
                resolved = {key: self.resolve(each) for key, each in value.items()}
                return {key: each for key, each in resolved.items() if each is not _MISSING}
            case _:
                return value

    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": self._ref,
            "GetAtt": self._attribute,
            "Sub": self._substitute,
            "If": lambda given: self.resolve(given[1] if self._holds({"Condition": given[0]}) else given[2]),
            "Join": lambda given: given[0].join(self.resolve(given[1])),
            "Split": lambda given: self.resolve(given[1]).split(given[0]),
        }

    def _type(self, resource: str) -> str:
        return str(self._resources[resource]["Type"])

    def _ref(self, name: str) -> Any:  # noqa: ANN401 - a parameter's value, or none
        if name in self._values:
            return self._values[name]
        return self.arn(name) if self._type(name) == "AWS::IAM::ManagedPolicy" else self.name(name)

    def _attribute(self, given: str) -> str:
        resource, _, attribute = given.partition(".")
        assert attribute in {"Arn", "Id", "StreamArn"}, given
        return self.stream(resource) if attribute == "StreamArn" else self.arn(resource)

    def _substitute(self, text: str) -> str:
        return re.sub(
            r"\$\{([\w:.]+)\}", lambda found: str((self._attribute if "." in found[1] else self._ref)(found[1])), text
        )

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        [(kind, given)] = condition.items()
        match kind:
            case "Condition":
                return self._holds(self._conditions[given])
            case "Equals":
                return bool(self.resolve(given[0]) == self.resolve(given[1]))
            case "And":
                return all(map(self._holds, given))
            case _:
                assert kind == "Not"
                return not self._holds(given[0])
