"""Where a deployment goes: an account of AWS, or the emulator. Also what must be there before."""

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import boto3
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from scripts.deploy.artifacts import check_runtime
from scripts.deploy.emulator import ACCOUNT_KEY, PORT, REGION
from vitrina.mail.message import sender_address

_ON_EMULATOR: Final = {
    "ApiOn": "lambda",
    "Environment": "development",
    "MailIdentity": "any",
    "MailFrom": "Vitrina <vitrina@shop.example>",
}
"""Parameters of the template: it has no containers and no alarms on queries, and allows mail on all identities only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response over HTTP."""

    status: int
    body: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """AWS with the credentials and the region of the environment, or an emulator at `endpoint`."""

    kind: Literal["aws", "emulator"]
    endpoint: str = f"http://127.0.0.1:{PORT}"

    @property
    def is_emulator(self) -> bool:
        """Whether it is the emulator."""
        return self.kind == "emulator"

    @cached_property
    def _session(self) -> Any:  # noqa: ANN401 - boto3 has no types
        if self.is_emulator:
            return boto3.Session(ACCOUNT_KEY, ACCOUNT_KEY, region_name=REGION)
        return boto3.Session(region_name=os.environ.get("AWS_REGION"))  # The library knows AWS_DEFAULT_REGION only.

    @property
    def region(self) -> str:
        """The region. Raises ClickException if none is named."""
        if not (region := self._session.region_name):
            raise click.ClickException("No region is named: set AWS_REGION, or AWS_PROFILE to a profile with one.")
        return str(region)

    @property
    def poll(self) -> float:
        """The seconds between two looks at a stack."""
        return 0.2 if self.is_emulator else 3.0

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        """Return a client of a service."""
        # An emulator creates a stack while it answers.
        attempts = 1 if self.is_emulator else 5
        config = Config(
            connect_timeout=5, read_timeout=120, retries={"mode": "standard", "total_max_attempts": attempts}
        )
        return self._session.client(service, config=config, endpoint_url=self.endpoint if self.is_emulator else None)

    def account(self) -> str:
        """Return the number of the account. Raises ClickException with what to do if AWS does not know the caller."""
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except (NoCredentialsError, NoRegionError):
            raise click.ClickException(
                "No credentials of AWS are here: run `aws sso login` or `aws configure`, or set AWS_PROFILE."
            ) from None
        except ClientError as error:
            raise click.ClickException(f"AWS refuses the credentials: {error.response['Error']['Message']}") from None
        except BotoCoreError as error:
            if self.is_emulator:
                raise click.ClickException(
                    f"No emulator responds at {self.endpoint}: run scripts/deploy/emulator in another terminal."
                ) from None
            raise click.ClickException(f"AWS cannot be asked who is calling: {error}") from None

    def api(self, url: str) -> str:
        """Return where an API with a URL of AWS is reached: an emulator has it below a path."""
        api = urlsplit(url).netloc.partition(".")[0]
        return f"{self.endpoint}/_aws/execute-api/{api}/$default" if self.is_emulator else url

    def get(self, url: str, *, timeout: float = 30.0) -> Reply:
        """Get a URL; status 0 stands for no response, and then the body says why.

        A balancer's certificate is for the domain that points to the balancer, not for its own host.
        """
        request = urllib.request.Request(url)  # noqa: S310 - an output of the stack
        context = ssl.create_default_context()
        context.check_hostname = False
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=context) as response:  # noqa: S310
                return Reply(status=response.status, body=response.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            return Reply(status=error.code, body=error.read().decode(errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            return Reply(status=0, body=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisites:
    """What `up` has found: the bucket of artifacts, and the parameters that name them."""

    bucket: str
    files: dict[str, Path]
    """The artifacts by their key in the bucket."""
    parameters: dict[str, str]


def check(target: Target, build: Path, *, bucket: str | None, folder: str) -> Prerequisites:
    """Return what a deployment needs, with its artifacts in a folder of the bucket.

    Raises ClickException with a sentence: what is missing, and how to get it.
    """
    parameters = _built(build)
    keys = {name: key for name, key in parameters.items() if name.endswith("Key")}
    files = {f"{folder}/{key}": build / key for key in keys.values()}
    parameters |= {name: f"{folder}/{key}" for name, key in keys.items()}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise click.ClickException(f"{', '.join(missing)} is missing: run scripts/deploy/build --out {build}.")
    if target.is_emulator:
        del parameters["Runtime"]  # It has one Python, and the build is for that.
        parameters |= _ON_EMULATOR
    else:
        check_runtime(parameters["Runtime"].removeprefix("python"))
    region, account = target.region, target.account()
    bucket = bucket or f"vitrina-artifacts-{account}-{region}"
    _check_bucket(target, bucket)
    return Prerequisites(bucket=bucket, files=files, parameters={**parameters, "ArtifactBucket": bucket})


def check_sender(parameters: Mapping[str, str]) -> None:
    """Raise ClickException if the sender of mail is no address: notifier and mail could not start, on no notice.

    The defaults are those of the template.
    """
    sender, identity = parameters.get("MailFrom", "none"), parameters.get("MailIdentity", "shop.example")
    try:
        sender_address(f"Vitrina <vitrina@{identity}>" if sender == "none" else sender)
    except ValueError as error:
        raise click.ClickException(
            f"The sender of mail {error}: name it by -p MailFrom=..., which MailIdentity={identity} covers."
        ) from None


def _built(build: Path) -> dict[str, str]:
    try:
        parameters: dict[str, str] = json.loads((build / "artifacts.json").read_text())
    except FileNotFoundError:
        raise click.ClickException(f"Nothing is built in {build}: run scripts/deploy/build --out {build}.") from None
    except ValueError:
        raise click.ClickException(
            f"{build / 'artifacts.json'} is not whole: run scripts/deploy/build --out {build}."
        ) from None
    return parameters


def _check_bucket(target: Target, bucket: str) -> None:
    s3 = target.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status != 404:  # noqa: PLR2004 - not found
            raise click.ClickException(
                f"The bucket {bucket} of artifacts cannot be used (status {status}): name another one by --bucket."
            ) from None
        if not target.is_emulator:
            raise click.ClickException(
                f"There is no bucket {bucket} for the artifacts: deploy scripts/deploy/bootstrap.yaml, run `aws s3 mb "
                f"s3://{bucket}`, or name another one by --bucket."
            ) from None
        s3.create_bucket(Bucket=bucket)
