"""The ways to run the service that README and the runbook describe name what exists, and fit its settings."""

import configparser
import re

import click

from tests.deploy.test_bootstrap_rights import BOOTSTRAP
from tests.deploy.test_template import DOCUMENT
from tests.documents.pages import README, RUNBOOK, text
from vitrina.__main__ import main
from vitrina.config import Settings


def blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(README) + text(RUNBOOK), re.MULTILINE | re.DOTALL)


def test_the_unit_of_systemd_stops_and_starts_the_commands() -> None:
    """It sends SIGKILL only after `shutdown_timeout`. No test here can run systemd itself."""
    unit = configparser.RawConfigParser()
    unit.read_string(next(block for block in blocks("ini") if "[Service]" in block))
    assert unit["Service"].getfloat("TimeoutStopSec") > Settings.model_fields["shutdown_timeout"].default
    assert unit["Service"]["ExecStart"].endswith("bin/vitrina %i")
    [enabled] = re.findall(r"systemctl enable --now ((?:vitrina@\w+ ?)+)", text(RUNBOOK))
    assert set(re.findall(r"vitrina@(\w+)", enabled)) <= set(main.list_commands(click.Context(main)))
    assert set(re.findall(r"vitrina@(\w+)", enabled)) == {"api", "relay", "notifier"}


def test_the_parameters_of_a_deployment_are_the_template_s() -> None:
    shell = "\n".join(blocks("sh"))
    named = set(re.findall(r"(?<=-p )[A-Z]\w+(?==)", shell))
    assert {"ApiOn", "Image", "CertificateArn", "MailIdentity"} <= named
    assert named <= DOCUMENT["Parameters"].keys()
    [overrides] = re.findall(r"--parameter-overrides (.*)", shell)
    bootstrap = set(re.findall(r"\b([A-Z]\w+)=", overrides))
    assert {"Repository", "Environment", "Stacks"} <= bootstrap <= BOOTSTRAP["Parameters"].keys()
