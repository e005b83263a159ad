"""README.md's program that changes 500 prices runs as it stands."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.api.client import PASSWORD, Client, ok, product_body, sign_in
from tests.documents.pages import README, text
from tests.service import drop_table, make_table, serving, settings_for
from vitrina.errors import TableUnavailable

_SECTION: Final = text(README).partition("## Change 500 prices\n")[2].partition("\n## ")[0]
PROGRAM: Final = re.findall(r"^```python\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)[0]
COUNT: Final = 120


async def test_it_changes_the_prices_of_a_file_and_reports_refusals(
    dynamodb_local: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two batches, of which the first is sent again after an outage."""
    settings = settings_for(dynamodb_local)
    await make_table(settings)
    async with serving(settings) as service, aiohttp.ClientSession() as http:
        await service.services.accounts.create_super_admin(email="sol@example.com", password=PASSWORD, name="Sol")
        person = await sign_in(Client(http, service.url), {"email": "sol@example.com"})
        for first in range(0, COUNT, 100):
            operations = [
                {"op": "upsert", **product_body(sku=f"P-{number}")} for number in range(first, min(COUNT, first + 100))
            ]
            ok(await person.post("/v1/products/batch", {"operations": operations}))
        key = ok(await person.post("/v1/auth/keys", {"name": "prices", "scope": "manage"}), 201)["key"]
        rows = [f"p-{number},{number}.50" for number in range(COUNT)] + ["NOBODY,1", "P-0,1e2"]
        (tmp_path / "prices.csv").write_text("\n".join(rows))
        _fail_once(service.services.product_batches, monkeypatch)

        program = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", PROGRAM, cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "VITRINA_URL": service.url, "VITRINA_API_KEY": key},
        )  # fmt: skip
        printed, _ = await asyncio.wait_for(program.communicate(), timeout=60)

        assert program.returncode == 0
        named = [line.partition(":")[0] for line in printed.decode().splitlines()]
        assert [name for name in named if name != "no response"] == ["NOBODY", "P-0"]  # A busy machine may be late.
        for number in (0, 99, 100, COUNT - 1):
            product = ok(await person.get(f"/v1/products/by-sku/P-{number}"))
            assert (product["price"], product["version"]) == (f"{number}.50", 2)
    await drop_table(settings)


def _fail_once(batches: Any, patch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - its method is replaced
    """Let the service do the next batch and lose its response."""
    run = batches.run

    async def lost(*arguments: Any, **options: Any) -> None:  # noqa: ANN401
        patch.setattr(batches, "run", run)
        await run(*arguments, **options)
        raise TableUnavailable

    patch.setattr(batches, "run", lost)
