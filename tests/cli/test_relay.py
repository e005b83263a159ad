"""`vitrina relay`, as it is called."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.devstack.engines import free_port

COMMAND = [sys.executable, "-m", "vitrina", "relay"]
NOWHERE = {
    "VITRINA_WRITER_ENDPOINT": "http://127.0.0.1:9",
    "VITRINA_QUEUE_ENDPOINT": "http://127.0.0.1:9",
}


@contextmanager
def running(port: int) -> Iterator[subprocess.Popen[str]]:
    """A relay that says on a port how it is."""
    with subprocess.Popen(
        COMMAND,
        env=os.environ | NOWHERE | {"VITRINA_WORKER_METRICS_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def get(url: str) -> tuple[int, str]:
    """Ask until somebody answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nobody answers")


def test_it_says_how_it_is_and_stops_with_0() -> None:
    """Without a table it waits for one; it is well all the same."""
    port = free_port()
    with running(port) as relay:
        while get(f"http://127.0.0.1:{port}/healthz") != (200, "ok\n"):
            time.sleep(0.1)  # On a busy machine its start may hold the loop up.
        status, text = get(f"http://127.0.0.1:{port}/metrics")
        assert (status, "vitrina_stream_lag_seconds" in text) == (200, True)
        assert get(f"http://127.0.0.1:{port}/")[0] == 404
        relay.send_signal(signal.SIGTERM)
        _, logged = relay.communicate(timeout=30)
    assert relay.returncode == 0
    assert '"event":"stopped"' in logged


def test_a_port_that_is_taken_is_said_in_plain_words() -> None:
    """It ends with 1 and without a traceback."""
    port = free_port()
    with running(port) as first:
        get(f"http://127.0.0.1:{port}/healthz")
        with running(port) as second:
            _, said = second.communicate(timeout=30)
        assert second.returncode == 1
        assert f"Error: cannot listen on 127.0.0.1:{port}: Address already in use" in said
        assert "Traceback" not in said
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 0
