"""The clock of a process is set by a day while people are at work: nothing is done twice, and nobody is locked out."""

import pytest

from tests.api.client import Client, Person, ok, problem, product_body, sign_in
from tests.service import Service


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_clock_that_is_set_repeats_nothing_and_locks_nobody_out(
    service: Service, anonymous: Client, admin: Person, days: int
) -> None:
    """What expires meanwhile is still in the table, since TTL deletes late, and what was made is in the future."""
    body, key = product_body(), {"Idempotency-Key": f"clock{days}"}
    token = ok(await admin.post("/v1/auth/keys", {"name": "Till", "scope": "manage", "expires_in_days": 30}), 201)
    with service.clock.hold() as clock:
        before = await sign_in(anonymous, admin.account)
        made = ok(await before.post("/v1/products", body, headers=key), 201)
        path = f"/v1/products/{made['id']}"
        clock.go_on(days=days)
        # The token has expired, or is from a future that a forger could have chosen.
        problem(await before.get("/v1/me"), 401, "invalid_token")
        refreshed = await anonymous.post("/v1/auth/refresh", {"refresh_token": before.tokens["refresh_token"]})
        assert refreshed.status == (200 if days > 0 else 401)
        now = await sign_in(anonymous, admin.account)
        again = await now.post("/v1/products", body, headers=key)
        if days > 0:
            assert problem(again, 409, "sku_taken")["holder"]["id"] == made["id"]
        else:
            assert (ok(again, 201), again.headers["Idempotency-Replayed"]) == (made, "true")
        changed = ok(await now.patch(path, {"price": "12.50"}))
        assert (changed["version"], changed["updated_at"] >= made["updated_at"]) == (2, True)
        assert ok(await anonymous.get(path))["price"] == "12.50"
        machine = anonymous.bearing(token["key"])
        assert ok(await machine.patch(path, {"price": "13.00"}))["version"] == 3
        history = ok(await machine.get(f"{path}/history"))["items"]
        assert [entry["version"] for entry in history] == [3, 2, 1]
        times = [entry["at"] for entry in history]
        assert times == sorted(times, reverse=True)
        prices = ok(await anonymous.get(f"{path}/prices"))["items"]
        assert [price["price"] for price in prices] == ["13.00", "12.50", made["price"]]
