"""`vitrina relay` and `vitrina notifier` as processes."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.devstack.engines import LOOPBACK, free_port
from tests.cli.command import Vitrina, settings

NOWHERE = "http://127.0.0.1:9"


@contextmanager
def running(name: str, port: int, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that reaches neither table nor queue, with its metrics on a port."""
    variables |= settings(NOWHERE, "none")
    variables |= {"VITRINA_QUEUE_ENDPOINT": NOWHERE, "VITRINA_WORKER_METRICS_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "vitrina", name],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def get(url: str) -> tuple[int, str]:
    """Send the request until there is a response."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("no response")


@pytest.mark.parametrize(
    ("name", "metric", "stop"),
    [
        ("relay", "vitrina_stream_lag_seconds", signal.SIGTERM),
        ("notifier", "vitrina_mails_total", signal.SIGINT),
    ],
)
def test_a_worker_waits_for_table_and_queue_and_stops_with_0(
    name: str, metric: str, stop: signal.Signals, tmp_path: Path
) -> None:
    """Both may come up later; until then the worker is healthy."""
    port = free_port()
    mail = {"VITRINA_MAIL_TRANSPORT": "directory", "VITRINA_MAIL_DIRECTORY": str(tmp_path)}
    with running(name, port, **mail) as worker:
        while get(f"http://{LOOPBACK}:{port}/healthz") != (200, "ok\n"):
            time.sleep(0.1)  # On a busy machine the start may block the event loop.
        status, text = get(f"http://{LOOPBACK}:{port}/metrics")
        assert (status, metric in text) == (200, True)
        assert get(f"http://{LOOPBACK}:{port}/")[0] == 404
        worker.send_signal(stop)
        _, logged = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert '"event":"stopped"' in logged


@pytest.mark.parametrize("name", ["relay", "notifier"])
def test_a_metrics_port_in_use_is_reported_in_a_sentence(name: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with running(name, port) as worker:
            _, said = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert said.splitlines()[-1] == f"Error: cannot listen on {LOOPBACK}:{port}: Address already in use"
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VITRINA_MAIL_FROM": "nobody"}, "VITRINA_MAIL_FROM: is not an e-mail address"),
        (
            {"VITRINA_MAIL_TRANSPORT": "directory"},
            "VITRINA_MAIL_DIRECTORY: the mail transport `directory` needs a folder",
        ),
    ],
)
def test_settings_that_prevent_mail_are_refused_at_the_start(variables: dict[str, str], said: str) -> None:
    result = Vitrina(**settings(NOWHERE, "none"))("notifier", **variables)
    assert result.exit_code == 2
    assert said in result.output
