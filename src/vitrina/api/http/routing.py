"""Routes, declared beside their handlers.

    routes = RouteTable("products")

    @routes.post("/v1/products", allow=PRODUCT_MANAGERS, responses={201: ManagedProduct}, errors=(SkuTaken,))
    async def create_product(request: Request[ProductCreate, None]) -> web.Response:
        '''Create a product.'''

The handler's annotation says which models check the body and the query, so the two cannot disagree. Its docstring is
the operation's summary and description, and its name the operation id (`createProduct`). The application serves the
declarations, and the OpenAPI document describes them.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import NoneType
from typing import Any, Final, Literal, Required, TypedDict, TypeVar, Unpack, get_args, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from vitrina.api.http.body import JSON
from vitrina.api.http.request import Request
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import Role
from vitrina.errors import StreamingUnsupported, VitrinaError


class _Everyone(Enum):
    PUBLIC = "public"


PUBLIC: Final = _Everyone.PUBLIC
Allowed = frozenset[Role] | Literal[_Everyone.PUBLIC]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[[Request[Any, Any]], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)
Content = type[BaseModel] | str | tuple[str, ...] | None
"""What a response holds: a model as JSON, other media types by name, or nothing."""

_PARAMETER: Final = re.compile(r"\{(\w+)[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    `allow` has no default: a route without a policy does not exist. `scope` is what an API key of a caller in `allow`
    needs for the route; without one no key may use it. `errors` and `response_headers` are those of the handler's own
    work; `openapi.document` adds what follows from the rest of the declaration (401, 403, 404, 413, 415, 422, 429, 503,
    `Link`, `ETag` and so on). A handler with `late_authentication` awaits `request.authenticate` itself,
    concurrently with its own read. A route that `ignores_tokens` is for sign-in, which an expired token must not
    prevent, and for probes and scrapers, which may send a token of another service. `conditional` routes honour
    `If-None-Match`, those that write `If-Match` as well, and send an `ETag`. `example` is a body that works as it
    stands. `deadline` is False for responses that may stream for longer than `Settings.request_timeout`. An `oauth`
    route is a token endpoint: its body is a form, and its errors are those of RFC 6749. The OpenAPI document leaves out
    routes that are not `documented`, and their query is not checked.
    """

    method: Method
    path: str
    handler: Handler
    allow: Allowed
    scope: Scope | None = None
    responses: Mapping[int, Content]
    operation_id: str
    tags: tuple[str, ...] = ()
    summary: str = ""
    description: str = ""
    body: type[BaseModel] | None = None
    body_optional: bool = False
    media_types: tuple[str, ...] = (JSON,)
    query: type[BaseModel] | None = None
    errors: tuple[type[VitrinaError], ...] = ()
    example: Mapping[str, Any] | None = None
    response_headers: tuple[str, ...] = ()
    conditional: bool = False
    idempotent: bool = False
    rate_limited: bool = False
    late_authentication: bool = False
    ignores_tokens: bool = False
    oauth: bool = False
    deadline: bool = True
    documented: bool = True

    def __post_init__(self) -> None:
        """Reject a declaration that contradicts itself, when the process starts and not at the first request."""
        if self.allow is not PUBLIC and not self.allow:
            raise ValueError(f"{self.method} {self.path}: nobody may call it")
        if (self.late_authentication or self.ignores_tokens) and self.allow is not PUBLIC:
            raise ValueError(f"{self.method} {self.path}: only a public route can run before the caller is known")
        if self.late_authentication and self.scope is not Scope.READ:
            raise ValueError(f"{self.method} {self.path}: with late authentication any API key must be able to call it")

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path's braces."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def template(self) -> str:
        """The path as OpenAPI, logs and metrics write it, without patterns."""
        return _PARAMETER.sub(r"{\1}", self.path)


class RouteOptions(TypedDict, total=False):
    """The fields of a `Route` that its handler does not tell."""

    allow: Required[Allowed]
    scope: Scope
    responses: Required[Mapping[int, Content]]
    operation_id: str
    media_types: tuple[str, ...]
    errors: tuple[type[VitrinaError], ...]
    example: Mapping[str, Any]
    response_headers: tuple[str, ...]
    conditional: bool
    idempotent: bool
    rate_limited: bool
    late_authentication: bool
    ignores_tokens: bool
    oauth: bool
    deadline: bool
    documented: bool


class RouteTable:
    """The routes of one resource; iterate over it to get them."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a GET; HEAD is served with it."""
        return self._decorator("GET", path, options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a POST."""
        return self._decorator("POST", path, options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a PUT."""
        return self._decorator("PUT", path, options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a PATCH."""
        return self._decorator("PATCH", path, options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Declare a DELETE."""
        return self._decorator("DELETE", path, options)

    def _decorator(self, method: Method, path: str, options: RouteOptions) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            self._routes.append(new_route(method, path, handler, tags=(self._tag,), **options))
            return handler

        return declare


def new_route(
    method: Method, path: str, handler: Handler, *, tags: tuple[str, ...] = (), **options: Unpack[RouteOptions]
) -> Route:
    """Return a route with the models, texts and operation id that `handler` tells.

    Raises TypeError unless the handler takes one parameter that is annotated `Request[Body, Query]`.
    """
    body, query, body_optional = _models(handler)
    first, *words = getattr(handler, "__name__", "").split("_")
    options.setdefault("operation_id", first + "".join(word.capitalize() for word in words))
    summary, description = _texts(inspect.getdoc(handler))
    return Route(
        method=method,
        path=path,
        handler=handler,
        tags=tags,
        summary=summary,
        description=description,
        body=body,
        body_optional=body_optional,
        query=query,
        **options,
    )


def without_stream(route: Route) -> Route:
    """Return a route as a server has it that cannot stream: one that would stream raises StreamingUnsupported."""
    return route if route.deadline else replace(route, handler=_refuse_stream, deadline=True)


async def _refuse_stream(_request: Request[Any, Any]) -> web.StreamResponse:
    raise StreamingUnsupported


def _models(handler: Handler) -> tuple[type[BaseModel] | None, type[BaseModel] | None, bool]:
    """Return the models of the body and of the query, and whether the body may be left out."""
    parameters = [hint for name, hint in get_type_hints(handler).items() if name != "return"]
    annotated = get_args(parameters[0]) if len(parameters) == 1 else ()
    if len(annotated) != 2:  # noqa: PLR2004 - the body and the query
        raise TypeError(f"{handler} must take one Request[Body, Query]")
    body_types = get_args(annotated[0]) or annotated[:1]  # Those of `Body | None`, or `Body` alone.
    body = next((model for model in body_types if model is not NoneType), None)
    query = None if annotated[1] is NoneType else annotated[1]
    return body, query, body is not None and NoneType in body_types


def _texts(docstring: str | None) -> tuple[str, str]:
    """Return the first paragraph without its full stop, and the others; both are empty under `python -OO`."""
    summary, *paragraphs = (" ".join(paragraph.split()) for paragraph in (docstring or "").split("\n\n"))
    return summary.removesuffix("."), "\n\n".join(paragraphs)
