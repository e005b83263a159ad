"""The request object of handlers."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.api.small import principal
from vitrina.api.http.request import Request
from vitrina.domain.users import Role
from vitrina.errors import AuthenticationRequired


def _call(method: str = "GET") -> Request[Any, Any]:
    return Request(make_mocked_request(method, "/"), "r-1")


def test_an_undeclared_body_or_query_is_none() -> None:
    """A handler never gets a model that it did not declare."""
    call = _call()
    assert (call.body, call.query, call.principal, call.raw_body) == (None, None, None, b"")


def test_a_public_route_without_a_token_has_no_caller() -> None:
    """A handler that needs a caller on a public route responds with 401, not 500."""
    call = _call()
    with pytest.raises(AuthenticationRequired):
        _ = call.caller
    call.principal = principal(Role.ADMIN)
    assert call.caller.id == "id-of-admin"


def test_a_head_request_is_marked() -> None:
    """A HEAD is not counted as a view (R11)."""
    assert _call("HEAD").is_head
    assert not _call("GET").is_head
