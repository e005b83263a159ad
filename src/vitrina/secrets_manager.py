"""A secret in AWS Secrets Manager, which is replaced only if nobody has replaced it since it was read."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

_CURRENT: Final = "AWSCURRENT"
_PREPARED: Final = "VITRINA_PREPARED"
"""The label of a value that is to be the current one. An interrupted run leaves it, and the next run moves it on."""


class SecretError(Exception):
    """A secret cannot be read or replaced. The message gives the reason, never the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretVersion:
    """A value, the id of its version, and when that was made."""

    value: str = field(repr=False)
    id: str
    made_at: datetime


class Secret:
    """A secret by its name or ARN."""

    def __init__(self, client: Any, name: str) -> None:  # noqa: ANN401 - there are no types of this service
        self._client = client
        self._name = name

    async def read(self) -> SecretVersion:
        """Return the current version: 1 call. Raises SecretError."""
        try:
            found = await self._client.get_secret_value(SecretId=self._name, VersionStage=_CURRENT)
        except (BotoCoreError, ClientError) as error:
            raise SecretError(f"the secret {self._name} cannot be read: {error}") from error
        if "SecretString" not in found:
            raise SecretError(f"the secret {self._name} is binary: store its value as a text")
        return SecretVersion(value=found["SecretString"], id=found["VersionId"], made_at=found["CreatedDate"])

    async def replace(self, current: SecretVersion, value: str) -> None:
        """Make `value` the current version in place of `current`: 2 calls, of which the last one is the change.

        Raises SecretError, also when `current` is the current version no longer: that label moves only from the version
        that has it.
        """
        token = str(uuid.uuid4())  # Also the id of the version, so a call that is repeated makes one version.
        try:
            await self._client.put_secret_value(
                SecretId=self._name, ClientRequestToken=token, SecretString=value, VersionStages=[_PREPARED]
            )
            await self._client.update_secret_version_stage(
                SecretId=self._name, VersionStage=_CURRENT, MoveToVersionId=token, RemoveFromVersionId=current.id
            )
        except (BotoCoreError, ClientError) as error:
            now = await self.read()
            if now.id == token:  # The response to the last call was lost.
                return
            if now.id != current.id:
                raise SecretError(f"the secret {self._name} was changed by somebody else; nothing was done") from error
            raise SecretError(f"the secret {self._name} cannot be replaced: {error}") from error
