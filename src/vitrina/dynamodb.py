"""A DynamoDB client whose item operations skip botocore's generic processing.

Endpoint rules, serialisation by shapes, event hooks and request building take most of the CPU time of a call through
aiobotocore, and an anonymous read consists mostly of such calls. Here botocore prepares the first request of each
operation; later ones differ from it only in body and signature. aiobotocore still sends requests and creates the
errors; `store/calls.py` retries. `scripts/bench client` measures what this saves.
"""

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final, Self

import orjson
from aiobotocore.client import AioBaseClient
from aiobotocore.parsers import AioJSONParser
from aiobotocore.session import AioSession
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ChecksumError, CredentialRetrievalError, HTTPClientError, NoCredentialsError
from botocore.model import OperationModel, Shape
from botocore.utils import lowercase_dict
from pybase64 import b64decode, b64encode_as_string
from yarl import URL

_OPERATIONS: Final = frozenset({
    "BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "TransactGetItems",
    "TransactWriteItems", "UpdateItem",
})  # fmt: skip
_REFUSED: Final = 300
_METHOD: Final = "POST"


def extend_clients(session: AioSession) -> None:
    """Make the session create `ItemClient`s for DynamoDB (boto3's extensibility guide, `creating-client-class`)."""
    session.register("creating-client-class.dynamodb", _extend)


def _extend(base_classes: list[type], **_: object) -> None:
    base_classes.insert(0, ItemClient)


class ItemClient(AioBaseClient):
    """A client with a fast path for item operations; all other operations are botocore's.

    The fast path sends each request once and verifies the response's checksum. Of botocore's events it emits
    `after-call`. The annotations below are of protected members, which botocore's types omit.
    """

    _convert_to_request_dict: Any
    _endpoint: Any
    _get_credentials: Any
    _request_signer: Any
    _resolve_endpoint_ruleset: Any
    exceptions: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - botocore's own arguments
        super().__init__(*arguments, **options)
        self._templates: dict[str, RequestTemplate] = {}

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        """Return the parsed response. Raises BotoCoreError, and ClientError if DynamoDB rejects the call."""
        if operation_name not in _OPERATIONS:
            return await super()._make_api_call(operation_name, api_params)  # type: ignore[misc, no-any-return]
        operation = self.meta.service_model.operation_model(operation_name)
        template = self._templates.get(operation_name) or await self._prepare(operation, api_params)
        body = orjson.dumps(api_params, default=b64encode_as_string)
        http, parsed = await self._exchange(operation, template, body)
        await self.meta.events.emit(
            f"after-call.dynamodb.{operation_name}", http_response=http, parsed=parsed, model=operation, context={}
        )
        if http.status_code >= _REFUSED:
            raise self.exceptions.from_code(parsed["Error"]["Code"])(parsed, operation_name)
        return parsed

    async def _prepare(self, operation: OperationModel, api_params: dict[str, Any]) -> "RequestTemplate":
        context = {"client_config": self.meta.config, "client_region": self.meta.region_name}
        url, headers, _ = await self._resolve_endpoint_ruleset(operation, api_params, context)
        request = await self._convert_to_request_dict(api_params, operation, url, context, headers)
        return self._templates.setdefault(operation.name, RequestTemplate.of(request["url"], dict(request["headers"])))

    async def _exchange(
        self, operation: OperationModel, template: "RequestTemplate", body: bytes
    ) -> tuple[Any, dict[str, Any]]:
        """Send a request once. Returns the HTTP and the parsed response."""
        signer = self._request_signer
        signature = ItemSignature(await self._current_credentials(), signer.signing_name, signer.region_name)
        http = await self._endpoint.http_session.send(signature.request(template, body))
        content = await http.content
        _verify(content, http.headers)
        response = {
            "status_code": http.status_code,
            "headers": http.headers,
            "body": content,
            "context": {"operation_name": operation.name},
        }
        shape: Any = operation.output_shape
        parsed = await _PARSER.parse(response, shape)
        if http.status_code >= _REFUSED:
            await self._endpoint._add_modeled_error_fields(response, parsed, operation, _PARSER)  # noqa: SLF001
        return http, parsed

    async def _current_credentials(self) -> Any:  # noqa: ANN401 - botocore's
        """Return the credentials of this moment, refreshed if they expire soon."""
        credentials = self._get_credentials()
        if credentials is None:
            raise NoCredentialsError
        try:
            return await credentials.get_frozen_credentials()
        except RuntimeError as error:  # What botocore raises if refreshed credentials have expired already.
            raise CredentialRetrievalError(provider=credentials.method, error_msg=str(error)) from error


