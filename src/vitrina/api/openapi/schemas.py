"""The schemas of the OpenAPI document, from the models that check requests and write responses."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from vitrina.api.http.routing import Route

Json = dict[str, Any]
REFERENCE: Final = "#/components/schemas/{model}"
_BOUNDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Pydantic writes its own keywords for the bounds of a field that has a `BeforeValidator`."""


class _Schema(GenerateJsonSchema):
    """Pydantic's schemas without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's own signature
        return False


def model_schemas(routes: Iterable[Route]) -> tuple[dict[type[BaseModel], Json], dict[str, Json]]:
    """Return a reference for each model of a request or a response, and the schemas by name."""
    wanted: dict[type[BaseModel], JsonSchemaMode] = {}
    for route in routes:
        if route.body is not None:
            wanted[route.body] = "validation"
        wanted |= dict.fromkeys((c for c in route.responses.values() if isinstance(c, type)), "serialization")
    references, schema = models_json_schema(list(wanted.items()), ref_template=REFERENCE, schema_generator=_Schema)
    definitions: dict[str, Json] = _standard(schema.get("$defs", {}))
    for definition in definitions.values():
        for field in definition.get("properties", {}).values():
            _describe_default(field)
    return {model: references[model, mode] for model, mode in wanted.items()}, definitions


def query_parameters(route: Route) -> tuple[list[Json], dict[str, Json]]:
    """Return the parameters of the query model, and the schemas they refer to."""
    if route.query is None:
        return [], {}
    schema = _standard(route.query.model_json_schema(ref_template=REFERENCE, schema_generator=_Schema))
    parameters: list[Json] = []
    for name, field in schema.get("properties", {}).items():
        parameter: Json = {"name": name, "in": "query", "required": name in schema.get("required", ())}
        if "description" in field:
            parameter["description"] = field.pop("description")
        schema_of_one = _without_null(field)
        if schema_of_one.get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        parameters.append({**parameter, "schema": schema_of_one})
    return parameters, schema.get("$defs", {})


def _without_null(field: Json) -> Json:
    """Return the schema of a field as that of a parameter, which can be left out and never be null."""
    [variant, *others] = [variant for variant in field.pop("anyOf", [{}]) if variant != {"type": "null"}]
    if others:
        variant = {"anyOf": [variant, *others]}
    if field.get("default", ...) is None:
        del field["default"]
    return {**field, **variant}


def _standard(schema: Any) -> Any:  # noqa: ANN401 - a schema or a part of one
    """Return a schema with the words of JSON Schema for bounds."""
    if isinstance(schema, list):
        return [_standard(each) for each in schema]
    if isinstance(schema, dict):
        return {_BOUNDS.get(word, word): _standard(value) for word, value in schema.items()}
    return schema


def _describe_default(field: Json) -> None:
    """Move the default of a field to its description: openapi-typescript takes a field with a default as required."""
    default = field.pop("default", None)
    if default is not None and "const" not in field:
        field["description"] = f"{field.get('description', '')} `{default}` by default.".strip()
