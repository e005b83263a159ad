"""The OpenAPI 3.1 document, built from the same declarations that the service runs on."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel

from vitrina import errors
from vitrina.api.http import problems
from vitrina.api.http.body import JSON
from vitrina.api.http.idempotency import REPLAYED_ERRORS
from vitrina.api.http.oauth import token_error
from vitrina.api.http.pagination import PageQuery
from vitrina.api.http.problems import CONTENT_TYPE, TABLE
from vitrina.api.http.routing import PUBLIC, Content, Route
from vitrina.api.openapi import components as parts
from vitrina.api.openapi.components import NO_DEMO, Demo
from vitrina.api.openapi.schemas import REFERENCE, Json, model_schemas, query_parameters
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import EVERY_ROLE
from vitrina.errors import VitrinaError

_CONDITIONS: Final = {"GET": ["IfNoneMatch"], "PUT": ["IfMatch", "IfNoneMatchPut"]}
"""Parameters of conditional routes by method; all others have `If-Match`."""


def document(routes: Iterable[Route], *, server: str = "", demo: Demo = NO_DEMO) -> Json:
    """Return the document of the documented routes; `server` is the base URL of requests."""
    documented = [route for route in routes if route.documented]
    references, schemas = model_schemas(documented)
    paths: dict[str, Json] = {}
    for route in documented:
        queries, definitions = query_parameters(route)
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
        if {errors.Conflict, errors.IdempotencyInProgress} & set(found):
            headers.append("Retry-After")
        if route.idempotent and not set(REPLAYED_ERRORS).isdisjoint(found):
            headers.append("Idempotency-Replayed")
        responses[status] = {
            "description": "; ".join(TABLE[error].title for error in found),
            "headers": _headers(headers),
            "content": {
                media_type: {
                    "schema": {"$ref": REFERENCE.format(model=model)},
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
