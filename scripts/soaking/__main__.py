"""The command behind `scripts/soak`: a service of its own under requests of all kinds, and the state machines."""

import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from scripts.devstack import demo
from scripts.devstack.engines import ROOT, Engine
from scripts.soaking.callers import callers, command, environment

_SETTINGS: Final = {
    "VITRINA_BCRYPT_COST": "4",
    # All requests come from one address, and wrong passwords are among them.
    "VITRINA_LOGIN_LIMIT": "1000000",
    "VITRINA_LOGIN_ACCOUNT_LIMIT": "1000000",
    "VITRINA_LOGIN_ADDRESS_LIMIT": "1000000",
}
_GRACE: Final = 40.0
"""Seconds for the service to stop."""


@click.command(epilog="Exit codes: 0 no failure, 1 failures, each with a request that repeats it.")
@click.option("--minutes", type=click.FloatRange(0.5), default=10.0, show_default=True, help="How long to send.")
@click.option("--examples", type=int, default=100, show_default=True, help="Runs of each state machine, 30 steps long.")
@click.option("--seed", type=int, help="Repeats the requests of the run that printed it.  [default: random]")
def soak(minutes: float, examples: int, seed: int | None) -> None:
    """Send valid and invalid requests to a service on DynamoDB Local, by each role and each scope of API keys.

    Each response is compared with the OpenAPI document. In the end the service must have logged no exception, and stop
    cleanly. Then the state machines of `tests/api/state_machines` compare the service with models of it.
    """
    seed = random.randrange(10**6) if seed is None else seed  # noqa: S311 - not a secret
    failed = _send(minutes, seed)
    if examples:
        machines = [sys.executable, "-m", "pytest", "tests/api/state_machines", f"--hypothesis-seed={seed}"]
        machines += ["-p", "no:cacheprovider", "--timeout", "0"]
        variables = os.environ | {"SOAK_EXAMPLES": str(examples)}
        if subprocess.run(machines, cwd=ROOT, env=variables, check=False).returncode:
            failed.append("state machines")
    print(f"\nseed {seed}: " + ("no failure" if not failed else "failures of: " + "; ".join(failed)))
    sys.exit(bool(failed))


def _send(minutes: float, seed: int) -> list[str]:
    """Return who met a failure, and the exceptions that the service has logged."""
    failed: list[str] = []
    with TemporaryDirectory(prefix="vitrina-soak-") as folder:
        log = Path(folder) / "service.log"
        service = Engine("the service", _service, environment=lambda _: _SETTINGS, probe="/readyz", log=log)
        service.start()
        try:
            url = service.wait(timeout=300)
            who = callers(url, password=demo.PASSWORD, **_accounts())
            for caller in who:
                print(f"\n{caller.name}, seed {seed}", flush=True)
                options = ("--seed", str(seed), "--max-time", f"{minutes * 60 / len(who):.0f}")
                done = subprocess.run(command(url, *options), env=environment(url, caller), cwd=folder, check=False)
                if done.returncode:
                    failed.append(caller.name)
        finally:
            service.stop(grace=_GRACE)
        if service.process.returncode:
            failed.append(f"the service ended with {service.process.returncode}")
        failed += [line for line in log.read_text(errors="replace").splitlines() if '"request_failed"' in line]
    return failed


def _service(port: int) -> list[str]:
    return [
        sys.executable, "-m", "scripts.devstack.dev", "--port", str(port), "--engine", "dynamodb-local", "--empty",
    ]  # fmt: skip


def _accounts() -> dict[str, str]:
    """Return an e-mail for each role of the demo."""
    return {role.value: email for email, _, role in demo.ACCOUNTS} | {"super_admin": demo.SUPER_ADMIN[0]}


if __name__ == "__main__":
    soak(prog_name="scripts/soak")
