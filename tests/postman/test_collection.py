"""The Postman collection has every operation, the committed file is current, and newman passes on it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.devstack import demo
from scripts.postman.collection import collection
from scripts.postman.generate import postman
from scripts.postman.step import Chapter, Step
from scripts.postman.story import STORY
from tests.api.small import ROUTES as SMALL_ROUTES
from tests.npm import CannotRunError
from tests.postman.newman import COLLECTION, newman
from tests.service import Service, drop_table, make_table, serving, settings_for
from vitrina.bootstrap import Services
from vitrina.cli.api import declared_routes
from vitrina.clock import now
from vitrina.domain.notices import Notice, PriceChanged
from vitrina.ids import new_id
from vitrina.store.inbox import InboxStore
from vitrina.store.users import UserStore

STEPS = [step for chapter in STORY for step in chapter.steps]


@dataclass(frozen=True, slots=True)
class Run:
    """newman's report of a run."""

    exit_code: int
    report: dict[str, Any]

    @property
    def failures(self) -> list[str]:
        """The failed assertions and requests."""
        return [
            f"{failure['source'].get('name')}: {failure['error'].get('test')}: {failure['error']['message']}"
            for failure in self.report["failures"]
        ]

    @property
    def answered(self) -> list[str]:
        """The names of the requests with a response, in order."""
        return [execution["item"]["name"] for execution in self.report["executions"] if "response" in execution]


@pytest.fixture(scope="module")
def runner() -> list[str]:
    """The command that runs newman."""
    try:
        return newman()
    except CannotRunError as error:
        pytest.skip(f"only newman can prove that the collection runs: {error}")


@pytest.fixture(scope="module")
async def service(engine: str) -> AsyncIterator[Service]:
    """The service with the demo's accounts and an empty catalogue."""
    settings = settings_for(engine)
    await make_table(settings)
    await demo.make(settings, catalogue=False)
    async with serving(settings) as service:
        yield service
    await drop_table(settings)


