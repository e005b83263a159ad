"""A service on the simulated AWS for state machines, and what runs one beside it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture.engine import ConjectureRunner
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.api.client import Client, Person
from tests.api.state_machines.bench import Bench
from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.profile import aws
from tests.aws_simulator.proxy import in_thread, simulate
from tests.service import Service, drop_table, make_table, serving, settings_for

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES") or 0)
"""Runs of each machine: 100 by `scripts/soak`; a few, always the same, without it."""
_A_FEW = 4
_STEPS = 30
_FOR_EVER = 2 * 10**9
"""Seconds that a session is valid: the machines move the clock, and the engine deletes what has expired by its own."""


@pytest.fixture(scope="session")
def endpoint(dynamodb_local: str) -> Iterator[str]:
    """DynamoDB as AWS has it, but without its latency, which would be half of the time of a machine."""
    behaviours = [each for each in aws() if not isinstance(each, (ControlPlane, Latency))]
    with in_thread(simulate(dynamodb_local, behaviours)) as urls:
        yield urls.dynamodb


@pytest.fixture(scope="module")
async def service(endpoint: str, dynamodb_local: str) -> AsyncIterator[Service]:
    """The service, whose clock the machine moves."""
    chosen = settings_for(
        endpoint,
        product_cache_ttl=0,
        access_token_lifetime=_FOR_EVER,
        refresh_token_lifetime=_FOR_EVER,
        login_limit=10_000,
        view_commit_timeout=30,
    )
    await make_table(chosen.model_copy(update={"writer_endpoint": dynamodb_local}))
    async with serving(chosen) as service:
        yield service
    await drop_table(chosen)


@pytest.fixture
async def run(
    service: Service, anonymous: Client, super_admin: Person, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Bench], RuleBasedStateMachine]], None]:
    """Runs a machine, which is made anew for each example, in a thread beside the service.

    Each example is drawn for itself. Otherwise Hypothesis makes five of six by repeating steps of the one before.
    """
    monkeypatch.setattr(ConjectureRunner, "generate_mutations_from", lambda *_: None)
    bench = Bench(asyncio.get_running_loop(), service, anonymous, super_admin)
    chosen = settings(
        max_examples=EXAMPLES or _A_FEW,
        stateful_step_count=_STEPS,
        derandomize=not EXAMPLES,
        phases=[Phase.explicit, Phase.generate],  # To shorten a failing run takes many minutes.
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def run(machine: Callable[[Bench], RuleBasedStateMachine]) -> None:
        make: Any = lambda: machine(bench)  # noqa: E731 - its type says a class, and any factory will do
        run_state_machine_as_test(make, settings=chosen)

    return run
