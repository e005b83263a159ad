"""`vitrina keys`, on the environment's keys and on those in Secrets Manager."""

import asyncio
import json
from datetime import datetime, timedelta

import boto3
import pytest

from tests.cli.command import Vitrina
from vitrina.aws import connect_secrets
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.secrets_manager import Secret, SecretError

OLD = f"old:{'a' * 32}"


@pytest.fixture
def vitrina(moto: str, table_name: str, monkeypatch: pytest.MonkeyPatch) -> Vitrina:
    """The command line with a secret, which has the table's unique name."""
    client = boto3.client("secretsmanager", endpoint_url=moto, region_name="us-east-1")
    client.create_secret(Name=table_name, SecretString=OLD)
    client.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    return Vitrina(VITRINA_SIGNING_KEYS_SECRET=table_name)


def listed(vitrina: Vitrina) -> list[tuple[str, str]]:
    """Return the kids and the roles of the keys."""
    keys = json.loads(vitrina("keys", "list", "--json").output)["keys"]
    return [(key["kid"], key["role"]) for key in keys]


def test_keys_rotate_in_secrets_manager_step_by_step(vitrina: Vitrina, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step prints a secret, and the last one waits for the tokens of the old key."""
    done = vitrina("keys", "rotate", "add")
    assert done.exit_code == 0, done.output
    [_, (kid, role)] = listed(vitrina)
    assert (role, done.output.splitlines()[-1]) == ("next", "Restart every process of the API.")
    assert len(done.output.splitlines()) == 3
    assert vitrina("keys", "rotate", "add").output.splitlines()[-1] == "Nothing to do."
    assert json.loads(vitrina("keys", "rotate", "sign", "--json").output)["changed"] is True
    assert listed(vitrina) == [(kid, "signing"), ("old", "old")]
    early = vitrina("keys", "rotate", "remove")
    assert early.exit_code == 1
    assert early.stderr.startswith("Error: tokens of old may be valid until ")
    monkeypatch.setattr("vitrina.cli.keys.now", lambda: now() + timedelta(days=32))
    assert vitrina("keys", "rotate", "remove").exit_code == 0
    assert listed(vitrina) == [(kid, "signing")]


def test_of_two_rotations_at_once_one_changes_the_secret(vitrina: Vitrina, table_name: str) -> None:
    """The other one changes nothing, and a prepared value that an interrupted run has left is not used."""

    async def race() -> tuple[str, str]:
        async with connect_secrets(Settings()) as client:
            secret = Secret(client, table_name)
            before = await secret.read()
            await secret.replace(before, "first")
            with pytest.raises(SecretError, match="was changed by somebody else; nothing was done"):
                await secret.replace(before, "second")
            left = (await secret.read()).value
            await secret.replace(await secret.read(), OLD)
            return left, (await secret.read()).value

    assert asyncio.run(race()) == ("first", OLD)
    missing = vitrina("keys", "list", VITRINA_SIGNING_KEYS_SECRET="nowhere")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: the secret nowhere cannot be read: ")


def test_a_secret_that_is_no_text_is_reported(vitrina: Vitrina, table_name: str, moto: str) -> None:
    client = boto3.client("secretsmanager", endpoint_url=moto, region_name="us-east-1")
    client.put_secret_value(SecretId=table_name, SecretBinary=OLD.encode())
    client.close()
    done = vitrina("keys", "list")
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: the secret {table_name} is binary: store its value as a text\n",
    )


def test_keys_of_the_environment_are_printed_to_be_set() -> None:
    def rotate(step: str, value: str, *options: str) -> str:
        done = Vitrina()("keys", "rotate", step, *options, VITRINA_SIGNING_KEYS=value)
        assert done.exit_code == 0, done.output
        return done.output.splitlines()[-1].removeprefix("VITRINA_SIGNING_KEYS=")

    added = rotate("add", OLD)
    assert added.startswith(f"{OLD},{datetime.now():%Y}")  # noqa: DTZ005 - the year
    promoted = rotate("sign", added)
    assert promoted.split(",") == added.split(",")[::-1]
    unknown = Vitrina()("keys", "rotate", "remove", VITRINA_SIGNING_KEYS=promoted)
    assert (unknown.exit_code, unknown.stderr.partition(" is ")[0]) == (2, "Error: --signing-since")
    assert rotate("remove", promoted, "--signing-since", "2026-01-01") == promoted.split(",")[0]
    nothing = Vitrina()("keys", "list")
    assert nothing.exit_code == 2
