"""The OpenAPI 3.1 document, built from the same declarations that the service runs on."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from vitrina import errors
from vitrina.api.http import problems
from vitrina.api.http.body import JSON
from vitrina.api.http.oauth import token_error
from vitrina.api.http.pagination import PageQuery
from vitrina.api.http.problems import CONTENT_TYPE, TABLE
from vitrina.api.http.routing import PUBLIC, Content, Route
from vitrina.api.openapi import components as parts
from vitrina.api.openapi.components import NO_DEMO, Demo
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import EVERY_ROLE
from vitrina.errors import VitrinaError

Json = dict[str, Any]
_REFERENCE: Final = "#/components/schemas/{model}"
_BOUNDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Pydantic writes its own keywords for the bounds of a field that has a `BeforeValidator`."""
_CONDITIONS: Final = {"GET": ["IfNoneMatch"], "PUT": ["IfMatch", "IfNoneMatchPut"]}
"""Parameters of conditional routes by method; all others have `If-Match`."""


class _Schema(GenerateJsonSchema):
    """Pydantic's schemas without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - pydantic's own signature
        return False


def document(routes: Iterable[Route], *, server: str = "", demo: Demo = NO_DEMO) -> Json:
    """Return the document of the documented routes; `server` is the base URL of requests."""
    documented = [route for route in routes if route.documented]
    references, schemas = _model_schemas(documented)
    paths: dict[str, Json] = {}
    for route in documented:
        queries, definitions = _query_parameters(route)
        schemas |= definitions
        if route.oauth and route.body is not None:
            # Swagger UI fills in a form from the examples of its fields, not from that of the whole.
            form, example = schemas[references[route.body]["$ref"].rpartition("/")[2]], _example(route, demo)
            for name, field in form["properties"].items():
                field["examples"] = [example.get(name, "")]
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, queries, references, demo)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vitrina", "version": version("vitrina"), "description": parts.DESCRIPTION + demo.note},
        "servers": [{"url": server or "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag for route in documented for tag in route.tags)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**schemas, **parts.SCHEMAS}.items())),
            "parameters": parts.PARAMETERS,
            "headers": parts.HEADERS,
            "securitySchemes": parts.SECURITY_SCHEMES,
        },
    }


def errors_of(route: Route) -> tuple[type[VitrinaError], ...]:
    """Return every error that a route can respond with: those it declares, and those its declaration implies."""
    found = [problems.BadRequest, problems.InvalidHeader, errors.ValidationFailed, errors.Unavailable, *route.errors]
    if not route.ignores_tokens:
        found += [errors.InvalidToken, errors.TableUnavailable]
        if route.scope is not Scope.READ or route.allow not in (PUBLIC, EVERY_ROLE):
            found.append(errors.Forbidden)
    if route.allow is not PUBLIC:
        found.append(errors.AuthenticationRequired)
    if route.path_parameters and HTTPStatus.CREATED not in route.responses:
        found.append(errors.NotFound)
    if route.body is not None:
        found += [problems.UnsupportedMediaType, problems.PayloadTooLarge, problems.RequestTimeout]
        found.append(problems.InvalidTokenRequest if route.oauth else problems.MalformedJson)
    if _is_paged(route):
        found.append(errors.InvalidCursor)
    if route.idempotent:
        found += [errors.IdempotencyKeyReused, errors.IdempotencyInProgress]
    if route.conditional and route.method != "GET":
        found += [errors.VersionMismatch, errors.Conflict]
    # What writes products sends transactions, which are bounded.
    found += [errors.Overloaded] if route.scope is Scope.MANAGE else []
    if route.rate_limited:
        found.append(errors.RateLimited)
    return tuple(error for error in TABLE if error in found)


def headers_of(route: Route, status: int) -> list[str]:
    """Return the headers of a success: those that a route declares, and those that its declaration implies."""
    found = [name for name in route.response_headers if name != "Location" or status == HTTPStatus.CREATED]
    if route.conditional and None not in route.responses.values():
        found.append("ETag")
    if _is_paged(route):
        found.append("Link")
    if route.idempotent:
        found.append("Idempotency-Replayed")
    if route.rate_limited:
        found += parts.RATE_LIMIT_HEADERS
    return found


def _is_paged(route: Route) -> bool:
    return route.query is not None and issubclass(route.query, PageQuery)


def access_of(route: Route) -> str:
    """Return the sentence on who may call a route, and with which API keys."""
    if route.ignores_tokens:
        return "For everyone; a token is ignored."
    who = "everyone; a token is optional" if route.allow is PUBLIC else ", ".join(sorted(route.allow))
    key = {None: "No API key", Scope.READ: "Any API key", Scope.MANAGE: "An API key of scope `manage`"}[route.scope]
    return f"For {who}. {key} may call it."


def _operation(route: Route, queries: list[Json], references: dict[type[BaseModel], Json], demo: Demo) -> Json:
    operation: Json = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": f"{route.description}\n\n{access_of(route)}".strip(),
        "tags": list(route.tags),
        "parameters": [*_path_parameters(route, demo), *queries, *_header_parameters(route)],
        "responses": {str(status): body for status, body in sorted(_responses(route, references).items())},
        "security": _security(route),
    }
    if route.body is not None:
        content: Json = {"schema": references[route.body]}
        if example := _example(route, demo):
            content["example"] = example
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": dict.fromkeys(route.media_types, content),
        }
    return operation


def _example(route: Route, demo: Demo) -> Mapping[str, Any]:
    return demo.bodies.get(route.operation_id, route.example or {})


def _security(route: Route) -> list[Json]:
    if route.ignores_tokens:
        return []
    signed_in: list[Json] = [{name: []} for name in parts.SECURITY_SCHEMES if name != parts.API_KEY]
    if route.scope is not None:
        signed_in.append({parts.API_KEY: [route.scope.value]})
    return [{}, *signed_in] if route.allow is PUBLIC else signed_in


def _path_parameters(route: Route, demo: Demo) -> list[Json]:
    examples = {name: {"example": example} for name, example in demo.parameters.items()}
    required = {"in": "path", "required": True, "schema": {"type": "string"}}
    return [
        {"name": name, **required, **parts.PATH_PARAMETERS.get(name, {}), **examples.get(name, {})}
        for name in route.path_parameters
    ]


def _header_parameters(route: Route) -> list[Json]:
    names = ["RequestId"]
    if route.idempotent:
        names.append("IdempotencyKey")
    if route.conditional:
        names += _CONDITIONS.get(route.method, ["IfMatch"])
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _query_parameters(route: Route) -> tuple[list[Json], dict[str, Json]]:
    """Return the parameters of the query model, and the schemas they refer to."""
    if route.query is None:
        return [], {}
    schema = _standard(route.query.model_json_schema(ref_template=_REFERENCE, schema_generator=_Schema))
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


def _model_schemas(routes: Iterable[Route]) -> tuple[dict[type[BaseModel], Json], dict[str, Json]]:
    """Return a reference for each model of a request or a response, and the schemas by name."""
    wanted: dict[type[BaseModel], JsonSchemaMode] = {}
    for route in routes:
        if route.body is not None:
            wanted[route.body] = "validation"
        wanted |= dict.fromkeys((c for c in route.responses.values() if isinstance(c, type)), "serialization")
    references, schema = models_json_schema(list(wanted.items()), ref_template=_REFERENCE, schema_generator=_Schema)
    definitions: dict[str, Json] = _standard(schema.get("$defs", {}))
    for definition in definitions.values():
        for field in definition.get("properties", {}).values():
            _describe_default(field)
    return {model: references[model, mode] for model, mode in wanted.items()}, definitions


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


def _responses(route: Route, references: dict[type[BaseModel], Json]) -> dict[int, Json]:
    responses: dict[int, Json] = {}
    for status, content in route.responses.items():
        responses[status] = {
            "description": HTTPStatus(status).phrase,
            "headers": _headers(headers_of(route, status)),
            **_content(content, references),
        }
    if route.conditional and route.method == "GET":
        responses[304] = {"description": HTTPStatus.NOT_MODIFIED.phrase, "headers": _headers(["ETag"])}
    media_type, model = (JSON, "TokenError") if route.oauth else (CONTENT_TYPE, "Problem")
    by_status: dict[int, list[type[VitrinaError]]] = {}
    for error in errors_of(route):
        status = token_error(parts.sample(error))[0] if route.oauth else TABLE[error].status.value
        by_status.setdefault(status, []).append(error)
    for status, found in by_status.items():
        headers = list(parts.ERROR_HEADERS.get(status, ()))
        if route.rate_limited and {errors.InvalidCredentials, errors.WrongPassword, errors.EmailTaken} & set(found):
            headers += parts.RATE_LIMIT_HEADERS
        responses[status] = {
            "description": "; ".join(TABLE[error].title for error in found),
            "headers": _headers(headers),
            "content": {
                media_type: {
                    "schema": {"$ref": _REFERENCE.format(model=model)},
                    "examples": {TABLE[error].code: parts.example(error, route) for error in found},
                }
            },
        }
    return responses


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *names)}


def _content(content: Content, references: dict[type[BaseModel], Json]) -> Json:
    match content:
        case None:
            return {}
        case str() | tuple():
            media_types = (content,) if isinstance(content, str) else content
            return {"content": {media_type: {} for media_type in media_types}}
        case _:
            return {"content": {JSON: {"schema": references[content]}}}
