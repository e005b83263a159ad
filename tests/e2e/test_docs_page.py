"""`/docs` of the demo in a browser: examples work as they stand, and a sign-in survives a reload."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from scripts.devstack import demo
from scripts.devstack.dev import create_demo
from tests.e2e.browser import MissingBrowserError, Page, chromium
from tests.service import drop_table, make_table, settings_for

pytestmark = pytest.mark.engine("moto")
_SIGNED_IN = ".btn.authorize.locked"


@pytest.fixture(scope="module")
async def url(engine: str) -> AsyncIterator[str]:
    """The demo without a catalogue. Its document names another host than the one that the page is opened on."""
    settings = settings_for(engine, public_url="http://api.example")
    await make_table(settings)
    await demo.make(settings, catalogue=False)
    async with TestServer(create_demo(settings)) as server:
        yield str(server.make_url("")).rstrip("/")
    await drop_table(settings)


@pytest.fixture(scope="module")
async def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """`/docs` in a browser without any history."""
    try:
        async with chromium(tmp_path_factory.mktemp("profile")) as page:
            await page.open(f"{url}/docs")
            yield page
    except MissingBrowserError as error:
        pytest.skip(f"only a browser can prove that the page works: {error}")


async def show(page: Page, operation: str) -> str:
    """Unfold an operation and return its selector."""
    block = f"[id$='-{operation}']"
    await page.click(f"{block} .opblock-summary-control")
    await page.wait_for(f"document.querySelector({json.dumps(f'{block} .execute')}) !== null")
    return block


async def execute(page: Page, block: str) -> tuple[str, Any]:
    """Send the request of an operation; return the status and the JSON that the page shows."""
    clear = f"{block} .btn-clear"
    if await page.evaluate(f"document.querySelector({json.dumps(clear)}) !== null"):
        await page.click(clear)
    await page.click(f"{block} .execute")
    shown = f"document.querySelector({json.dumps(f'{block} .live-responses-table .response')})"
    await page.wait_for(f"{shown}?.querySelector('.highlight-code')")
    status = await page.evaluate(f"{shown}.querySelector('.response-col_status').innerText")
    body = await page.evaluate(f"{shown}.querySelector('.highlight-code code').innerText")
    return status.split()[0], json.loads(body)


async def test_padlocks_tell_protected_operations_from_public_ones(page: Page) -> None:
    """An open padlock asks to sign in. A closed one is satisfied, as where a token is optional."""
    await page.wait_for("document.querySelector('[id$=-createProduct]')")
    locks = {
        operation: await page.evaluate(f"document.querySelector('[id$=-{operation}] .authorization__btn')?.ariaLabel")
        for operation in ("healthz", "issueToken", "readProductBySku", "listUsers")
    }
    assert locks == {
        "healthz": None,
        "issueToken": None,
        "readProductBySku": "authorization button locked",
        "listUsers": "authorization button unlocked",
    }


async def test_a_visitor_signs_in_creates_changes_and_meets_a_412(url: str, page: Page) -> None:
    await page.click(".btn.authorize")
    await page.type("#oauth_username", "super@example.com")
    await page.type("#oauth_password", demo.PASSWORD)
    await page.click(".modal-ux .authorize")
    await page.wait_for("document.querySelector('.modal-ux').innerText.includes('Logout')")
    await page.click(".modal-ux .close-modal")

    status, product = await execute(page, await show(page, "createProduct"))
    assert (status, product["sku"], product["version"]) == ("201", "LAMP-01", 1)
    change = await show(page, "changeProduct")
    await page.type(f"{change} [data-param-name=product_id] input", product["id"])
    await page.type(f"{change} [data-param-name=If-Match] input", '"1"')
    status, changed = await execute(page, change)
    assert (status, changed["price"], changed["version"]) == ("200", "17.99", 2)
    status, problem = await execute(page, change)
    assert (status, problem["code"], problem["current_version"]) == ("412", "version_mismatch", 2)

    await page.open(f"{url}/docs")
    await page.wait_for(f"document.querySelector('{_SIGNED_IN}')")
    status, account = await execute(page, await show(page, "readOwnAccount"))
    assert (status, account["email"]) == ("200", "super@example.com")
    kept = await page.evaluate("JSON.stringify(localStorage)")
    assert "access_token" in kept
    assert "refresh_token" not in kept
    assert demo.PASSWORD not in kept
    assert all("412" in error for error in page.errors), page.errors