def requests_of(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the requests of a collection, in order."""
    for folder in made["item"]:
        yield from folder["item"]


def printed(*options: str) -> str:
    """The generator's output."""
    done = CliRunner().invoke(postman, options)
    assert done.exit_code == 0, done.output
    return done.stdout


def made_of(*steps: Step) -> dict[str, Any]:
    """A collection of one chapter over the routes of the example application."""
    return collection(SMALL_ROUTES, [Chapter("widgets", "all", steps)], variables={})


def test_the_committed_collection_is_what_the_code_makes() -> None:
    """To update it: `python -m scripts.postman.generate > scripts/postman/vitrina.postman_collection.json`."""
    assert COLLECTION.read_text() == printed()


def test_every_documented_operation_is_in_it_under_its_tag() -> None:
    """A new route fails this test until story.py has an example of it."""
    documented = {route.operation_id: route for route in declared_routes() if route.documented}
    told = {(step.operation, chapter.tag) for chapter in STORY for step in chapter.steps if not step.code}
    assert told >= {(operation, route.tags[0]) for operation, route in documented.items()}
    for chapter in STORY:
        assert {documented[step.operation].tags[0] for step in chapter.steps} == {chapter.tag}


def test_it_has_the_refusals_that_clients_meet_first() -> None:
    """Also a 304, a condition that holds and a replayed response."""
    assert {step.code for step in STEPS} >= {
        "authentication_required", "forbidden", "not_found", "sku_taken", "version_mismatch", "validation_failed",
    }  # fmt: skip
    assert any(step.not_modified for step in STEPS)
    assert any(step.headers.get("If-Match") == "{{etag}}" and not step.code for step in STEPS)


def test_ids_are_stable_and_names_unique() -> None:
    """Postman updates an imported collection by ids, and reports name requests."""
    made = json.loads(printed())
    ids = [item["id"] for item in requests_of(made)] + [folder["id"] for folder in made["item"]]
    assert len(set(ids)) == len(ids)
    assert len({step.name for step in STEPS}) == len(STEPS)


def test_every_variable_that_is_used_is_declared() -> None:
    """Postman lists declared variables; their values are the demo's."""
    made = json.loads(printed("--base-url", "https://shop.example"))
    variables = {variable["key"]: variable["value"] for variable in made["variable"]}
    assert variables["base_url"] == "https://shop.example"
    assert variables["password"] == demo.PASSWORD
    used = {part.partition("}}")[0] for part in json.dumps(made["item"]).split("{{")[1:]}
    assert used <= variables.keys()


def test_a_request_is_what_its_route_declares() -> None:
    """Path, parameters, the strictest media type of a body, and the caller's token."""
    step = Step(name="Change", operation="PATCH /v1/widgets/{id}", caller="admin", path={"id": "7"}, body={"name": "é"})
    (item,) = requests_of(made_of(step))
    assert item["request"]["method"] == "PATCH"
    assert item["request"]["header"] == [{"key": "Content-Type", "value": "application/merge-patch+json"}]
    assert item["request"]["body"]["raw"] == '{\n  "name": "é"\n}'
    assert item["request"]["auth"]["bearer"][0]["value"] == "{{admin_token}}"
    assert item["request"]["url"]["path"] == ["v1", "widgets", ":id"]
    assert item["request"]["url"]["variable"][0]["value"] == "7"


def test_an_answer_of_several_forms_is_the_first_unless_the_story_says() -> None:
    step = Step(name="Stream", operation="GET /v1/stream")
    csv = Step(name="Stream a table", operation="GET /v1/stream", media_type="text/csv")
    scripts = ["\n".join(item["event"][-1]["script"]["exec"]) for item in requests_of(made_of(step, csv))]
    assert ["text/plain" in script for script in scripts] == [True, False]
    assert ["text/csv" in script for script in scripts] == [False, True]


@pytest.mark.parametrize(
    "step", [Step(name="A", operation="none"), Step(name="B", operation="GET /v1/fail", code="conflict")]
)
def test_what_no_route_declares_cannot_be_told(step: Step) -> None:
    with pytest.raises(KeyError):
        made_of(step)


async def notify(services: Services) -> None:
    """Put a notice into the inbox of the admin who reads it in the story."""
    email, _, _ = demo.ACCOUNTS[1]
    reader = await UserStore(services.table).by_email(email)
    assert reader is not None
    change = PriceChanged(
        product_id=new_id(), version=2, sku="LAMP-1", name="Oak Lamp", old_price="19.99", old_currency="USD",
        price="17.99", currency="USD", changed_at=now(), changed_by=new_id(), request_id="request",
    )  # fmt: skip
    notice = Notice(user_id=reader.id, change=change, changed_by_name="Ana Admin")
    assert await InboxStore(services.table, retention_days=1).add(notice, due_at=None, digest=False)


async def run(runner: list[str], url: str, report: Path) -> Run:
    """Run the collection and return newman's report."""
    process = await asyncio.create_subprocess_exec(
        *runner, "run", str(COLLECTION), "--env-var", f"base_url={url}",
        "--timeout-request", "30000", "--timeout", "240000",
        "--reporters", "json", "--reporter-json-export", str(report),
    )  # fmt: skip
    try:
        exit_code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    return Run(exit_code, json.loads(await asyncio.to_thread(report.read_text))["run"])


@pytest.mark.timeout(600)  # an engine's start and two runs, each with a bound of its own
async def test_it_runs_from_top_to_bottom_and_again(service: Service, runner: list[str], tmp_path: Path) -> None:
    """Two runs on one table: every request is sent and gets the expected response; names do not clash."""
    for number in (1, 2):
        await notify(service.services)
        done = await run(runner, service.url, tmp_path / f"report-{number}.json")
        assert (done.exit_code, done.failures) == (0, [])
        assert done.answered == [step.name for step in STEPS]
