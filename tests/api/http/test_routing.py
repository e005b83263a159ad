"""The declaration of a route is checked when it is made."""

from typing import Any

import pytest
from aiohttp import web

from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route, RouteTable
from vitrina.api.http.validation import BodyModel, QueryModel
from vitrina.domain.api_keys import Scope
from vitrina.domain.users import EVERY_ROLE


async def _handler(_request: Request[None, None]) -> web.StreamResponse:
    return json_response(b"{}")


def _route(**options: Any) -> Route:  # noqa: ANN401
    fixed: dict[str, Any] = {
        "method": "GET",
        "path": "/v1/a/{id}/{rest:.*}",
        "handler": _handler,
        "operation_id": "a",
        "responses": {},
    }
    return Route(**fixed | options)


def test_a_route_must_have_a_policy() -> None:
    """Access is denied by default (ASVS 8.2.1)."""
    with pytest.raises(TypeError, match="allow"):
        _route()
    with pytest.raises(ValueError, match="nobody"):
        _route(allow=frozenset())


@pytest.mark.parametrize("option", ["late_authentication", "ignores_tokens"])
def test_only_public_routes_can_skip_or_delay_authentication(option: str) -> None:
    """Without authorisation first, the work could reveal something."""
    _route(allow=PUBLIC, scope=Scope.READ, **{option: True})
    with pytest.raises(ValueError, match="before the caller is known"):
        _route(allow=EVERY_ROLE, **{option: True})


class _Body(BodyModel):
    """A body."""


class _Query(QueryModel):
    """A query."""


def test_a_handler_declares_the_models_texts_and_id_of_its_route() -> None:
    routes = RouteTable("things")

    @routes.post("/v1/things", allow=PUBLIC, responses={204: None})
    async def change_some_things(_request: Request[_Body | None, _Query]) -> web.StreamResponse:
        """Change things.

        Some of them,
        not all.
        """
        return web.Response()

    [route] = routes
    assert (route.method, route.handler, route.tags) == ("POST", change_some_things, ("things",))
    assert (route.body, route.body_optional, route.query) == (_Body, True, _Query)
    assert (route.summary, route.description) == ("Change things", "Some of them, not all.")
    assert route.operation_id == "changeSomeThings"


def test_a_handler_needs_a_typed_request() -> None:
    """Without the annotation the body would not be validated."""

    async def handler(_request: Any) -> web.StreamResponse:  # noqa: ANN401
        return web.Response()

    with pytest.raises(TypeError, match="Request"):
        RouteTable("things").get("/v1/things", allow=PUBLIC, responses={204: None})(handler)


def test_only_the_router_sees_the_patterns_of_parameters() -> None:
    """Documents, logs and metrics use the names of the parameters."""
    route = _route(allow=PUBLIC)
    assert route.template == "/v1/a/{id}/{rest}"
    assert route.path_parameters == ("id", "rest")
