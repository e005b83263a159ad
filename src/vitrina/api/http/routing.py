"""Routes as declarations: what a handler is given, who may call it, and what it answers.

A handler is `async def handler(call: Call[Body, Query]) -> web.StreamResponse`; both types are checked against the
route that names it. The same declaration makes the OpenAPI document (`api/openapi.py`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, Literal

from aiohttp import web
from pydantic import BaseModel

from vitrina.api.http.body import JSON
from vitrina.api.http.request import BodyT, QueryT, Request
from vitrina.domain.users import Role
from vitrina.errors import VitrinaError


class _Everyone(Enum):
    PUBLIC = "public"


PUBLIC: Final = _Everyone.PUBLIC
Allowed = frozenset[Role] | Literal[_Everyone.PUBLIC]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Content = type[BaseModel] | str | tuple[str, ...] | None
"""What an answer holds: a model as JSON, other media types by name, or nothing."""

_PARAMETER: Final = re.compile(r"\{(\w+)[^}]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[BodyT, QueryT]):
    """One method of one path.

    `allow` has no default: a route without a policy does not exist. `errors` are those that the handler's own work can
    raise; what follows from the rest of the declaration (401, 403, 413, 415, 422, 429, 503 …) is added by itself.
    A handler with `late_authentication` awaits `call.authenticate` itself, beside its own read; one that
    `ignores_tokens` is for machines that may send a token meant for another (probes, scrapers).
    `conditional` routes heed `If-None-Match` (GET) or `If-Match`, and answer with an `ETag`. `parameters` describes the
    path's. `deadline` is False for what may stream longer than any answer takes. What is not `documented` is left out
    of the OpenAPI document.
    """

    method: Method
    path: str
    handler: Callable[[Request[BodyT, QueryT]], Awaitable[web.StreamResponse]]
    allow: Allowed
    summary: str
    operation_id: str
    tags: tuple[str, ...]
    answers: Mapping[int, Content]
    description: str = ""
    body: type[BodyT] | None = None
    body_optional: bool = False
    media_types: tuple[str, ...] = (JSON,)
    query: type[QueryT] | None = None
    errors: tuple[type[VitrinaError], ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    response_headers: tuple[str, ...] = ()
    conditional: bool = False
    idempotent: bool = False
    rate_limited: bool = False
    late_authentication: bool = False
    ignores_tokens: bool = False
    deadline: bool = True
    documented: bool = True

    def __post_init__(self) -> None:
        """Refuse a declaration that contradicts itself, when the process starts rather than when it is asked."""
        if self.allow is not PUBLIC and not self.allow:
            raise ValueError(f"{self.method} {self.path}: nobody may call it")
        if (self.late_authentication or self.ignores_tokens) and self.allow is not PUBLIC:
            raise ValueError(f"{self.method} {self.path}: who calls must be known before the work begins")

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path's braces."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def template(self) -> str:
        """The path as OpenAPI, logs and metrics write it, without patterns."""
        return _PARAMETER.sub(r"{\1}", self.path)
