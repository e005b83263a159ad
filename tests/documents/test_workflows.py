"""The workflows of GitHub run what developers run; actionlint and zizmor, in `scripts/check`, hold their form."""

import os
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from scripts.deploy.commands import main
from tests.documents.pages import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_pinned_bounded_and_there(path: Any) -> None:  # noqa: ANN401 - a path
    """Actions are named by commit with the version beside it, jobs end, and scripts exist."""
    text = path.read_text()
    for action, comment in re.findall(r"uses: (\S+)(?: # (\S+))?$", text, re.MULTILINE):
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)
            assert re.fullmatch(r"v\d+\.\d+\.\d+", comment or "")
    for name, job in yaml.safe_load(text)["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 110, name
    for script in re.findall(r"(?<![\w./-])scripts/[\w/.-]+", text):
        assert (ROOT / script).exists(), script


def test_ci_runs_the_two_gates_on_each_python_from_the_oldest_on() -> None:
    """The workflow runs the scripts that a developer runs."""
    job = CI["gates"]
    tools, *gates = [step["run"] for step in job["steps"] if "run" in step]
    assert gates == ["scripts/check", "scripts/test --cov"]
    assert {"faketime", "prometheus"} <= set(tools.split())
    pythons = job["strategy"]["matrix"]["python"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert oldest == f">={pythons[0]}"
    assert pythons == [f"3.{minor}" for minor in range(11, 11 + len(pythons))]
    [image] = set(re.findall(r"FROM python:(3\.\d+)\.", (ROOT / "scripts/deploy/preconfigure.Dockerfile").read_text()))
    assert image in pythons


def test_hooks_run_what_is_there() -> None:
    [local] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in local["hooks"]:
        assert os.access(ROOT / hook["entry"].split()[0], os.X_OK)


def test_the_credentials_of_a_job_outlast_it() -> None:
    """Without them `up` would leave a deployment half way, unwatched and without its smoke test."""
    bootstrap = (ROOT / "scripts/deploy/bootstrap.yaml").read_text()
    [longest] = [int(found) for found in re.findall(r"MaxSessionDuration: (\d+)", bootstrap)]
    lasting = {
        f"{path.stem}: {name}": (int(step["with"].get("role-duration-seconds", 3600)), job["timeout-minutes"] * 60)
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
        for step in job.get("steps", [])
        if "configure-aws-credentials" in step.get("uses", "")
    }
    assert "stack: stack" in lasting
    assert all(most <= seconds <= longest for seconds, most in lasting.values()), lasting


def test_only_a_job_that_deploys_or_signs_gets_a_token() -> None:
    """`id-token` opens an account of AWS, or signs what is released; a job of an environment deploys with its role."""
    allowed = {
        ("deploy", "production"), ("deploy", "staging"), ("preview", "up"), ("preview", "down"), ("stack", "stack"),
        ("release", "release"), ("release", "deploy"),
    }  # fmt: skip
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert "id-token" not in workflow["permissions"]
        for name, job in workflow["jobs"].items():
            assert ("id-token" in job.get("permissions", {})) == ((path.stem, name) in allowed)
            if "environment" in job:
                assumed = [step["with"]["role-to-assume"] for step in job["steps"] if "role-to-assume" in str(step)]
                assert [role.rpartition("/")[2] for role in assumed] == [f"vitrina-{job['environment']}-deploy"]


def test_the_notes_of_a_release_are_its_section_of_the_changelog() -> None:
    script = ROOT / "scripts" / "release-notes"
    done = subprocess.run([script, "0.1.0"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The first release.\n")
    assert "## " not in re.sub("^### ", "", done.stdout, flags=re.MULTILINE)
    none = subprocess.run([script, "0.0.9"], capture_output=True, text=True, check=False)
    assert (none.returncode, none.stdout) == (1, "")


def test_the_workflows_use_options_that_the_commands_of_a_deployment_have() -> None:
    used = [
        (command, option)
        for path in WORKFLOWS
        for command, line in re.findall(r"scripts/deploy/(up|down) (.*)", path.read_text())
        for option in re.findall(r"--[a-z]+", line)
    ]
    assert {command for command, _ in used} == {"up", "down"}
    for command, option in used:
        assert option in {name for parameter in main.commands[command].params for name in parameter.opts}
