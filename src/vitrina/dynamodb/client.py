"""Calls about items, without what botocore does to serve every API of AWS.

Choosing the endpoint by rules, taking parameters apart by their shapes, asking hooks and building a request is most of
the CPU time of a call through aiobotocore, and an anonymous read is little else than such calls. Here botocore
prepares the first request of each operation; those after it differ in their body and signature alone. How they are
sent, tried again and refused stays aiobotocore's.
"""

from typing import Any, Final

import orjson
from aiobotocore.client import AioBaseClient
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.model import OperationModel
from pybase64 import b64encode_as_string

from vitrina.dynamodb.answers import AnswerParser
from vitrina.dynamodb.signature import Form, ItemSignature

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
_PARSER: Final = AnswerParser()
_REFUSED: Final = 300


def extend_clients(session: AioSession) -> None:
    """Make the session's clients of DynamoDB `ItemClient`s (boto3's extensibility guide, `creating-client-class`)."""
    session.register("creating-client-class.dynamodb", _extend)


def _extend(base_classes: list[type], **_: object) -> None:
    base_classes.insert(0, ItemClient)


class ItemClient(AioBaseClient):
    """A client whose calls about items take the short way; operations on tables go botocore's own.

    Of botocore's events, a call about items emits `needs-retry` and `after-call`, which are what retries are made of.
    botocore's types leave out what is protected.
    """

    _convert_to_request_dict: Any
    _endpoint: Any
    _get_credentials: Any
    _request_signer: Any
    _resolve_endpoint_ruleset: Any
    exceptions: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as botocore makes it
        super().__init__(*arguments, **options)
        self._forms: dict[str, Form] = {}

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        """Return the answer. Raises BotoCoreError, and the ClientError of a call that DynamoDB refused."""
        if operation_name not in _OPERATIONS:
            return await super()._make_api_call(operation_name, api_params)  # type: ignore[misc, no-any-return]
        operation = self.meta.service_model.operation_model(operation_name)
        form = self._forms.get(operation_name) or await self._prepare(operation, api_params)
        body = orjson.dumps(api_params, default=b64encode_as_string)
        context: dict[str, Any] = {}
        answer: dict[str, Any]
        attempt = 1
        response, failure = await self._exchange(operation, form, body)
        while await self._endpoint._needs_retry(attempt, operation, {"context": context}, response, failure):  # noqa: SLF001
            attempt += 1
            response, failure = await self._exchange(operation, form, body)
        if failure is not None:
            raise failure
        http, answer = response
        answer["ResponseMetadata"]["RetryAttempts"] = attempt - 1
        await self.meta.events.emit(
            f"after-call.dynamodb.{operation_name}", http_response=http, parsed=answer, model=operation, context=context
        )
        if http.status_code >= _REFUSED:
            raise self.exceptions.from_code(answer["Error"]["Code"])(answer, operation_name)
        return answer

    async def _prepare(self, operation: OperationModel, api_params: dict[str, Any]) -> Form:
        context = {"client_config": self.meta.config, "client_region": self.meta.region_name}
        url, headers, _ = await self._resolve_endpoint_ruleset(operation, api_params, context)
        request = await self._convert_to_request_dict(api_params, operation, url, context, headers)
        return self._forms.setdefault(operation.name, Form.of(request["url"], dict(request["headers"])))

    async def _exchange(self, operation: OperationModel, form: Form, body: bytes) -> tuple[Any, BotoCoreError | None]:
        """Send a request; returns what botocore's retries look at: response and answer, or why there are none."""
        signer = self._request_signer
        credentials = self._get_credentials()
        if credentials is None:
            raise NoCredentialsError
        credentials = await credentials.get_frozen_credentials()
        signature = ItemSignature(credentials, signer.signing_name, signer.region_name)
        try:
            http = await self._endpoint.http_session.send(signature.request(form, body))
            response = {
                "status_code": http.status_code,
                "headers": http.headers,
                "body": await http.content,
                "context": {"operation_name": operation.name},
            }
            shape: Any = operation.output_shape
            answer = await _PARSER.parse(response, shape)
        except BotoCoreError as error:
            return None, error
        if http.status_code >= _REFUSED:
            await self._endpoint._add_modeled_error_fields(response, answer, operation, _PARSER)  # noqa: SLF001
        return (http, answer), None
