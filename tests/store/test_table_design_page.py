"""table_design.md against the source: what it says about keys, items and code, without an engine (R15)."""

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Self

import pytest

from tests.store.design.cells import PAGE, code, links, rows
from tests.store.design.page import ENTITIES, PATTERNS, ROUTES, TRANSACTIONS
from tests.store.design.recorder import GENERAL, ROOT, Code
from vitrina import errors
from vitrina.api.application import ROUTES as API_ROUTES
from vitrina.api.http.problems import TABLE as PROBLEMS
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import Item
from vitrina.store.stream import FILTER
from vitrina.store.table import Table

SOURCE = ROOT / "src/vitrina"
CONTROL_PLANE = frozenset({"schema.py", "definition.py"})
INDEX_KEYS = [cells for _, cells in rows("index key", "value", "function", "on")]
_TYPE: Any = Item.get_attributes()["type"]
CLASSES: dict[str, type[Item]] = {_TYPE.get_discriminator(item): item for item in Item.__subclasses__()}


# Keys


class _Named:
    """An argument of a key function, formatted as its name in angle brackets under any format specification."""

    name: str

    def __format__(self, *_: object) -> str:
        return self.name

    def isoformat(self, *_: object, **__: object) -> str:
        return self.name

    def astimezone(self, *_: object) -> Self:
        return self


class _Int(_Named, int): ...


class _Decimal(_Named, Decimal): ...


class _Date(_Named, date): ...


class _Time(_Named, datetime): ...


def _stand_in(parameter: inspect.Parameter) -> object:
    name = f"<{parameter.name}>"
    made: dict[object, Callable[[], Any]] = {
        int: lambda: _Int(0),
        int | None: lambda: _Int(0),
        Decimal: lambda: _Decimal(0),
        date: lambda: _Date(2026, 1, 1),
        datetime: lambda: _Time(2026, 1, 1),
    }
    if parameter.annotation is str:
        return name
    stand_in = made[parameter.annotation]()
    stand_in.name = name
    return stand_in


def _templates() -> dict[str, str]:
    """Return every key that keys.py makes, by the name of its function or constant, in the page's notation."""
    made: dict[str, Any] = {
        name: value
        for name, value in vars(keys).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str | keys.Key)
    }
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        # These functions parse a key and make none.
        if function.__module__ == keys.__name__ and name not in {"named_change", "day_and_shard", "segment_id"}:
            made[name] = function(*map(_stand_in, inspect.signature(function).parameters.values()))
    del made["TTL_ATTRIBUTE"]
    return {
        name: (" / ".join(value) if isinstance(value, keys.Key) else value).replace("\x1f", "␟")
        for name, value in made.items()
        if isinstance(value, str | keys.Key)
    }


def test_every_key_of_the_code_is_on_the_page_and_the_reverse() -> None:
    """Primary keys in the chart of entities, index keys in their table, range prefixes in the text."""
    stated = {
        name: template for cells in ENTITIES for name, template in zip(code(cells[3]), code(cells[2]), strict=True)
    }
    stated |= {code(cells[2])[0]: code(cells[1])[0] for cells in INDEX_KEYS}
    ranges = PAGE.partition("**Keys that begin a range**")[2].partition("\n\n")[0]
    stated |= {name: template for template, name in re.findall(r"`([^`]+)`\s+\(`(\w+)`\)", ranges)}
    assert stated == _templates()


def test_the_page_has_the_relays_stream_filter() -> None:
    """In the form that the worker evaluates and in that of an event source mapping for Lambda."""
    section = PAGE.partition("## 8. The stream")[2]
    assert json.loads(section.partition("```json\n")[2].partition("```")[0]) == FILTER


def test_keys_of_patterns_match_the_templates() -> None:
    """Each key of a pattern must come from a function of keys.py."""
    known = set(_templates().values())
    for pattern in PATTERNS.values():
        if pattern.operation == "Query":
            for value in re.findall(r"(?:(?<!<)= |, |BETWEEN (?!<time>))([^\s)]+)", pattern.keys[0]):
                assert value in known or value in {part for key in known for part in key.split(" / ")}, pattern.number
        elif pattern.operation not in {"Scan", "TransactWriteItems"}:
            assert set(pattern.keys) <= known, pattern.number
    for steps in TRANSACTIONS.values():
        assert {key for step in steps for key in step.keys} <= known
    for _, cells in rows("key", "where", "a second", "one call takes", "calls a second"):
        assert code(cells[0])[0] in {part for key in known for part in key.split(" / ")}


def test_the_indexes_are_those_of_the_code() -> None:
    """By name and keys."""
    stated = [tuple(code("".join(cells[:3]))) for _, cells in rows("index", "partition key", "sort key", "holds")]
    assert stated == [tuple(index) for index in keys.INDEXES]


