"""Headless Chromium, driven by its DevTools protocol over a WebSocket."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

_FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
    "--window-size=1100,1400",
)  # fmt: skip
_PATIENCE: Final = 60.0
"""Seconds for the start, for a page, and for what a page should show."""


class MissingBrowserError(Exception):
    """Chromium is not installed."""


class Page:
    """A page of the browser. `errors` are its uncaught exceptions and what its console reports as errors."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._calls = 0

    async def open(self, url: str) -> None:
        """Load a page, without waiting for what its scripts add."""
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of a JavaScript expression, awaited if it is a promise."""
        done = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Wait until the page is loaded and a JavaScript expression is true."""
        async with asyncio.timeout(_PATIENCE):
            while not await self.evaluate(f"document.readyState === 'complete' && Boolean({condition})"):
                await self.evaluate("new Promise((resolve) => setTimeout(resolve, 20))")

    async def click(self, selector: str) -> None:
        """Click the element of a CSS selector once it is there; as with a mouse, the field in use loses the focus."""
        await self.wait_for(_found(selector))
        await self.evaluate(
            f"for (const method of ['focus', 'click']) document.querySelector({json.dumps(selector)})[method]()"
        )

    async def type(self, selector: str, text: str) -> None:
        """Replace the text of a field."""
        await self.wait_for(_found(selector))
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        async with asyncio.timeout(_PATIENCE):
            while (message := await self._socket.receive_json()).get("id") != self._calls:
                self._note(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.errors.append(str(details.get("exception", details)))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")
            case _:
                pass


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Page]:
    """Start Chromium with an empty profile; yields its page. Raises MissingBrowserError."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise MissingBrowserError("chromium is not here (Debian: apt install chromium)")
    process = await asyncio.create_subprocess_exec(
        program, *_FLAGS, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as http:
            port = await _port(profile)
            async with http.get(f"http://127.0.0.1:{port}/json/list") as response:
                [target] = [target for target in await response.json() if target["type"] == "page"]
            async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.kill()
        await process.wait()


async def _port(profile: Path) -> int:
    """Wait for the file in which the browser writes its port."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(_PATIENCE):
        while not (file.exists() and (lines := file.read_text().splitlines())):  # noqa: ASYNC110 - Chromium writes it
            await asyncio.sleep(0.02)
    return int(lines[0])


def _found(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)}) !== null"
