"""A client whose item operations skip botocore's generic processing of requests.

Endpoint rules, serialisation by shapes, event hooks and request building take most of the CPU time of a call through
aiobotocore, and an anonymous read consists mostly of such calls. Here botocore prepares the first request of each
operation; later ones differ from it only in body and signature. aiobotocore still sends and retries requests and
creates the errors.
"""

from typing import Any, Final

import orjson
from aiobotocore.client import AioBaseClient
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.model import OperationModel
from pybase64 import b64encode_as_string

from vitrina.dynamodb.responses import ResponseParser
from vitrina.dynamodb.signature import ItemSignature, RequestTemplate

_OPERATIONS: Final = frozenset({
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
})  # fmt: skip
_PARSER: Final = ResponseParser()
_REFUSED: Final = 300


def extend_clients(session: AioSession) -> None:
    """Make the session create `ItemClient`s for DynamoDB (boto3's extensibility guide, `creating-client-class`)."""
    session.register("creating-client-class.dynamodb", _extend)


def _extend(base_classes: list[type], **_: object) -> None:
    base_classes.insert(0, ItemClient)


class ItemClient(AioBaseClient):
    """A client with a fast path for item operations; all other operations are botocore's.

    Of botocore's events, the fast path emits `needs-retry` and `after-call`, on which retries depend. The annotations
    below are of protected members, which botocore's types omit.
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
        context: dict[str, Any] = {}
        parsed: dict[str, Any]
        attempt = 1
        response, failure = await self._exchange(operation, template, body)
        while await self._endpoint._needs_retry(attempt, operation, {"context": context}, response, failure):  # noqa: SLF001
            attempt += 1
            response, failure = await self._exchange(operation, template, body)
        if failure is not None:
            raise failure
        http, parsed = response
        parsed["ResponseMetadata"]["RetryAttempts"] = attempt - 1
        await self.meta.events.emit(
            f"after-call.dynamodb.{operation_name}", http_response=http, parsed=parsed, model=operation, context=context
        )
        if http.status_code >= _REFUSED:
            raise self.exceptions.from_code(parsed["Error"]["Code"])(parsed, operation_name)
        return parsed

    async def _prepare(self, operation: OperationModel, api_params: dict[str, Any]) -> RequestTemplate:
        context = {"client_config": self.meta.config, "client_region": self.meta.region_name}
        url, headers, _ = await self._resolve_endpoint_ruleset(operation, api_params, context)
        request = await self._convert_to_request_dict(api_params, operation, url, context, headers)
        return self._templates.setdefault(operation.name, RequestTemplate.of(request["url"], dict(request["headers"])))

    async def _exchange(
        self, operation: OperationModel, template: RequestTemplate, body: bytes
    ) -> tuple[Any, BotoCoreError | None]:
        """Send a request. Returns the arguments of botocore's retry handler: HTTP and parsed response, or an error."""
        signer = self._request_signer
        credentials = self._get_credentials()
        if credentials is None:
            raise NoCredentialsError
        credentials = await credentials.get_frozen_credentials()
        signature = ItemSignature(credentials, signer.signing_name, signer.region_name)
        try:
            http = await self._endpoint.http_session.send(signature.request(template, body))
            response = {
                "status_code": http.status_code,
                "headers": http.headers,
                "body": await http.content,
                "context": {"operation_name": operation.name},
            }
            shape: Any = operation.output_shape
            parsed = await _PARSER.parse(response, shape)
        except BotoCoreError as error:
            return None, error
        if http.status_code >= _REFUSED:
            await self._endpoint._add_modeled_error_fields(response, parsed, operation, _PARSER)  # noqa: SLF001
        return (http, parsed), None
