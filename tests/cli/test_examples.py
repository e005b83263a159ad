"""The help of each command ends in an example, and each example works on an installation that is up."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.command import Vitrina, settings
from vitrina.__main__ import main

SERVERS = {"api": "ready http", "relay": '"event":"stream_found"', "notifier": '"event":"started"'}
"""Commands that run until a signal, and what they print when they are up."""
PASSWORD = "a long enough pass phrase"


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command that is no group, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaves(main))


def example(name: str) -> str:
    """Return the example of a command without the word `vitrina`; its help ends with it."""
    help_text = Vitrina()(*name.split(), "--help").stdout
    found = re.search(r"\n  Example:\n    vitrina (\S.*)\n$", help_text)
    assert found, help_text
    assert found[1].startswith(name)
    return found[1]


@pytest.fixture(scope="module")
def environment(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of an installation with a table, a queue and two super_admins, and files for the examples."""
    folder = tmp_path_factory.mktemp("examples")
    variables = settings(ministack, f"examples-{os.getpid()}") | {
        "VITRINA_QUEUE_ENDPOINT": ministack,
        "VITRINA_QUEUE_NAME": f"examples-{os.getpid()}",
        "VITRINA_SIGNING_KEYS": "k:" + "s" * 32,
        "VITRINA_SECRET_KEY": "t" * 32,
        "VITRINA_PORT": "0",
        "VITRINA_MAIL_TRANSPORT": "directory",
        "VITRINA_MAIL_DIRECTORY": str(folder / "mails"),
        "FOLDER": str(folder),
    }
    vitrina = Vitrina(**variables)
    for command in (("table", "create"), ("queue", "create")):
        assert vitrina(*command).exit_code == 0
    for name in ("ana", "ada", "eve"):
        made = vitrina(
            "users", "create-super-admin", "--email", f"{name}@example.com", "--name", name, typed=f"{PASSWORD}\n"
        )
        assert made.exit_code == 0, made.output
    (folder / "password.txt").write_text(f"{PASSWORD}\n")
    (folder / "products.csv").write_text("sku,name,brand,price\nLAMP-1,Lamp,Lumen,10.00\n")
    return variables


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SERVERS])
def test_the_example_of_each_command_works(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--json` where the example has it: then the output is one JSON object."""
    folder = Path(environment["FOLDER"])
    monkeypatch.chdir(folder)
    arguments, _, file = example(name).partition(" < ")
    typed = (folder / file).read_text() if file else None
    done = Vitrina(**environment)(*shlex.split(arguments), typed=typed)
    assert done.exit_code == 0, done.output
    if "--json" in arguments:
        assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("name", SERVERS)
def test_the_example_of_each_server_runs_until_a_signal(name: str, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "vitrina", *shlex.split(example(name))],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert any(SERVERS[name] in line for line in process.stdout)
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_json_is_refused_where_the_file_goes_to_standard_output() -> None:
    done = Vitrina()("products", "export", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "Error: standard output cannot take both the export and --json: give --out a file\n"


@pytest.mark.parametrize("name", [name for name, it in COMMANDS.items() if any(p.name == "as_json" for p in it.params)])
def test_with_json_a_command_prints_one_object(
    name: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages go to standard error; without `--json` the output is a text."""
    monkeypatch.chdir(environment["FOLDER"])
    arguments, _, file = example(name).partition(" < ")
    words = [word for word in shlex.split(arguments) if word != "--json"]
    vitrina = Vitrina(**environment)
    if name.startswith("users"):
        words[words.index("--email") + 1] = "eve@example.com" if "remove" in name else "kim@example.com"
    done = vitrina(*words, "--json", typed=f"{PASSWORD}\n" if file else None)
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("}\n")
    assert isinstance(json.loads(done.stdout), dict)
