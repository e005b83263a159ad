"""All behaviours together, in the order in which AWS would apply them."""

import os
import random

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.identity import Identity
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.proxy import Behaviour, Clock
from tests.aws_simulator.staleness import Staleness
from tests.aws_simulator.throughput import Throughput


def aws() -> list[Behaviour]:
    """Return the profile `aws`. AWS_SEED in the environment repeats the dice of an earlier run, which printed it."""
    seed = int(os.environ.get("AWS_SEED") or random.randrange(10**6))
    print(f"AWS_SEED={seed}")  # noqa: T201 - shown when a test fails
    clock, dice = Clock(), random.Random(seed)
    return [
        Identity(clock),
        ControlPlane(clock),
        Concurrency(),
        Latency(clock, dice),
        Throughput(clock),
        Staleness(clock, dice),
    ]
