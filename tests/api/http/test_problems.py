"""The error table has a row for every error, so no expected error is a 500 (R14 and api.md, Conventions)."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import orjson
import pytest

import vitrina
from vitrina.api.http.problems import (
    TABLE,
    BadRequest,
    InternalError,
    MalformedJson,
    MethodNotAllowed,
    PayloadTooLarge,
    describe,
    problem,
)
from vitrina.api.openapi.components import sample
from vitrina.errors import (
    AuthenticationRequired,
    FieldError,
    InvalidToken,
    Overloaded,
    RateLimited,
    SkuTaken,
    TableUnavailable,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
    VitrinaError,
)


def _tree(root: type[VitrinaError]) -> Iterator[type[VitrinaError]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


def test_every_error_class_has_one_row_and_one_code() -> None:
    """The test imports all modules, so that it finds every error class."""
    for module in pkgutil.walk_packages(vitrina.__path__, "vitrina."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert {error for error in _tree(VitrinaError) if error.__module__.startswith("vitrina.")} == set(TABLE)
    assert len({row.code for row in TABLE.values()}) == len(TABLE)


@pytest.mark.parametrize("error", TABLE)
def test_a_problem_has_the_members_of_rfc_9457_and_a_readable_detail(error: type[VitrinaError]) -> None:
    """The detail names no requirement and no attribute of the code."""
    members = describe(sample(error), instance="/v1/things/1")
    assert members["type"] == f"urn:vitrina:problem:{members['code']}"
    assert members["instance"] == "/v1/things/1"
    assert members["status"] == TABLE[error].status
    assert members["title"]
    assert members["detail"].endswith(".")
    assert "(R" not in members["detail"]
    assert "retry_after" not in members["detail"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BadRequest(), "its URL or a header has more than 8,190 bytes"),
        (MalformedJson(), "a byte order mark"),
        (MalformedJson(), "a name twice"),
        (AuthenticationRequired(), "an API key"),
        (InvalidToken(), "does not follow `Bearer`"),
        (PayloadTooLarge(), "in several parts"),
    ],
)
def test_a_detail_names_what_programs_often_get_wrong(error: VitrinaError, words: str) -> None:
    """Validators of JSON accept both of these mistakes, and keys of other services are sent without a scheme."""
    assert words in describe(error, instance="/")["detail"]


@pytest.mark.parametrize(
    ("error", "members"),
    [
        (ValidationFailed([FieldError(("a/b",), "is odd")]), {"errors": [{"pointer": "/a~1b", "detail": "is odd"}]}),
        (SkuTaken("p-1"), {"holder": {"id": "p-1", "href": "/v1/products/p-1"}}),
        (VersionMismatch(7), {"current_version": 7}),
    ],
)
def test_some_problems_have_more_members(error: VitrinaError, members: dict[str, object]) -> None:
    """Clients act upon them."""
    body = problem(error, instance="/").body
    assert isinstance(body, bytes)
    assert members.items() <= orjson.loads(body).items()


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (AuthenticationRequired(), {"WWW-Authenticate": 'Bearer realm="vitrina"'}),
        (InvalidToken(), {"WWW-Authenticate": 'Bearer realm="vitrina", error="invalid_token"'}),
        (MethodNotAllowed(("GET", "HEAD")), {"Allow": "GET, HEAD"}),
        (
            RateLimited(retry_after=30, limit=10),
            {"Retry-After": "30", "RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"},
        ),
        (Unavailable(retry_after=3), {"Retry-After": "3"}),
        (TableUnavailable(), {"Retry-After": "1"}),
        (Overloaded(), {"Retry-After": "1"}),
        (InternalError(), {"Cache-Control": "no-store", "Content-Type": "application/problem+json"}),
    ],
)
def test_some_problems_have_headers(error: VitrinaError, headers: dict[str, str]) -> None:
    """RFC 9110 requires `Allow` and `WWW-Authenticate`; `Retry-After` is the time to wait."""
    assert headers.items() <= dict(problem(error, instance="/").headers).items()


@pytest.mark.parametrize("error", TABLE)
def test_what_can_be_tried_again_says_when(error: type[VitrinaError]) -> None:
    """A program that obeys `Retry-After` does what the detail tells people."""
    response = problem(sample(error), instance="/")
    assert ("Retry-After" in response.headers) == bool(re.search("Try again|Wait", TABLE[error].detail))
