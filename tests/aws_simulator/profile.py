"""All behaviours together, in the order in which AWS would apply them."""

import os
import random
from collections.abc import Mapping
from typing import Final

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.identity import Identity
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.mail import MailAccount
from tests.aws_simulator.policy import Policies
from tests.aws_simulator.proxy import Behaviour, Clock, Json
from tests.aws_simulator.queues import Queues
from tests.aws_simulator.staleness import Staleness
from tests.aws_simulator.throughput import Throughput

_TABLE: Final = "arn:aws:dynamodb:*:*:table/*"
INSTALLATION: Final[Json] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": [f"dynamodb:{kind}*Item" for kind in ("Get", "Put", "Update", "Delete")],
         "Resource": _TABLE},
        {"Effect": "Allow", "Action": ["dynamodb:ConditionCheckItem", "dynamodb:Batch*", "dynamodb:Scan"],
         "Resource": _TABLE},
        {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": [_TABLE, f"{_TABLE}/index/*"]},
        {"Effect": "Allow", "Resource": _TABLE,
         "Action": ["dynamodb:Describe*", "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:UpdateT*",
                    "dynamodb:UpdateContinuousBackups"]},
        {"Effect": "Allow", "Resource": f"{_TABLE}/stream/*",
         "Action": ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]},
        {"Effect": "Allow", "Action": "sqs:*", "Resource": "arn:aws:sqs:*:*:*.fifo"},
        {"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*",
         "Condition": {"StringLike": {"ses:FromAddress": "*@shop.example"}}},
        {"Effect": "Allow", "Action": "ses:GetAccount", "Resource": "*"},
    ],
}  # fmt: skip
"""What an installation uses, its commands included."""


def aws(policies: Mapping[str, Json] | None = None) -> list[Behaviour]:
    """Return the profile `aws`, with an account of SES that sends for shop.example.

    `policies` are documents by access key. AWS_SEED in the environment repeats the dice of an earlier run, which
    printed it.
    """
    seed = int(os.environ.get("AWS_SEED") or random.randrange(10**6))
    print(f"AWS_SEED={seed}")  # noqa: T201 - shown when a test fails
    clock, dice = Clock(), random.Random(seed)
    return [
        Identity(clock),
        Policies(policies or {"*": INSTALLATION}),
        ControlPlane(clock),
        Concurrency(),
        Latency(clock, dice),
        Throughput(clock),
        Staleness(clock, dice),
        Queues(clock, dice),
        MailAccount(clock, verified=["shop.example"]),
    ]
