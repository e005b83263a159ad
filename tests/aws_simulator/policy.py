"""Policy documents: what a caller may do, with which items of the table."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from tests.aws_simulator.identity import access_key
from tests.aws_simulator.items import queried_partition, reads, writes
from tests.aws_simulator.proxy import SES_API, Forward, Json, Request, Response, refusal
from tests.aws_simulator.queues import queue_of

ACCOUNT: Final = "000000000000"
_ELEMENTS: Final = {"Sid", "Effect", "Action", "Resource", "Condition"}
_STREAM: Final = re.compile(r"arn:aws:dynamodb:[^:]*:[^:]*:(table/[^/|]+/stream/[^/|]+)")


class _Use(NamedTuple):
    """An action on a resource; `context` has the keys of conditions, such as the partition keys of the items."""

    action: str
    resource: str
    context: dict[str, list[str]]


class Policies:
    """Allows what a caller's document allows, by the id of the access key; `*` is the document of other callers.

    Raises ValueError for what it cannot decide: other elements than an identity-based policy has, or other operators.
    """

    def __init__(self, documents: Mapping[str, Json]) -> None:
        self._statements = {caller: _listed(document["Statement"]) for caller, document in documents.items()}
        for statement in (one for each in self._statements.values() for one in each):
            unknown = (statement.keys() - _ELEMENTS) | (statement.get("Condition", {}).keys() - _OPERATORS.keys())
            if unknown:
                raise ValueError(f"a policy's {', '.join(sorted(unknown))}")

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Refuse a request unless each use that it makes is allowed, and none denied."""
        caller = access_key(request)
        statements = self._statements.get(caller, self._statements.get("*", []))
        for use in _uses(request):
            effects = {statement["Effect"] for statement in statements if _applies(statement, use)}
            if effects != {"Allow"}:
                why = f"no identity-based policy allows the {use.action} action"
                if "Deny" in effects:
                    why = "with an explicit deny in an identity-based policy"
                return refusal(
                    "AccessDeniedException",
                    f"User: arn:aws:iam::{ACCOUNT}:user/{caller} is not authorized to perform: {use.action} "
                    f"on resource: {use.resource} because {why}",
                    status=400 if use.action.startswith("dynamodb") else 403,
                )
        return await forward(request)


def _uses(request: Request) -> Iterator[_Use]:
    """Yield what a request needs a right for: a transaction one for each of its items."""
    body, operation, region = request.body, request.operation, request.endpoint.region
    if request.target == SES_API:
        arn = f"arn:aws:ses:{region}:{ACCOUNT}:identity/{body.get('FromEmailAddress', '').rpartition('@')[2]}"
        is_raw = "Raw" in body.get("Content", {})
        action = "SendRawEmail" if is_raw else operation
        yield _Use(f"ses:{action}", arn if is_raw else "*", {"ses:FromAddress": [body.get("FromEmailAddress", "")]})
    elif request.endpoint.service == "sqs":
        # "SendMessageBatch" and its like need the right of a single message.
        action = f"sqs:{operation.removesuffix('Batch')}"
        yield _Use(action, f"arn:aws:sqs:{region}:{ACCOUNT}:{queue_of(request)}", {})
    elif request.endpoint.service == "streams.dynamodb":
        found = _STREAM.search(body.get("StreamArn") or body.get("ShardIterator", ""))
        stream = found[1] if found else "*"
        yield _Use(f"dynamodb:{operation}", f"arn:aws:dynamodb:{region}:{ACCOUNT}:{stream}", {})
    else:
        arn = f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/"
        for action, table, keys in _table_uses(request):
            yield _Use(f"dynamodb:{action}", arn + table, {"dynamodb:LeadingKeys": keys} if keys else {})


def _table_uses(request: Request) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each action, the table or index, and the partition keys of the items."""
    body, operation = request.body, request.operation
    if operation.startswith("Transact"):
        for write in writes(request):
            yield f"{write.action}Item", write.key.table, [write.key.pk]
        for key in reads(request):
            yield "GetItem", key.table, [key.pk]
    elif "RequestItems" in body:
        keys = [*(write.key for write in writes(request)), *reads(request)]
        for table in body["RequestItems"]:
            yield operation, table, [key.pk for key in keys if key.table == table]
    else:
        found = [*(write.key.pk for write in writes(request)), *(key.pk for key in reads(request))]
        if operation == "Query" and (partition := queried_partition(body)):
            found.append(partition)
        index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
        yield operation, body.get("TableName", "*") + index, found


def _applies(statement: Json, use: _Use) -> bool:
    """Return whether a statement is about a use."""
    return (
        any(_like(use.action.lower(), pattern.lower()) for pattern in _listed(statement["Action"]))
        and any(_like(use.resource, pattern) for pattern in _listed(statement["Resource"]))
        and all(
            _OPERATORS[operator](use.context.get(key, []), _listed(wanted))
            for operator, tests in statement.get("Condition", {}).items()
            for key, wanted in tests.items()
        )
    )


def _like(value: str, pattern: str) -> bool:
    """Return whether a value matches a pattern, in which `*` stands for any characters and `?` for one."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value, re.DOTALL) is not None


def _matches(patterns: Iterable[str]) -> Callable[[str], bool]:
    return lambda value: any(_like(value, pattern) for pattern in patterns)


_OPERATORS: Final[Mapping[str, Callable[[list[str], list[str]], bool]]] = {
    "StringLike": lambda values, patterns: any(map(_matches(patterns), values)),
    "ForAnyValue:StringLike": lambda values, patterns: any(map(_matches(patterns), values)),
    # True without values: a scan, which has no leading keys, passes.
    "ForAllValues:StringLike": lambda values, patterns: all(map(_matches(patterns), values)),
    "Null": lambda values, wanted: (not values) is (wanted == ["true"]),
}


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - a document's element or several
    return value if isinstance(value, list) else [value]
