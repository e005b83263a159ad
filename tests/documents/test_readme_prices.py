"""README.md's program that changes 500 prices runs as it stands."""

import asyncio
import itertools
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

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
    """In two batches, of which the first is sent again after an outage, and then after half a response."""
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

        async with _cutting_off(service.url, number=2) as url:
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", PROGRAM, cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "VITRINA_URL": url, "VITRINA_API_KEY": key},
            )  # fmt: skip
            printed, _ = await asyncio.wait_for(program.communicate(), timeout=60)

        assert program.returncode == 0
        named = [line.partition(":")[0] for line in printed.decode().splitlines()]
        assert [name for name in named if name != "no response"] == ["NOBODY", "P-0"]  # A busy machine may be late.
        for number in (0, 99, 100, COUNT - 1):
            product = ok(await person.get(f"/v1/products/by-sku/P-{number}"))
            assert (product["price"], product["version"]) == (f"{number}.50", 2)
    await drop_table(settings)


@asynccontextmanager
async def _cutting_off(url: str, *, number: int) -> AsyncIterator[str]:
    """Pass connections on to `url`, each with one request; the response to the one of this number lacks its end."""
    host, numbers = urlsplit(url), itertools.count(1)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = -1 if next(numbers) == number else None
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        server_reader, server_writer = await asyncio.open_connection(host.hostname, host.port)
        server_writer.write(head + await reader.readexactly(int(length[1])))
        writer.write((await server_reader.read())[:cut])
        server_writer.close()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _fail_once(batches: Any, patch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - its method is replaced
    """Let the service do the next batch and lose its response."""
    run = batches.run

    async def lost(*arguments: Any, **options: Any) -> None:  # noqa: ANN401
        patch.setattr(batches, "run", run)
        await run(*arguments, **options)
        raise TableUnavailable

    patch.setattr(batches, "run", lost)
