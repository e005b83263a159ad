"""The service that the tests of a file share, and the people who use it: those of the tests of the API."""

from tests.api.conftest import (  # noqa: F401 - pytest finds fixtures by their names
    admin,
    anonymous,
    http,
    people,
    service,
    super_admin,
    user,
)
