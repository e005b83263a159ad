"""Mail transports: the interface, a directory, Amazon SES, and the choice by the settings; SMTP is in smtp.py."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from vitrina import aws
from vitrina.config import Settings
from vitrina.files import whole_file
from vitrina.mail.headers import Mailbox, reads_back

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

_REFUSED: Final = frozenset({"BadRequestException", "MessageRejected"})
"""Codes that concern the mail itself. All others (throttling, a paused account) can be resolved later."""


class MailRefused(Exception):
    """The mail can never be sent. The text is a code or ours, since the server's may contain an address."""


class MailNotSent(Exception):
    """The mail was not accepted, or it is unknown whether it was; it can be tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it leaves: `data` are all its bytes, `others` the names of its fields besides From, To and Subject.

    Raises MailRefused unless its header reads back as exactly these fields, this sender, recipient and subject.
    """

    id: str
    sender: Mailbox
    recipient: Mailbox
    subject: str
    others: Collection[str]
    data: bytes

    def __post_init__(self) -> None:
        if not reads_back(
            self.data.partition(b"\r\n\r\n")[0],
            sender=self.sender,
            recipient=self.recipient,
            subject=self.subject,
            others=self.others,
        ):
            raise MailRefused("its header does not read back as it was meant")


class Transport(Protocol):
    """Sends messages, several concurrently."""

    async def send(self, message: Message) -> None:
        """Send a message to its recipient. Raises MailRefused, MailNotSent.

        There is no time limit: the caller sets one and cancels.
        """


class DirectoryTransport:
    """Writes each mail to a file of its own, under a name that sorts by time: for development."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: Message) -> None:
        """Write a message; creates the folder if needed. Raises MailNotSent if it cannot be written."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise MailNotSent(type(error).__name__) from error

    def _write(self, message: Message) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = hashlib.sha256(message.id.encode()).hexdigest()[:16]
        name = f"{time.time_ns() // 1_000_000:013d}-{identity}"
        with whole_file(self._folder / f"{name}.eml", durable=False) as file:
            file.write(message.data)


class SesTransport:
    """Sends raw messages by Amazon SES (API v2)."""

    def __init__(self, client: "SESV2Client") -> None:
        self._client = client

    async def send(self, message: Message) -> None:
        """Send a message. Raises MailRefused, MailNotSent."""
        try:
            await self._client.send_email(
                FromEmailAddress=message.sender.address,
                Destination={"ToAddresses": [message.recipient.address]},
                Content={"Raw": {"Data": message.data}},
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _REFUSED:
                raise MailRefused(code) from error
            raise MailNotSent(code) from error
        except (BotoCoreError, OSError) as error:
            raise MailNotSent(type(error).__name__) from error


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open the transport of the setting `mail_transport`; close its connections at the end."""
    if settings.mail_transport == "ses":
        async with aws.connect_mail(settings) as client:
            yield SesTransport(client)
    elif settings.mail_transport == "directory":
        yield DirectoryTransport(Path(settings.mail_directory))
    else:
        from vitrina.mail.smtp import SmtpTransport  # noqa: PLC0415 - loads its library only where it is used

        transport = SmtpTransport(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
        )
        try:
            yield transport
        finally:
            await transport.aclose()
