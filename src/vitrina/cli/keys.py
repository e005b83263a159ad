"""`vitrina keys`: the keys that sign tokens, and their rotation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
from pydantic import SecretStr, ValidationError

from vitrina.aws import connect_secrets
from vitrina.cli import example
from vitrina.cli.running import DAY, CommandFailed, UsageError, json_option, print_result, with_settings
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.secrets_manager import Secret, SecretError, SecretVersion
from vitrina.services.accounts.signing_keys import KeyRing, RotationRefused

_ROLES = {"signing": "signs and verifies", "next": "verifies; to sign next", "old": "verifies what it has signed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The keys, and where they are: in a secret in a version, or in the environment."""

    ring: KeyRing
    secret: Secret | None = None
    version: SecretVersion | None = None

    async def store(self, ring: KeyRing) -> None:
        if self.secret is not None and self.version is not None:
            await self.secret.replace(self.version, ring.value)


@click.group()
def keys() -> None:
    """List and rotate the keys that sign tokens: VITRINA_SIGNING_KEYS, or what VITRINA_SIGNING_KEYS_SECRET names."""


@keys.command(name="list", epilog=example("vitrina keys list --json"))
@json_option
@with_settings
async def list_keys(settings: Settings, *, as_json: bool) -> None:
    """List the keys by their ids, without their secrets."""
    async with _held(settings) as held:
        _print(held.ring, "", as_json=as_json)


@keys.group(short_help="Replace the signing key without ending a session.")
def rotate() -> None:
    """Replace the signing key, without ending a session: add, sign, remove, with a restart of all processes after each.

    Each step may be repeated; once done, it changes nothing. Keys in AWS Secrets Manager are changed there. Those of
    the environment are printed as the line to set.
    """


@rotate.command(epilog=example("vitrina keys rotate add"))
@json_option
@with_settings
async def add(settings: Settings, *, as_json: bool) -> None:
    """Add a new key, which verifies tokens and does not sign any yet."""
    await _step(settings, lambda held: held.ring.added(now()), as_json=as_json)


@rotate.command(epilog=example("vitrina keys rotate sign"))
@json_option
@with_settings
async def sign(settings: Settings, *, as_json: bool) -> None:
    """Sign with the added key, once every process has it."""
    await _step(settings, lambda held: held.ring.promoted(), as_json=as_json)


@rotate.command(
    short_help="Remove the keys that no longer sign.",
    epilog=example("vitrina keys rotate remove --signing-since 2026-10-01"),
)
@click.option(
    "--signing-since",
    type=DAY,
    help="Day on which the last process began to sign with the new key, UTC.  [default: the last change of the secret]",
)
@json_option
@with_settings
async def remove(settings: Settings, signing_since: datetime | None, *, as_json: bool) -> None:
    """Remove the keys that no longer sign, once no token of theirs is valid.

    That is VITRINA_REFRESH_TOKEN_LIFETIME and a day after the new key has begun to sign; before, the exit code is 1.
    """
    seconds = max(settings.access_token_lifetime, settings.refresh_token_lifetime)

    def retired(held: _Held) -> KeyRing:
        known = [held.version.made_at] if held.version else []
        if signing_since is not None:
            known.append(signing_since.replace(tzinfo=UTC) + timedelta(days=1))
        if not known:
            raise UsageError("--signing-since is required: the environment does not tell since when a key signs")
        return held.ring.retired(now(), signing_since=max(known), lifetime=timedelta(seconds=seconds))

    await _step(settings, retired, as_json=as_json)


async def _step(settings: Settings, change: Callable[[_Held], KeyRing], *, as_json: bool) -> None:
    async with _held(settings) as held:
        try:
            ring = change(held)
            if ring is held.ring:
                _print(ring, "Nothing to do.", as_json=as_json, changed=False)
                return
            await held.store(ring)
        except (RotationRefused, SecretError) as error:
            raise CommandFailed(str(error)) from error
        then = "Restart every process of the API" + (
            "." if held.secret else ", with this value of VITRINA_SIGNING_KEYS."
        )
        _print(ring, then, as_json=as_json, changed=True, value=None if held.secret else ring.value)


@asynccontextmanager
async def _held(settings: Settings) -> AsyncIterator[_Held]:
    if not settings.signing_keys_secret:
        if not settings.token_keys:
            raise UsageError("VITRINA_SIGNING_KEYS, or VITRINA_SIGNING_KEYS_SECRET: is required")
        yield _Held(ring=KeyRing.of(settings))
        return
    async with connect_secrets(settings) as client:
        secret = Secret(client, settings.signing_keys_secret)
        try:
            version = await secret.read()
            found = Settings(signing_keys=SecretStr(version.value))
        except SecretError as error:
            raise CommandFailed(str(error)) from error
        except ValidationError as error:
            raise CommandFailed(f"{settings.signing_keys_secret}: {error.errors()[0]['msg']}") from None
        yield _Held(ring=KeyRing.of(found), secret=secret, version=version)


def _print(ring: KeyRing, then: str, *, as_json: bool, changed: bool | None = None, value: str | None = None) -> None:
    """Print the keys' ids and roles, then what to do, then the value to set: the only output with secrets."""
    roles = {kid: "signing" if kid == ring.signing else "next" if kid == ring.next else "old" for kid in ring.keys}
    result: dict[str, object] = {"keys": [{"kid": kid, "role": role} for kid, role in roles.items()]}
    result |= {} if changed is None else {"changed": changed}
    result |= {} if value is None else {"signing_keys": value}
    lines = [f"{kid:<16}{_ROLES[role]}" for kid, role in roles.items()]
    lines += [then] if then else []
    lines += [f"VITRINA_SIGNING_KEYS={value}"] if value else []
    print_result(result, "\n".join(lines), as_json=as_json)
