"""What policies of IAM allow, decided by iam-simulate, and what AWS's reference says of their actions."""

import functools
import itertools
import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deploy.rendered import ACCOUNT
from tests.npm import CannotRunError, installed

FOLDER: Final = Path(__file__).parent / "simulator"
EVERYTHING: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True, slots=True)
class Request:
    """A call of AWS: its action, the ARN of its resource, and the context that conditions look at."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """An action in AWS's service authorization reference; without `resources` it is allowed on `*` only."""

    name: str
    resources: frozenset[str]
    keys: frozenset[str]

    def takes(self, resource: str) -> bool:
        """Return whether a resource of a statement can be one of the action's."""
        return resource == "*" or any(_same_kind(resource, each) for each in self.resources)

    def knows(self, key: str) -> bool:
        """Return whether a condition key can be in the action's context; most of `aws:` are in any."""
        key = key.lower()
        patterns = [re.sub(r"\$\{\w+\}", "*", each.lower()) for each in self.keys]
        is_global = key.startswith("aws:") and not key.startswith(("aws:resourcetag/", "aws:requesttag/"))
        return is_global or any(_overlap(key, each) for each in patterns)


@dataclass(frozen=True, slots=True)
class Case:
    """A request of a role with these policies, within a boundary if there is one."""

    policies: Sequence[Mapping[str, Any]]
    request: Request
    boundary: Mapping[str, Any] | None = None

    def simulation(self) -> dict[str, Any]:
        """Return it as iam-simulate reads it."""
        bounds = [{"name": "boundary", "policy": self.boundary}]
        return {
            "request": {
                "principal": f"arn:aws:iam::{ACCOUNT}:role/simulated",
                "action": self.request.action,
                "resource": {"resource": self.request.resource, "accountId": ACCOUNT},
                "contextVariables": dict(self.request.context),
            },
            "identityPolicies": [{"name": str(number), "policy": each} for number, each in enumerate(self.policies)],
            "serviceControlPolicies": [{"orgIdentifier": "o-1", "policies": [{"name": "all", "policy": EVERYTHING}]}],
            "resourceControlPolicies": [],
            **({"permissionBoundaryPolicies": bounds} if self.boundary else {}),
        }


def allowed(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that IAM allows. The test is skipped without npm, as in `reference`."""
    decisions: list[str] = _ask(requests=[each.simulation() for each in cases])["decisions"]
    decided = list(zip(cases, decisions, strict=True))
    invalid = [(case.request, decision) for case, decision in decided if not decision.endswith(("Allowed", "Denied"))]
    assert not invalid, f"the simulator does not know a request, or finds a policy invalid: {invalid}"
    return [case for case, decision in decided if decision == "Allowed"]


def possible(
    policies: Sequence[Mapping[str, Any]], requests: Sequence[Request], *, boundary: Mapping[str, Any] | None = None
) -> list[Request]:
    """Return the requests that a role with these policies may make, within a boundary if there is one."""
    return [case.request for case in allowed([Case(policies, each, boundary) for each in requests])]


def reference(patterns: Iterable[str]) -> dict[str, list[Action]]:
    """Return the actions that patterns such as `ec2:Describe*` stand for, by pattern."""
    wanted = sorted(set(patterns))
    described = _ask(actions=wanted)["described"]
    actions = [
        Action(
            each["action"],
            frozenset(re.sub(r"\$\{\w+\}", "*", arn) for arn in each["resources"]),
            frozenset(each["keys"]),
        )
        for each in described
    ]
    return {pattern: [each for each in actions if _overlap(pattern.lower(), each.name.lower())] for pattern in wanted}


def _ask(**questions: object) -> Any:  # noqa: ANN401 - any JSON
    try:
        node, packages = installed(FOLDER)
    except CannotRunError as error:
        pytest.skip(f"only iam-simulate can prove what IAM allows: {error}")
    done = subprocess.run(
        [node, str(FOLDER / "simulate.js"), str(packages)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout)


def _same_kind(one: str, other: str) -> bool:
    """Return whether two ARNs with `*` can be of one resource: the star of a part covers no other part."""
    return all(itertools.starmap(_overlap, zip(one.split(":", 5), other.split(":", 5), strict=True)))


@functools.cache
def _overlap(one: str, other: str) -> bool:
    """Return whether there is a text that matches both of two patterns with `*`."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    return one[0] == other[0] and _overlap(one[1:], other[1:])
