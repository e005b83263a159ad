"""`vitrina notifier`, as it is called."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from scripts.devstack.engines import LOOPBACK, Engine
from tests.cli.command import Vitrina, settings

COMMAND = [sys.executable, "-m", "vitrina", "notifier"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"VITRINA_MAIL_FROM": "nobody"}, "VITRINA_MAIL_FROM: not an e-mail address"),
        ({"VITRINA_MAIL_TRANSPORT": "directory"}, "VITRINA_MAIL_DIRECTORY: say where"),
    ],
)
def test_settings_that_mail_nobody_are_refused_at_the_start(variables: dict[str, str], said: str) -> None:
    """In plain words, with 2."""
    result = Vitrina(**settings("http://127.0.0.1:9", "none"))("notifier", **variables)
    assert result.exit_code == 2
    assert said in result.output


def test_a_port_that_is_taken_is_said_in_plain_words() -> None:
    """That of the metrics."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = os.environ | settings("http://127.0.0.1:9", "none") | {"VITRINA_WORKER_METRICS_PORT": port}
        done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: cannot listen on {LOOPBACK}:{port}: Address already in use"


def test_it_comes_up_without_table_or_queue_and_stops_with_0(tmp_path: Path) -> None:
    """Both may come later; meanwhile it says how it is."""
    variables = settings("http://127.0.0.1:9", "none") | {"VITRINA_QUEUE_ENDPOINT": "http://127.0.0.1:9"}
    variables |= {"VITRINA_MAIL_TRANSPORT": "directory", "VITRINA_MAIL_DIRECTORY": str(tmp_path)}
    notifier = Engine(
        "notifier",
        lambda _: COMMAND,
        environment=lambda port: variables | {"VITRINA_WORKER_METRICS_PORT": str(port)},
        probe="/healthz",
        speaks=True,
    )
    url = notifier.start().wait()
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
            assert "vitrina_mails_total" in response.read().decode()
        notifier.process.send_signal(signal.SIGTERM)
        assert notifier.process.wait(30) == 0
    finally:
        notifier.stop()