def test_limits_and_padding_are_as_stated() -> None:
    """For the longest possible keys: DynamoDB allows 2,048 bytes, and 1,024 for a sort key."""
    item_id = new_id()
    assert len(keys.by_name("ß" * 2_000, item_id).encode()) == 937
    assert len(keys.brand_group("\u1ff7" * 200).encode()) == 1_006
    assert keys.by_price(Decimal(129), "").startswith("000000000129.0000")
    for figure in ("937", "1,006", "`000000000129.0000`"):
        assert figure in PAGE


# Entities


def test_every_class_of_item_is_in_the_chart() -> None:
    stated = {code(cells[0])[0]: links(cells[1]) for cells in ENTITIES}
    assert stated == {kind: [Code(item.__name__, "src/vitrina/store/items.py")] for kind, item in CLASSES.items()}


@pytest.mark.parametrize("cells", ENTITIES, ids=lambda cells: str(cells[0]))
def test_the_attributes_of_an_item_are_those_of_its_class(cells: list[str]) -> None:
    """In the order of the class, with a mark for each optional one."""
    common = Item.get_attributes()
    own = {
        name: attribute for name, attribute in CLASSES[code(cells[0])[0]].get_attributes().items() if name not in common
    }
    stated = re.findall(r"`(\w+)`(\??)", cells[5])
    assert sorted(stated) == sorted((name, "?" if attribute.null else "") for name, attribute in own.items())


def test_every_entity_is_in_the_diagram() -> None:
    diagram = PAGE.partition("erDiagram")[2].partition("```")[0]
    assert set(re.findall(r"\b[A-Z_]{3,}\b", diagram)) == {kind.upper() for kind in CLASSES}


# Code


def test_every_link_to_code_names_an_existing_definition() -> None:
    """The file, and the function or class in it."""
    for link in links(PAGE):
        assert (ROOT / link.file).exists(), link
        if not link.name.endswith(".py"):
            assert link.name in set(_names(ast.parse((ROOT / link.file).read_text()))), link


def test_every_function_that_calls_the_table_has_a_pattern() -> None:
    """Found in the source, so that a request which the scenario never makes also has a row."""
    calling = {
        Code(name, str(file.relative_to(ROOT)))
        for file in SOURCE.rglob("*.py")
        if file.name not in GENERAL | CONTROL_PLANE and "cli" not in file.parts
        for name in _callers(ast.parse(file.read_text()))
    }
    assert calling <= {link for pattern in PATTERNS.values() for link in pattern.links}


def _names(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
            yield from _names(node, f"{prefix}{node.name}.")
        else:
            yield from _names(node, prefix)


def _callers(tree: ast.AST, name: str = "") -> Iterator[str]:
    """Return functions that call a method of a table or pass a table on; inner functions count as their outer one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _callers(node, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside_class = name and name[0].isupper() and "." not in name
            yield from _callers(node, f"{name}.{node.name}" if inside_class else name or node.name)
        else:
            if isinstance(node, ast.Call) and _calls_the_table(node):
                yield name
            yield from _callers(node, name)


def _calls_the_table(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Name(id="table") | ast.Attribute(attr="_table" | "table"), attr=method):
            return inspect.iscoroutinefunction(getattr(Table, method, None))
        case ast.Name(id="page" | "pages" | "every" | "commit"):
            return True
        case _:
            return False


def test_the_control_plane_makes_the_requests_of_its_table() -> None:
    """The source is searched for them."""
    stated = {name for _, cells in rows("command", "calls", "code") for name in code(cells[1])}
    source = "".join((SOURCE / "store" / file).read_text() for file in CONTROL_PLANE)
    assert stated == set(
        re.findall(r"\b(?:create|describe|update)_(?:table|time_to_live|continuous_backups)\b", source)
    )


# The page within itself


def test_every_route_of_the_api_has_a_row() -> None:
    """No row names a missing route."""
    stated = {re.split("[,?]", name)[0] for name in ROUTES if "/v1/" in name}
    assert stated == {f"{route.method} {route.template}" for route in API_ROUTES}


def test_every_pattern_is_called_by_a_row_and_every_transaction_has_its_items() -> None:
    assert {number for route in ROUTES.values() for group in route.groups for number in group} == set(PATTERNS)
    transactions = {number for number, it in PATTERNS.items() if it.operation == "TransactWriteItems"}
    assert transactions == set(TRANSACTIONS)


def test_every_link_within_the_page_has_its_heading() -> None:
    """By GitHub's rules for anchors."""
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
    for number, pattern in PATTERNS.items():
        if pattern.operation == "TransactWriteItems":
            assert f"| {number} | {pattern.what} " in PAGE
            assert f"### {number}: {pattern.what}" in PAGE


def test_errors_have_the_status_and_code_of_the_page() -> None:
    for _, (name, becomes) in rows("error", "becomes"):
        kind = getattr(errors, code(name)[0], None)
        stated = re.findall(r"(\d{3}) `(\w+)`", becomes)
        assert kind is None or (str(PROBLEMS[kind].status.value), PROBLEMS[kind].code) in stated
    named = {code(name)[0] for _, (name, _) in rows("error", "becomes")}
    assert named == {error for steps in TRANSACTIONS.values() for step in steps for error in step.errors}
