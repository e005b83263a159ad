"""docker-compose.yml, the Dockerfile and the workflow are valid and agree with the code; no Docker runs here."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from vitrina.__main__ import main
from vitrina.cli.queue import queue
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.mail.message import sender_address

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "scripts/deploy/Dockerfile").read_text()
VARIABLES = {f"VITRINA_{name.upper()}" for name in Settings.model_fields}


def load(path: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the content of a YAML file of the project."""
    return yaml.safe_load((ROOT / path).read_text())


COMPOSE: dict[str, Any] = load("docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def by_default(value: str) -> str:
    """Replace `${NAME:-default}` by the default, as Compose does for an unset NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize(
    ("schema", "path"),
    [("compose-spec", "docker-compose.yml"), ("github-workflows", ".github/workflows/ci.yml")],
)
def test_the_file_follows_its_schema(schema: str, path: str) -> None:
    """check-jsonschema ships the schemas of the Compose Specification and of GitHub's workflows."""
    schemas = files("check_jsonschema") / "builtin_schemas" / "vendor"
    document = load(path)
    # YAML 1.1 reads the workflow's key `on` as true.
    document = {"on" if key is True else key: value for key, value in document.items()}
    jsonschema.validate(document, json.loads((schemas / f"{schema}.json").read_text()))


@pytest.mark.parametrize("name", ["api", "relay", "notifier", "table", "queue"])
def test_the_environment_is_one_that_settings_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting with a valid value; the API's default keys are the demo's."""
    environment: dict[str, str] = SERVICES[name]["environment"]
    ours = {variable for variable in environment if variable.startswith("VITRINA_")}
    assert ours <= VARIABLES
    for variable in ours:
        monkeypatch.setenv(variable, by_default(environment[variable]))
    settings = Settings()
    keys = (DEMO_SIGNING_KEYS, DEMO_SECRET_KEY) if name == "api" else ("", "")
    assert (settings.signing_keys.get_secret_value(), settings.secret_key.get_secret_value()) == keys


def test_the_service_may_take_its_time_to_stop() -> None:
    """Docker sends SIGKILL only after `shutdown_timeout`."""
    shutdown_timeout = Settings.model_fields["shutdown_timeout"].default
    for name in ("api", "relay", "notifier"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > shutdown_timeout


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_pinned_watched_and_reached_from_this_machine_alone(name: str) -> None:
    """Images have versions, long-running services have health checks, and ports listen on loopback only."""
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).exists()
    else:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
    if service.get("restart") != "no":
        assert "test" in service["healthcheck"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_ministack_is_the_version_that_the_tests_run_on() -> None:
    locked = re.search(r"^ministack==(\S+)", (ROOT / "scripts/requirements/ministack.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert SERVICES["sqs"]["image"] == f"ministackorg/ministack:{locked[1]}"


def test_the_api_waits_for_its_table_and_the_table_for_its_database() -> None:
    assert SERVICES["api"]["depends_on"] == {"table": {"condition": "service_completed_successfully"}}
    assert SERVICES["table"]["depends_on"] == {"dynamodb": {"condition": "service_healthy"}}
    assert "dynamodb:/data" in SERVICES["dynamodb"]["volumes"]


@pytest.mark.parametrize("name", ["relay", "notifier"])
def test_a_worker_waits_for_table_and_queue_and_is_asked_how_it_is(name: str) -> None:
    """The health check asks the worker's metrics port, and the worker's command exists."""
    service = SERVICES[name]
    assert service["depends_on"].keys() == {"table", "queue"}
    assert all(met == {"condition": "service_completed_successfully"} for met in service["depends_on"].values())
    port = service["environment"]["VITRINA_WORKER_METRICS_PORT"]
    assert f"127.0.0.1:{port}/healthz" in " ".join(service["healthcheck"]["test"])
    assert [service["command"], SERVICES["queue"]["command"]] == [[name], ["queue", "create"]]
    assert {name, "queue"} <= set(main.list_commands(click.Context(main)))
    assert "create" in queue.commands


def test_queue_and_mail_are_where_the_service_looks_for_them() -> None:
    """Hosts are names in the stack's network, and volumes keep the data."""
    environment = SERVICES["notifier"]["environment"]
    assert environment["VITRINA_QUEUE_ENDPOINT"] == f"http://{SERVICES['sqs']['environment']['MINISTACK_HOST']}:4566"
    assert environment["VITRINA_SMTP_HOST"] in SERVICES
    assert SERVICES["queue"]["depends_on"] == {"sqs": {"condition": "service_healthy"}}
    assert "sqs:/data" in SERVICES["sqs"]["volumes"]
    assert sender_address(environment["VITRINA_MAIL_FROM"]).address.endswith("@shop.example")


def test_the_image_keeps_step() -> None:
    """The Dockerfile sets existing settings, copies existing files and runs as an unprivileged user."""
    assert set(re.findall(r"\bVITRINA_\w+(?==)", DOCKERFILE)) <= VARIABLES
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    assert re.search(r"^USER vitrina$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" not in DOCKERFILE  # Its commands differ in how they are asked; docker-compose.yml says how.
    assert all(
        re.search(r":\d+\.\d+\.\d+-slim", base) for base in re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE)
    )


def test_what_the_image_copies_is_in_its_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()}
    assert copied == allowed


def test_ci_runs_the_two_gates_on_the_oldest_and_the_image_s_python() -> None:
    """The workflow runs the scripts that a developer runs."""
    job = load(".github/workflows/ci.yml")["jobs"]["gates"]
    tools, *gates = [step["run"] for step in job["steps"] if "run" in step]
    assert gates == ["scripts/check", "scripts/test"]
    assert "faketime" in tools
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert "FROM python:3.13." in DOCKERFILE


def test_hooks_run_what_is_there() -> None:
    [local] = load(".pre-commit-config.yaml")["repos"]
    for hook in local["hooks"]:
        assert os.access(ROOT / hook["entry"].split()[0], os.X_OK)
