"""docker-compose.yml and the Dockerfiles are valid and agree with the code; no Docker runs here.

The compose file is read by Docker's own `docker-compose`, which resolves its anchors, variables and profiles.
"""

import json
import re
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest

from vitrina.__main__ import main
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.mail.message import sender_address

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "scripts" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
BASE = (DEPLOY / "preconfigure.Dockerfile").read_text()
VARIABLES = {f"VITRINA_{name.upper()}" for name in Settings.model_fields}
CORE = {"base", "api", "relay", "notifier", "demo", "dynamodb", "sqs"}
PROFILES = {"mail": {"mail"}, "admin": {"admin"}, "observability": {"prometheus", "grafana"}}
OURS = {"api", "relay", "notifier", "demo"}


@cache
def compose(*profiles: str, **environment: str) -> dict[str, dict[str, Any]]:
    """Return the services as Docker reads them with these profiles and variables."""
    package = find_spec("compose")
    assert package is not None
    assert package.origin is not None
    # The package's own command hides the exit code.
    binary = Path(package.origin).with_name("docker-compose")
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    command: list[str | Path] = [binary, "--file", ROOT / "docker-compose.yml", *chosen, "config", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    services: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return services


SERVICES = compose("*")


def test_each_profile_adds_its_services_to_the_core() -> None:
    assert compose().keys() == CORE
    assert compose("core").keys() == CORE
    for profile, services in PROFILES.items():
        assert compose(profile).keys() == CORE | services


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_environment_is_one_that_settings_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting with a valid value; the keys are the demo's, and only who needs them has them."""
    environment: dict[str, str] = SERVICES[name]["environment"]
    ours = {variable for variable in environment if variable.startswith("VITRINA_")}
    assert ours <= VARIABLES
    for variable in ours:
        monkeypatch.setenv(variable, environment[variable])
    settings = Settings()
    keys = (DEMO_SIGNING_KEYS, DEMO_SECRET_KEY) if name in {"api", "demo"} else ("", "")
    assert (settings.signing_keys.get_secret_value(), settings.secret_key.get_secret_value()) == keys


def test_the_service_may_take_its_time_to_stop() -> None:
    """Docker sends SIGKILL only after `shutdown_timeout`."""
    shutdown_timeout = Settings.model_fields["shutdown_timeout"].default
    for name in ("api", "relay", "notifier"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > shutdown_timeout


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_pinned_watched_and_reached_from_this_machine_alone(name: str) -> None:
    """Images have versions, long-running services have health checks, and ports listen on loopback only."""
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).exists()
    else:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
    if service.get("restart") == "unless-stopped":
        # The image has the check of the API.
        assert name == "api" or "test" in service["healthcheck"]
    assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))


def test_the_service_is_built_upon_the_base_which_never_runs() -> None:
    assert SERVICES["base"]["build"]["dockerfile"] == "scripts/deploy/preconfigure.Dockerfile"
    assert SERVICES["base"]["scale"] == 0
    for name in OURS:
        assert SERVICES[name]["build"]["additional_contexts"] == {SERVICES["base"]["image"]: "service:base"}
    assert f"ARG BASE={SERVICES['base']['image']}\n" in DOCKERFILE


def test_ministack_is_the_version_that_the_tests_run_on() -> None:
    locked = re.search(r"^ministack==(\S+)", (ROOT / "scripts/requirements/ministack.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert SERVICES["sqs"]["image"] == f"ministackorg/ministack:{locked[1]}"


def test_the_demo_is_made_before_the_service_starts() -> None:
    """`demo` runs scripts/devstack/demo.py from a mounted folder; table and queue are there when it ends."""
    for name in ("api", "relay", "notifier"):
        assert SERVICES[name]["depends_on"]["demo"]["condition"] == "service_completed_successfully"
    demo = SERVICES["demo"]
    assert {name: it["condition"] for name, it in demo["depends_on"].items()} == dict.fromkeys(
        ("dynamodb", "sqs"), "service_healthy"
    )
    [mounted] = demo["volumes"]
    module = Path(demo["environment"]["PYTHONPATH"]) / f"{demo['entrypoint'][-1].replace('.', '/')}.py"
    assert (Path(mounted["source"]) / module.relative_to(mounted["target"])).is_file()
    assert mounted["read_only"]


@pytest.mark.parametrize("name", ["relay", "notifier"])
def test_a_worker_is_asked_how_it_is_and_scraped(name: str) -> None:
    """The health check asks the worker's metrics port, and the worker's command exists."""
    service = SERVICES[name]
    port = service["environment"]["VITRINA_WORKER_METRICS_PORT"]
    assert f"127.0.0.1:{port}/healthz" in " ".join(service["healthcheck"]["test"])
    assert f'["{name}:{port}"]' in (DEPLOY / "observability/prometheus/prometheus.yml").read_text()
    assert service["command"] == [name]
    assert name in main.list_commands(click.Context(main))


def test_queue_and_mail_are_where_the_service_looks_for_them() -> None:
    """Hosts are names in the stack's network, volumes keep the data, and mail is kept in files unless it is caught."""
    environment = SERVICES["notifier"]["environment"]
    assert environment["VITRINA_QUEUE_ENDPOINT"] == f"http://{SERVICES['sqs']['environment']['MINISTACK_HOST']}:4566"
    assert environment["VITRINA_SMTP_HOST"] in SERVICES
    assert environment["VITRINA_MAIL_TRANSPORT"] == "directory"
    assert environment["VITRINA_MAIL_DIRECTORY"].startswith(f"{SERVICES['notifier']['tmpfs'][0]}/")
    caught = compose("mail", VITRINA_MAIL_TRANSPORT="smtp")["notifier"]["environment"]
    assert caught["VITRINA_MAIL_TRANSPORT"] == "smtp"
    for name in ("sqs", "dynamodb"):
        assert [volume["target"] for volume in SERVICES[name]["volumes"]] == ["/data"]
    assert sender_address(environment["VITRINA_MAIL_FROM"]).address.endswith("@shop.example")


def test_the_image_keeps_step() -> None:
    """The Dockerfiles set existing settings, copy existing files and end as the user that was made, by number."""
    assert set(re.findall(r"\bVITRINA_\w+(?==)", DOCKERFILE)) <= VARIABLES
    assert 'CMD ["api"]' in DOCKERFILE
    assert "/readyz" in DOCKERFILE
    for dockerfile in (DOCKERFILE, BASE):
        for sources in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE):
            assert all((ROOT / source).exists() for source in sources.split())
        assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)[-1] == "10001"
        pythons = set(re.findall(r"^FROM (\S+:\S+)", dockerfile, re.MULTILINE))
        assert pythons == set(re.findall(r"^FROM (\S+:\S+)", BASE, re.MULTILINE))
        assert all(re.search(r":\d+\.\d+\.\d+-slim", python) for python in pythons)
    assert "--uid 10001 " in BASE


def test_what_the_images_copy_is_in_their_context() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE + BASE, re.MULTILINE)
    assert {word for line in copies for word in line.split()} == allowed
