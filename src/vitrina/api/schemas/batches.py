"""Batches of operations on products over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    RootModel,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from vitrina.api.http.body import control_characters
from vitrina.api.http.problems import TABLE, InternalError, describe, headers_of
from vitrina.api.http.responses import Resource, render
from vitrina.api.http.validation import BodyModel, failed
from vitrina.api.schemas.fields import (
    NO_CONTROLS,
    Currency,
    Description,
    Line,
    Price,
    Sku,
    WholeNumber,
    absent,
    refuse_controls,
)
from vitrina.api.schemas.products import ManagedProduct
from vitrina.domain.money import DEFAULT_CURRENCY
from vitrina.domain.products import ProductDraft, check_sku
from vitrina.domain.versions import Expected
from vitrina.errors import FieldError, ValidationFailed, VitrinaError
from vitrina.services.products import operations
from vitrina.services.products.operations import Done, Name
from vitrina.store.idempotency import StoredResponse

MOST_OPERATIONS: Final = 100
_OPS: Final = ("upsert", "patch", "delete")
_Version = Annotated[WholeNumber, Field(ge=1, description="The version that the product must have, as in `If-Match`.")]
_Name = Annotated[str, AfterValidator(refuse_controls), Field(json_schema_extra={"pattern": NO_CONTROLS})]
_Id = Annotated[_Name, Field(description="The product's id.")]
_HolderSku = Annotated[_Name, Field(description="The product's SKU, in any case.", examples=["LAMP-01"])]
"""A name of a product: one that is no SKU is `not_found`, as in a path."""


class _OperationModel(BodyModel):
    """What operations have in common."""

    version: _Version = Field(default_factory=absent)

    @property
    def expected(self) -> Expected:
        """The versions that it accepts."""
        return None if "version" not in self.model_fields_set else frozenset({str(self.version)})


class UpsertOperation(_OperationModel):
    """Creates or replaces the product with a SKU, as a PUT does: a field that is left out gets its default."""

    op: Literal["upsert"]
    sku: Sku
    name: Line
    brand: Line
    price: Price
    currency: Currency = DEFAULT_CURRENCY
    description: Description | None = None

    def parsed(self) -> operations.Operation:
        """Return it as the service takes it."""
        return operations.Upsert(ProductDraft(**self.model_dump(exclude={"op", "version"})), self.expected)


class PatchOperation(_OperationModel):
    """Changes the product that `id` or else `sku` names, as a PATCH does; with an `id`, `sku` is a field to change."""

    op: Literal["patch"]
    id: _Id = Field(default_factory=absent)
    sku: _HolderSku = Field(default_factory=absent)
    name: Line = Field(default_factory=absent)
    brand: Line = Field(default_factory=absent)
    price: Price = Field(default_factory=absent)
    currency: Currency = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)

    @field_validator("sku")
    @classmethod
    def _check_new_sku(cls, sku: str, others: ValidationInfo) -> str:
        return sku if others.data.get("id") is None else check_sku(sku)

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if not self.model_fields_set & {"id", "sku"}:
            raise ValueError("needs an id or a sku")
        return self

    def parsed(self) -> operations.Operation:
        """Return it as the service takes it."""
        fields = self.model_dump(exclude={"op", "id", "version"}, exclude_unset=True)
        name = Name("id", self.id) if "id" in self.model_fields_set else Name.of_sku(fields.pop("sku"))
        return operations.Patch(name, fields, self.expected)


class DeleteOperation(_OperationModel):
    """Deletes the product that `id` or `sku` names softly, as a DELETE does."""

    op: Literal["delete"]
    id: _Id = Field(default_factory=absent)
    sku: _HolderSku = Field(default_factory=absent)

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if len(self.model_fields_set & {"id", "sku"}) != 1:
            raise ValueError("needs an id or a sku, and not both")
        return self

    def parsed(self) -> operations.Operation:
        """Return it as the service takes it."""
        name = Name("id", self.id) if "id" in self.model_fields_set else Name.of_sku(self.sku)
        return operations.Delete(name, self.expected)


class InvalidOperation(BodyModel):
    """An operation whose fields are not valid: it is refused by itself, and stops no other."""

    errors: tuple[FieldError, ...]

    def parsed(self) -> operations.Operation:
        """Return it as the service takes it."""
        return operations.Invalid(ValidationFailed(list(self.errors)))


_ValidOperation = Annotated[UpsertOperation | PatchOperation | DeleteOperation, Field(discriminator="op")]


class _Lenient:
    """Reads an operation; one that has a known `op` but is not valid becomes an `InvalidOperation`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_read, handler.generate_schema(_ValidOperation))


def _read(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - pydantic's protocol
    if not isinstance(value, dict) or value.get("op") not in _OPS:
        return handler(value)  # It refuses the whole batch.
    if refused := control_characters(value):
        return InvalidOperation(errors=tuple(refused))
    try:
        return handler(value)
    except ValidationError as error:
        # Each path begins with the tag of the union, which is no part of the body.
        errors = [FieldError(refused.path[1:], refused.detail) for refused in failed(error).errors]
        return InvalidOperation(errors=tuple(errors))


class ProductBatch(BodyModel):
    """Up to 100 operations, which are done in their order for each product."""

    checks_strings: ClassVar[bool] = True

    operations: Annotated[
        list[Annotated[UpsertOperation | PatchOperation | DeleteOperation | InvalidOperation, _Lenient]],
        Field(max_length=MOST_OPERATIONS),
    ]

    def fingerprint(self, body: bytes) -> bytes:
        """Return what is equal for equal batches alone, however they are written.

        If an operation is not valid, it is `body`, what the client wrote, because invalid values are not kept.
        """
        if any(isinstance(operation, InvalidOperation) for operation in self.operations):
            return body
        return b"\n".join(each.model_dump_json(exclude_unset=True).encode() for each in self.operations)


class Problem(RootModel[dict[str, Any]]):
    """A problem; `openapi.components` has its schema, under the same name."""


class BatchResult(Resource):
    """What became of an operation: `status` is that of the single request, with its product or its problem."""

    status: int
    product: ManagedProduct = Field(default_factory=absent)
    problem: Problem = Field(default_factory=absent)


class BatchResults(Resource):
    """The results, in the order of the operations."""

    results: list[BatchResult]


@dataclass(frozen=True, slots=True)
class RenderResult:
    """Renders results of a batch; `instance` is the path of the request."""

    instance: str

    def __call__(self, number: int, result: Done | Exception) -> StoredResponse:
        """Return the result of the operation at a position: no member is null, and pointers lead into the batch."""
        headers: dict[str, str] = {}
        if isinstance(result, Exception):
            error = result if isinstance(result, VitrinaError) else InternalError()
            if isinstance(error, ValidationFailed):
                path = ("operations", number)
                error = ValidationFailed([FieldError((*path, *each.path), each.detail) for each in error.errors])
            status, headers = TABLE[type(error)].status.value, headers_of(error)
            member = b',"problem":' + orjson.dumps(describe(error, instance=self.instance))
        elif result.product is None:
            status, member = 204, b""
        else:
            status = 201 if result.created else 200
            member = b',"product":' + render(ManagedProduct.model_validate(result.product))
        return StoredResponse(status=status, headers=headers, body=b'{"status":%d%s}' % (status, member))


def render_results(results: Sequence[StoredResponse]) -> bytes:
    """Return the body of `BatchResults`."""
    return b'{"results":[%s]}' % b",".join(result.body for result in results)
