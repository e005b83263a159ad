"""README's table of costs is computed from the units of table_design.md, from the template, and from prices."""

import re
from typing import Final

from tests.deploy.test_alarms import ALARMS
from tests.deploy.test_template import RESOURCES, properties
from tests.documents.pages import README, text
from vitrina.emf import COUNTS

START, END = "<!-- costs: computed by tests/documents/test_readme_costs.py -->", "<!-- end of costs -->"
HOURS: Final = 720
"""A month of 30 days."""
PRICES: Final = {  # dollars, in us-east-1, without the free tier
    # table_design.md, section 9, has these, with their sources.
    "read units, million": 0.125, "write units, million": 0.625, "logs, GB": 0.53, "SQS, million": 0.50,
    "mails, 1,000": 0.10,
    # Believed, November 2026, by AWS's public prices.
    "vCPU, hour": 0.04048, "memory, GB hour": 0.004445, "balancer, hour": 0.0225, "IPv4 address, hour": 0.005,
    "secret, month": 0.40, "alarm, month": 0.10, "dashboard, month": 3.00, "own metric, month": 0.30,
    "HTTP API, million": 1.00, "invocations, million": 0.20, "function, GB second": 0.0000166667,
    "traces, million": 5.00,
}  # fmt: skip
LINE_GB: Final = 266e-9
"""The log line of an anonymous read (table_design.md, section 9)."""
TRACED: Final = 0.05
"""The share of invocations that X-Ray samples by default."""
FUNCTION_SECONDS: Final = 0.02
"""For a request, with its call to DynamoDB: believed, since `scripts/bench lambda` has no DynamoDB of AWS."""
SENT: Final = 3
"""Requests to SQS for a change: a send, a receive and a deletion, if changes come one by one."""


def units(name: str) -> tuple[float, float]:
    """Return the read and write units of a row of table_design.md."""
    row = re.search(rf"^\| {re.escape(name)} \| ([\d.]+) \| ([\d.]+) \|", text("table_design.md"), re.MULTILINE)
    assert row, name
    return float(row[1]), float(row[2])


def view_units(views: int) -> float:
    """Return the write units of a view in a flush of many of one product."""
    row = re.search(rf"^\| {views} \| \d+ \| ([\d.]+) \|", text("table_design.md"), re.MULTILINE)
    assert row
    return float(row[1])


def table(read: float, write: float, millions: float) -> float:
    """Return the dollars of calls to DynamoDB."""
    return millions * (read * PRICES["read units, million"] + write * PRICES["write units, million"])


def function(millions: float) -> float:
    """Return the dollars of requests to the API as a function."""
    requests = PRICES["HTTP API, million"] + PRICES["invocations, million"] + TRACED * PRICES["traces, million"]
    return millions * (requests + 1e6 * FUNCTION_SECONDS * PRICES["function, GB second"])


def idle(api: str) -> float:
    """Return the dollars of a month without requests: what is there, and the functions that are called each minute."""
    conditions = {"fargate": {"OnFargate", "IsProduction"}, "lambda": {"OnLambda", "IsProduction"}}[api]
    alarms = [name for name in ALARMS if RESOURCES[name].get("Condition") in {None, *conditions}]
    of_each_index = [
        name for name in alarms if "Metrics" in ALARMS[name]
    ]  # A query costs by the metrics that it reads.
    analysed = (
        len(alarms) - len(of_each_index) + len(of_each_index) * len(properties("Table")["GlobalSecondaryIndexes"])
    )
    kinds = [it["Type"] for it in RESOURCES.values()]
    cost = analysed * PRICES["alarm, month"] + len(COUNTS) * PRICES["own metric, month"]
    cost += kinds.count("AWS::SecretsManager::Secret") * PRICES["secret, month"]
    cost += kinds.count("AWS::CloudWatch::Dashboard") * PRICES["dashboard, month"]
    minutes = HOURS * 60
    cost += minutes * FUNCTION_SECONDS * PRICES["function, GB second"] + minutes / 1e6 * PRICES["invocations, million"]
    if api == "fargate":
        tasks, task = properties("Scaling")["MinCapacity"], properties("Task")
        cost += tasks * HOURS * int(task["Cpu"]) / 1024 * PRICES["vCPU, hour"]
        cost += tasks * HOURS * int(task["Memory"]) / 1024 * PRICES["memory, GB hour"]
        cost += HOURS * (PRICES["balancer, hour"] + (tasks + 2) * PRICES["IPv4 address, hour"])
    return cost


def costs_table() -> str:
    """Return the table as README has it."""
    price = units("`PATCH /v1/products/{product_id}`, the price")
    read = units("`GET /v1/products/{product_id}`, anonymous, not cached")
    logged = 1e6 * LINE_GB * PRICES["logs, GB"]
    changes = table(*price, 0.01) + 0.01 * SENT * PRICES["SQS, million"]
    rows = {
        "a month without requests": (idle("fargate"), idle("lambda")),
        "1,000,000 anonymous reads, each stored as a view": (
            table(0, view_units(32), 1) + logged,
            table(read[0], view_units(1), 1) + logged + function(1),
        ),
        "10,000 changes of a price, with their notices in the queue": (changes, changes + function(0.01)),
        "1,000 mails": (PRICES["mails, 1,000"], PRICES["mails, 1,000"]),
    }
    lines = ["| what | API on Fargate | API on Lambda |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {what} | `${a:.2f}` | `${b:.2f}` |" for what, (a, b) in rows.items())])


def test_the_costs_are_those_of_the_units_and_of_the_template() -> None:
    write, read = PRICES["write units, million"], PRICES["read units, million"]
    assert f"`${write}` a million write units, `${read}` a million read units" in " ".join(
        text("table_design.md").split()
    )
    written = text(README).partition(START)[2].partition(END)[0].strip()
    assert written == costs_table()
