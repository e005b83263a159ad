"""`vitrina api` and `vitrina openapi` as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from click.testing import CliRunner

from vitrina.api.application import ROUTES
from vitrina.api.server import supervisor
from vitrina.cli.api import api, openapi

COMMAND = [sys.executable, "-m", "vitrina", "api", "--port"]
KEYS = {"VITRINA_SIGNING_KEYS": "k:" + "s" * 32, "VITRINA_SECRET_KEY": "t" * 32}


@contextmanager
def _running(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | KEYS | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_says_where_it_is_and_stops_with_0(workers: str) -> None:
    """Without a table the process is healthy but not ready."""
    with _running("0", "--host", "127.0.0.1", "--workers", workers, VITRINA_WRITER_ENDPOINT="http://127.0.0.1:9") as it:
        assert it.stdout is not None
        word, url = it.stdout.readline().split()
        assert word == "ready"
        async with aiohttp.ClientSession(url) as http:
            for path, status in (("/healthz", 200), ("/readyz", 503), ("/openapi.json", 200)):
                async with http.get(path) as response:
                    assert response.status == status
        it.send_signal(signal.SIGTERM)
        assert it.wait(20) == 0


def test_a_refused_configuration_is_said_in_plain_words() -> None:
    """The message names the variable, never its value, and has no traceback."""
    with _running("0", VITRINA_SECRET_KEY="canary") as it:
        printed, said = it.communicate(timeout=20)
    assert it.returncode == 2
    assert printed == ""
    assert "at least 32 bytes" in said
    assert "canary" not in said
    assert "Traceback" not in said
    for name in KEYS:
        with _running("0", **{name: ""}) as it:
            _, said = it.communicate(timeout=20)
        assert (it.returncode, said) == (2, f"Error: invalid settings:\n  {name}: is required\n")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_said_in_plain_words(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _running(str(port), "--workers", workers) as it:
            _, said = it.communicate(timeout=20)
    assert it.returncode == 1
    assert said.splitlines()[-1] == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_workers_that_cannot_start_are_said_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers' logs hold the reason."""

    def fail(*_arguments: object, **_options: object) -> int:
        raise supervisor.WorkerFailed("a worker ended with 1 before it was ready")

    monkeypatch.setattr(supervisor, "serve", fail)
    result = CliRunner().invoke(api, ["--workers", "2"], env=KEYS)
    assert (result.exit_code, result.output) == (1, "Error: a worker ended with 1 before it was ready\n")


def test_a_host_that_does_not_exist_is_said_in_plain_words() -> None:
    with _running("0", "--host", "nowhere.invalid") as it:
        _, said = it.communicate(timeout=20)
    assert it.returncode == 1
    assert said.splitlines()[-1].startswith("Error: cannot listen on nowhere.invalid:0: ")


def test_the_document_can_be_had_without_a_service() -> None:
    """The document has all routes, and the server of the option."""
    result = CliRunner().invoke(openapi, ["--server", "https://api.example"])
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert document["servers"] == [{"url": "https://api.example"}]
    assert {route.template for route in ROUTES} < document["paths"].keys()
