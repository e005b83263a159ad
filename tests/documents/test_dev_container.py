"""The dev container has what the scripts need, in the versions that CI and the image have."""

import json
import os
import re
from typing import Any

import yaml

from tests.documents.pages import ROOT
from vitrina.config import Settings

CONTAINER: dict[str, Any] = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())


def test_it_has_the_python_of_the_image_and_the_java_of_ci() -> None:
    python = CONTAINER["image"].partition(":")[2]
    assert f"FROM python:{python}." in (ROOT / "scripts/deploy/Dockerfile").read_text()
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["gates"]["steps"]
    [java] = [step["with"]["java-version"] for step in steps if "setup-java" in step.get("uses", "")]
    features = {re.split(r"[/:]", name)[-2]: options for name, options in CONTAINER["features"].items()}
    assert features["java"]["version"] == java
    assert "node" in features


def test_it_installs_the_project_and_forwards_the_port_of_the_api() -> None:
    assert os.access(ROOT / CONTAINER["postCreateCommand"], os.X_OK)
    assert CONTAINER["forwardPorts"] == [Settings.model_fields["port"].default]
