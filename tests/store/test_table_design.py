"""table_design.md against the running service: each pattern, route and transaction is run and measured (R15).

Units are those that DynamoDB Local reports for each request; for transactions they are computed from DynamoDB's rules.
test_table_design_page.py and test_table_design_sums.py check what needs no engine.
"""

import json
from typing import Any

import pytest

from tests.service import make_table, settings_for
from tests.store.design.capacity import item_size, write_units
from tests.store.design.cells import NOT_REPORTED, PAGE, code, costs, fits, numbers, rows
from tests.store.design.harness import ROWS
from tests.store.design.page import ENTITIES, PATTERNS, ROUTES, TRANSACTIONS, Step as StepOfPage, pattern_of, steps_of
from tests.store.design.recorder import Call, Written, depth, written
from tests.store.design.run import Measured, measure
from vitrina import aws
from vitrina.errors import VitrinaError
from vitrina.store import keys
from vitrina.store.items import IdempotencyItem, Item, RawItem
from vitrina.store.operations import Put, Step

pytestmark = [pytest.mark.requires_dynamodb_local("capacity units"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
async def measured(dynamodb_local: str) -> Measured:
    """The measurements of one run of the whole scenario."""
    return await measure(dynamodb_local)


def test_each_row_of_the_page_is_run_and_each_run_has_a_row() -> None:
    assert set(ROWS) == set(ROUTES)


def test_each_request_matches_one_pattern(measured: Measured) -> None:
    """Every request that the code makes is on the page, once."""
    assert "" not in measured.patterns, measured.patterns[""]
    assert set(measured.patterns) == set(PATTERNS)


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_makes_the_requests_of_its_row(measured: Measured, name: str) -> None:
    """Which ones, how many, in which order or concurrently, and at what cost."""
    route, calls = ROUTES[name], measured.calls[name]
    patterns = [pattern_of(call) for call in calls]
    if not route.ordered:
        assert set(patterns) == set(route.groups[0])
        return
    for group in route.groups:
        begun, patterns = patterns[: group.total()], patterns[group.total() :]
        assert sorted(begun) == sorted(group.elements())
    assert patterns == []
    assert (len(calls), depth(calls)) == (int(route.calls), int(route.steps))
    assert sum(call.units for call in calls if call.is_read) == float(route.read_units)
    if any(call.cancelled for call in calls):
        assert route.write_units == NOT_REPORTED
    else:
        assert sum(call.units for call in calls if not call.is_read) == float(route.write_units)


@pytest.mark.parametrize("number", PATTERNS)
def test_a_pattern_costs_what_its_row_says(measured: Measured, number: str) -> None:
    """In every measurement, of which there is at least one; consistent reads go to the writer."""
    row = PATTERNS[number]
    calls = measured.patterns[number]
    consistent = row.place == "writer" and row.index is None  # An index is never consistent.
    assert all(call.consistent is consistent for call in calls if call.is_read)
    done = [call for call in calls if not call.cancelled]
    units, counts = [call.units for call in done], [call.count for call in done]
    cell, other = (row.read_units, row.write_units) if calls[0].is_read else (row.write_units, row.read_units)
    assert other == NOT_REPORTED
    assert costs(cell, units, counts), (units, counts)


@pytest.mark.parametrize("number", TRANSACTIONS)
def test_a_transaction_has_the_items_of_its_table(measured: Measured, number: str) -> None:
    """Each row, key and condition occurs at least once, and the costs are those of the page."""
    seen: dict[StepOfPage, list[Written]] = {step: [] for step in TRANSACTIONS[number]}
    for call in measured.patterns[number]:
        if not call.cancelled:
            for step, write in zip(steps_of(number, call.writes) or (), call.writes, strict=True):
                seen[step].append(write)
    for step, writes in seen.items():
        assert all(any(fits(key, write.key) for write in writes) for key in step.keys), step
        conditions = [write.condition for write in writes if write.condition is not None]
        assert all(any(fits(wanted, condition) for condition in conditions) for wanted in step.conditions), step
        table, _, indexes = step.units.partition(" + ")
        assert costs(table, [write.units.table for write in writes]), writes
        assert costs(indexes or "0", [write.units.indexes for write in writes]), writes


@pytest.mark.parametrize("number", [number for number, steps in TRANSACTIONS.items() if any(it.errors for it in steps)])
def test_a_failed_condition_becomes_the_error_of_its_row(measured: Measured, number: str) -> None:
    """Whether an item exists or not."""
    unseen = set(TRANSACTIONS[number])
    for steps in measured.committed:
        found = steps_of(number, [written(step.write.kind, step.write.arguments()) for step in steps])
        for step, row in zip(steps, found or (), strict=found is not None):
            assert row.errors == _errors(step)
            unseen.discard(row)
    assert not unseen


@pytest.mark.parametrize(("item", "size"), [cells for _, cells in rows("item", "bytes, about")])
def test_the_sample_is_as_large_as_the_page_says(measured: Measured, item: str, size: str) -> None:
    """Each item size, smallest and largest, within five per cent."""
    (kind,) = code(item)
    sizes = sorted(item_size(raw) for raw in measured.sample[kind])
    least, _, most = size.partition(" to ")
    assert (sizes[0], sizes[-1]) == pytest.approx((int(least), int(most or least)), rel=0.05)


@pytest.mark.parametrize("cells", ENTITIES, ids=lambda cells: str(cells[0]))
def test_an_entity_is_written_as_the_chart_says(measured: Measured, cells: list[str]) -> None:
    """Its patterns, keys and indexes; each key and attribute occurs at least once, except those of traced changes."""
    (kind,), templates = code(cells[0]), code(cells[2])
    images = measured.images(kind)
    attributes = {name for image in images for name in image}
    written = {f"{image['pk']['S']} / {image['sk']['S']}" for image in images}
    assert {key for template in templates for key in written if fits(template, key)} == written
    assert all(any(fits(template, key) for key in written) for template in templates)
    assert set(code(cells[4])) == attributes & {
        name for index in keys.INDEXES for name in (index.partition, index.sort)
    }
    assert set(code(cells[5])) - {"traceparent"} <= attributes
    assert ("expires_at" in attributes) == (cells[7] != NOT_REPORTED)
    writing = {
        number
        for number, calls in measured.patterns.items()
        if any(_touches(call, template) for call in calls for template in templates)
    }
    assert numbers(cells[6]) == writing


def test_each_stream_record_is_in_the_table_of_records(measured: Measured) -> None:
    """Each kind of record of each entity."""
    seen: dict[str, set[str]] = {}
    for record in measured.records:
        image = record["dynamodb"].get("NewImage") or record["dynamodb"]["OldImage"]
        seen.setdefault(image["type"]["S"], set()).add(record["eventName"])
    seen["super_admins"].discard("REMOVE")  # Deleted only by the scenario, for the check to repair.
    assert seen == {code(cells[0])[0]: set(code(cells[1])) for _, cells in rows("type", "records")}


def test_the_event_filter_passes_only_price_changes(measured: Measured) -> None:
    """Each once, identified by product and version."""
    pattern = json.loads(PAGE.partition("```json")[2].partition("```")[0])
    passed = [record["dynamodb"]["NewImage"] for record in measured.records if _passes(pattern, record)]
    moved = [image for image in measured.images("change") if "old_price" in image]
    assert passed == moved
    assert len({(image["product_id"]["S"], image["version"]["N"]) for image in passed}) == len(passed) > 0
    assert all(image["old_price"] != image["price"] for image in passed)


async def test_the_capacity_rules_match_the_engine(dynamodb_local: str) -> None:
    """For single writes, which DynamoDB Local counts right: sizes to the byte, and copies in the indexes."""
    settings = settings_for(dynamodb_local)
    await make_table(settings)
    key = {"pk": {"S": "ä"}, "sk": {"S": "b"}}
    listed = {name: {"S": "l"} for name in ("listing", "listing_group", "by_time", "by_name", "by_price")}
    values = {"n": {"N": "1234.56"}, "z": {"N": "0"}, "k": {"N": "120000"}, "t": {"BOOL": True}, "d": {"B": b"123"}}
    filled = {"f": {"S": "x" * (1024 - item_size(key | values) - 1)}}
    history: list[RawItem | None] = [
        key | values | filled,
        key | values | filled | {"f": {"S": filled["f"]["S"] + "x"}},
        key | listed,
        key | listed,
        key | listed | {"x": {"S": "1"}},
        key | listed | {"x": {"S": "2"}, "by_name": {"S": "m"}},
        key | listed | {"x": {"S": "3"}, "listing_group": {"S": "m"}},
        key | {"listing": {"S": "d"}, "by_time": {"S": "d"}},
        key | listed | {"x": {"S": "x" * 3000}},
        None,
    ]
    before: RawItem | None = None
    assert item_size(key | values | filled) == 1024
    async with aws.connect(settings) as clients:
        for after in history:
            if after is None:
                answer: Any = await clients.writer.delete_item(
                    TableName=settings.table_name, Key=key, ReturnConsumedCapacity="TOTAL"
                )
            else:
                answer = await clients.writer.put_item(
                    TableName=settings.table_name, Item=after, ReturnConsumedCapacity="TOTAL"
                )
            assert answer["ConsumedCapacity"]["CapacityUnits"] == sum(write_units(before, after, transaction=False))
            before = after


def _errors(step: Step) -> set[str]:
    """Return the names of the errors that a step's failed condition becomes, for each possible existing item."""
    if step.write.condition is None:
        return set()
    there: list[Item | None] = [step.write.item if isinstance(step.write, Put) else Item()]
    if "attribute_not_exists (pk)" not in str(written(step.write.kind, step.write.arguments()).condition):
        there.append(None)
    if isinstance(there[0], IdempotencyItem):
        there.append(IdempotencyItem(body_fingerprint="of another body"))
    found: set[str] = set()
    for item in there:
        try:
            error: Exception = step.otherwise(item)
        except VitrinaError as raised:
            error = raised
        found.add(type(error).__name__)
    return found


def _touches(call: Call, key: str) -> bool:
    """Say whether a request writes an item whose key matches a template, or tried to."""
    if call.operation == "TransactWriteItems":
        return any(fits(key, write.key) for write in call.writes if write.kind != "ConditionCheck")
    return not call.is_read and any(fits(key, text) for text in call.keys)


def _passes(pattern: Any, part: Any) -> bool:  # noqa: ANN401 - JSON
    """Say whether a record passes a Lambda event filter of exact values and `exists`."""
    if isinstance(pattern, dict):
        return all(
            _passes(inner, part.get(name) if isinstance(part, dict) else None) for name, inner in pattern.items()
        )
    return any(part is not None if wanted == {"exists": True} else part == wanted for wanted in pattern)