def _verify(content: bytes, headers: Mapping[str, str]) -> None:
    """Raise ChecksumError if a response is not what DynamoDB sent (its header `x-amz-crc32`)."""
    expected = headers.get("x-amz-crc32")
    if expected is not None and int(expected) != (actual := zlib.crc32(content)):
        raise ChecksumError(checksum_type="crc32", expected_checksum=expected, actual_checksum=str(actual))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """The common parts of all requests of an operation; `signed` are the signed headers by lower-case names."""

    url: str
    path: str
    headers: dict[str, str]
    signed: dict[str, str]

    @classmethod
    def of(cls, url: str, headers: dict[str, str]) -> Self:
        """Return the template for a URL and headers without date and signature."""
        parts = URL(url)
        signed = {name.lower(): value for name, value in headers.items()}
        signed = {name: value for name, value in signed.items() if name not in SIGNED_HEADERS_BLACKLIST}
        signed["host"] = parts.host_port_subcomponent or ""
        return cls(url=url, path=parts.raw_path, headers=headers, signed=signed)


class ItemSignature(SigV4Auth):
    """Signs as botocore does (AWS's "Create a signed AWS API request"), with one set of credentials.

    botocore canonicalises the headers of every request, which takes three quarters of the time of a signature. Here
    they are canonicalised once for each operation; signing key and signature are botocore's.
    """

    def request(self, template: RequestTemplate, body: bytes, *, at: float | None = None) -> AWSPreparedRequest:
        """Return the signed request of a template and a body; `at` is its time in seconds since 1970, None for now."""
        timestamp = time.strftime(SIGV4_TIMESTAMP, time.gmtime(at))
        added = {"X-Amz-Date": timestamp}
        if self.credentials.token:
            added["X-Amz-Security-Token"] = self.credentials.token
        signed = template.signed | {name.lower(): value for name, value in added.items()}
        names = sorted(signed)
        lines = [f"{name}:{signed[name]}" for name in names]
        canonical = "\n".join([_METHOD, template.path, "", *lines, "", ";".join(names), sha256(body).hexdigest()])
        dated: Any = SimpleNamespace(context={"timestamp": timestamp})
        signature = self.signature(self.string_to_sign(dated, canonical), dated)
        added["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.scope(dated)}, SignedHeaders={';'.join(names)}, Signature={signature}"
        )
        headers: Any = template.headers | added
        return AWSPreparedRequest(_METHOD, template.url, headers, body, stream_output=False)


class ResponseParser(AioJSONParser):
    """Parses the responses of item operations with orjson. Errors are parsed by botocore.

    botocore converts a response value by value according to its model, which takes over half of the CPU time of a query
    for 25 products. Item operations do not need this: except for binary values, callers get the JSON as it is.
    """

    async def parse(self, response: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
        """Return the parsed response with botocore's `ResponseMetadata`.

        Raises HTTPClientError if the body is not JSON; botocore would return a response without an item.
        """
        body, headers = response["body"], response["headers"]
        if response["status_code"] != HTTPStatus.OK:
            return await super().parse(response, shape)
        try:
            parsed: dict[str, Any] = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise HTTPClientError(
                error=f"{response['context']['operation_name']} returned a body that is not JSON"
            ) from error
        if b'"B"' in body or b'"BS"' in body:
            _decode(parsed)
        metadata = {"HTTPStatusCode": response["status_code"], "HTTPHeaders": lowercase_dict(headers)}
        if "x-amzn-requestid" in headers:
            metadata["RequestId"] = headers["x-amzn-requestid"]
        parsed["ResponseMetadata"] = metadata
        return parsed


def _decode(node: Any) -> None:  # noqa: ANN401 - any JSON
    """Decode all binary values below `node` in place.

    Only binary values are a string named `B` or a list named `BS`: an attribute's value is an object whatever its name,
    and the names of tables and indexes, which can be keys too, have at least three characters.
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


_PARSER: Final = ResponseParser()
