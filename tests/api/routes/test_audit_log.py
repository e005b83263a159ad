"""The log names the accounts and API keys of whoever acts and of the target, by ids alone (runbook, "Audit events")."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.api.client import PASSWORD, Client, Person, fresh_email, ok, problem, sign_in

pytestmark = pytest.mark.engine("moto")


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """The lines that are logged meanwhile."""
    with capture_logs() as captured:
        yield captured


def told(lines: list[MutableMapping[str, Any]], event: str) -> list[dict[str, Any]]:
    """Return the fields of the lines of an event."""
    return [{name: value for name, value in line.items() if name not in {"event", "log_level", "timestamp"}}
            for line in lines if line["event"] == event]  # fmt: skip


async def test_each_act_names_actor_and_target(
    anonymous: Client, super_admin: Person, lines: list[MutableMapping[str, Any]]
) -> None:
    """Never an address, a password or a token."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Ana Audited", "role": "admin"}
    made = ok(await super_admin.post("/v1/users", account), 201)
    path, ids = f"/v1/users/{made['id']}", {"actor_id": super_admin.id, "account_id": made["id"]}
    problem(
        await anonymous.post("/v1/auth/login", {"email": made["email"], "password": "x"}), 401, "invalid_credentials"
    )
    problem(
        await anonymous.post("/v1/auth/login", {"email": fresh_email(), "password": "x"}), 401, "invalid_credentials"
    )
    person = await sign_in(anonymous, made)
    key = ok(await person.post("/v1/auth/keys", {"name": "Till", "scope": "read"}), 201)
    ok(await person.delete(f"/v1/auth/keys/{key['id']}"), 204)
    ok(await super_admin.patch(path, {"name": "Ana Other", "role": "user"}))
    ok(await super_admin.delete(path), 204)
    by_owner = {"actor_id": made["id"], "key_id": key["id"]}
    assert told(lines, "account_created") == [ids | {"role": "admin"}]
    assert told(lines, "sign_in_refused") == [{"account_id": made["id"]}, {"account_id": None}]
    assert told(lines, "signed_in") == [{"account_id": made["id"], "session_id": person.tokens["session_id"]}]
    assert told(lines, "api_key_created") == [by_owner | {"scope": "read"}]
    assert told(lines, "api_key_deleted") == [by_owner]
    assert told(lines, "account_changed") == [ids | {"fields": ["name", "role"]}]
    assert told(lines, "account_deleted") == [ids]
    for secret in (made["email"], PASSWORD, person.token, key["key"]):
        assert str(secret) not in str(lines)
