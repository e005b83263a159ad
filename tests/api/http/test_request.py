"""The request object of handlers."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from tests.api.small import principal
from vitrina.api.http.problems import InvalidHeader
from vitrina.api.http.request import Request
from vitrina.domain.users import Role
from vitrina.errors import AuthenticationRequired, ValidationFailed


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


def test_two_idempotency_keys_are_refused() -> None:
    """A proxy may add one of its own: which of them names the request is unknown."""
    headers = CIMultiDict([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    with pytest.raises(ValidationFailed):
        _ = Request(make_mocked_request("POST", "/", headers=headers), "r-1").idempotency_key


@pytest.mark.parametrize(
    "host",
    ["a", "api.example", "api.example.", "API_1:8080", "127.0.0.1:80", "[::1]", "[2001:db8::1]:65535", "xn--a-b.c"],
)
def test_a_host_and_port_is_accepted(host: str) -> None:
    Request(make_mocked_request("GET", "/", headers={"Host": host}), "r-1").check_host()


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a/b", "a?b", "a#b", "a,b", "u@a", "<a>", 'a"b', "é.example", "a:", "a:x", "a:65536", ":80",
     "a:80:80", "::1", "[::1", "[::g]", "[fe80::1%25eth0]", "1.2.3", "1.2.3.256", "a..b", ".a", "a" * 64, "a." * 140,
     "a%2eb", 'evil.example>; rel="next", <http://e2'],
)  # fmt: skip
def test_what_is_no_host_and_port_is_an_invalid_header(host: str) -> None:
    """It would become part of links. A name whose last label is a number is no name, as in the URL standard."""
    with pytest.raises(InvalidHeader):
        Request(make_mocked_request("GET", "/", headers={"Host": host}), "r-1").check_host()
