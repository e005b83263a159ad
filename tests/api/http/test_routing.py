"""Routes that contradict themselves do not come up."""

from typing import Any

import pytest
from aiohttp import web

from vitrina.api.http.request import Request
from vitrina.api.http.responses import json_response
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.domain.users import EVERY_ROLE


async def _handler(_call: Request[None, None]) -> web.StreamResponse:
    return json_response(b"{}")


def _route(**options: Any) -> Route[Any, Any]:  # noqa: ANN401
    fixed = {"method": "GET", "path": "/v1/a/{id}/{rest:.*}", "handler": _handler, "operation_id": "a", "tags": ()}
    return Route(**{**fixed, "summary": "", "answers": {200: None}, **options})


def test_a_route_without_a_policy_does_not_exist() -> None:
    """Deny by default: who may call it has to be said (ASVS 8.2.1)."""
    with pytest.raises(TypeError, match="allow"):
        _route()
    with pytest.raises(ValueError, match="nobody"):
        _route(allow=frozenset())


@pytest.mark.parametrize("option", ["late_authentication", "ignores_tokens"])
def test_only_public_routes_may_learn_late_or_never_who_calls(option: str) -> None:
    """Authorisation comes before the work, or it reveals something."""
    _route(allow=PUBLIC, **{option: True})
    with pytest.raises(ValueError, match="before the work"):
        _route(allow=EVERY_ROLE, **{option: True})


def test_patterns_are_for_the_router_alone() -> None:
    """Documents, logs and metrics see names."""
    route = _route(allow=PUBLIC)
    assert route.template == "/v1/a/{id}/{rest}"
    assert route.path_parameters == ("id", "rest")
