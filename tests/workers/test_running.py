"""The end of a worker process."""

import os
import signal
import subprocess
import sys

import pytest

WORKER = """
import asyncio, sys
from vitrina.config import Settings
from vitrina.workers.running import pause, run_worker

async def work(settings, stop):
    print("up", flush=True)
    match sys.argv[1]:
        case "stops":
            await pause(stop, 60)
        case "ends":
            await pause(stop, 0.01)
        case "fails":
            raise RuntimeError("unexpected")
        case "hangs":
            await asyncio.sleep(600)

sys.exit(run_worker("test", work, Settings()))
"""


@pytest.mark.parametrize(
    ("manner", "signals", "code", "logged"),
    [
        ("stops", [signal.SIGTERM], 0, "stopped"),
        ("stops", [signal.SIGINT], 0, "stopped"),
        ("ends", [], 0, "stopped"),
        ("fails", [], 1, "worker_failed"),
        ("hangs", [signal.SIGTERM], 1, "shutdown_timed_out"),
    ],
)
def test_the_exit_code_and_the_log_show_how_a_worker_ended(
    manner: str, signals: list[signal.Signals], code: int, logged: str
) -> None:
    ended, said = _run(manner, *signals, patience="1")
    assert (ended, f'"event":"{logged}"' in said) == (code, True), said


def test_a_second_signal_ends_a_worker_at_once() -> None:
    ended, said = _run("hangs", signal.SIGTERM, signal.SIGTERM, patience="600")
    assert (ended, "shutdown_timed_out" in said) == (1, False)


def _run(manner: str, *signals: signal.Signals, patience: str) -> tuple[int, str]:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, manner],
        env=os.environ | {"VITRINA_SHUTDOWN_TIMEOUT": patience},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "up\n"
        said = ""
        for number in signals:
            process.send_signal(number)
            # Two pending signals of one kind are delivered as one.
            while len(signals) > 1 and '"event":"stopping"' not in said:
                said += process.stderr.readline()
        said += process.stderr.read()
        return process.wait(60), said
