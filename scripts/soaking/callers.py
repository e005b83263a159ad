"""Who calls the service in a soak: each role and each scope of API keys, over `schemathesis run` as a process."""

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.devstack.engines import ROOT

_CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller: its name, and the variables by which `hooks.py` finds its credentials."""

    name: str
    variables: Mapping[str, str]


def callers(url: str, *, password: str, user: str, admin: str, super_admin: str) -> list[Caller]:
    """Return all callers, who have these e-mails and one password; makes API keys of the admin.

    The super_admin comes last, since its requests delete the accounts of the others.
    """
    emails = {"user": user, "admin": admin, "super_admin": super_admin}
    accounts = [Caller(role, {"SOAK_EMAIL": email, "SOAK_PASSWORD": password}) for role, email in emails.items()]
    token = post(f"{url}/v1/auth/login", {"email": admin, "password": password})["access_token"]
    keys: list[Caller] = []
    for scope in ("read", "manage"):
        made = post(f"{url}/v1/auth/keys", {"name": "soak", "scope": scope}, token=token)
        keys.append(Caller(f"key of scope {scope}", {"SOAK_KEY": made["key"]}))
    return [Caller("anonymous", {}), *accounts[:-1], *keys, accounts[-1]]


def command(url: str, *options: str) -> list[str]:
    """Return the command that sends requests of all kinds to the service at `url` and checks the responses."""
    program = str(ROOT / ".venv" / "bin" / "schemathesis")
    tests = ["--continue-on-failure", "--generation-database", "none", *options]
    return [program, "--config-file", str(_CONFIGURATION), "run", f"{url}/openapi.json", *tests]


def environment(url: str, caller: Caller) -> dict[str, str]:
    """Return the environment of the command for a caller."""
    hooks = {"SCHEMATHESIS_HOOKS": "scripts.soaking.hooks", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **hooks, "SOAK_URL": url, **caller.variables}


def post(url: str, body: object, *, token: str | None = None) -> Any:  # noqa: ANN401 - JSON is any value
    """Send a POST and return the JSON of its response. Raises urllib.error.HTTPError unless it succeeds."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - a URL of this machine
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)
