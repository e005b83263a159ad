"""Failures inside aiohttp, which no client can cause on purpose."""

from typing import cast

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from vitrina.api.server.connection import Connection


def test_a_failure_of_aiohttp_is_logged_and_its_details_are_not_returned() -> None:
    request = make_mocked_request("GET", "/")
    request.writer.output_size = 0
    with capture_logs() as lines:
        response = Connection.handle_error(cast(Connection, None), request, 500, ValueError("canary"))
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    assert orjson.loads(response.body)["code"] == "internal_error"
    assert response.headers["Server"] == "vitrina"
    assert [line["event"] for line in lines] == ["connection_failed"]


def test_a_failure_after_the_start_of_a_response_closes_the_connection() -> None:
    request = make_mocked_request("GET", "/")
    request.writer.output_size = 1
    with pytest.raises(ConnectionError):
        Connection.handle_error(cast(Connection, None), request, 500, ValueError())
