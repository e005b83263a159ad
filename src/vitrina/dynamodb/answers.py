"""DynamoDB's answers about items, read by orjson.

botocore takes an answer apart by the shapes of its model, value by value: more than half of the CPU time of a query
for 25 products. There is no need to, since the JSON of these answers is what callers get, but for binary values.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiobotocore.parsers import AioJSONParser
from botocore.exceptions import HTTPClientError
from botocore.model import Shape
from botocore.utils import lowercase_dict
from pybase64 import b64decode


class AnswerParser(AioJSONParser):
    """Reads answers about items; errors go botocore's own way."""

    async def parse(self, response: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
        """Return the answer, with botocore's `ResponseMetadata`.

        Raises HTTPClientError for what is not JSON, which botocore takes for an answer without an item.
        """
        body, headers = response["body"], response["headers"]
        if response["status_code"] != HTTPStatus.OK:
            return await super().parse(response, shape)
        try:
            answer: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise HTTPClientError(
                error=f"{response['context']['operation_name']} was not answered with JSON"
            ) from error
        if b'"B"' in body or b'"BS"' in body:
            _decode(answer)
        metadata = {"HTTPStatusCode": response["status_code"], "HTTPHeaders": lowercase_dict(headers)}
        if "x-amzn-requestid" in headers:
            metadata["RequestId"] = headers["x-amzn-requestid"]
        answer["ResponseMetadata"] = metadata
        return answer


def _decode(node: Any) -> None:  # noqa: ANN401 - any JSON
    """Decode, in place, all binary values below `node`.

    A string called `B` and a list called `BS` are nothing else: an attribute's value is an object whatever its name,
    and the names of tables and indexes, which may be keys of an answer too, have three characters or more.
    """
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "B" and isinstance(value, str):
                node[name] = b64decode(value, validate=True)
            elif name == "BS" and isinstance(value, list):
                node[name] = [b64decode(text, validate=True) for text in value]
            else:
                _decode(value)
    elif isinstance(node, list):
        for value in node:
            _decode(value)
