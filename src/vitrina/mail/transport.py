"""Mail transports: the interface, a directory, and the choice by the settings; the others are in smtp.py and ses.py."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vitrina import aws
from vitrina.config import Settings
from vitrina.files import whole_file
from vitrina.mail.headers import Mailbox, reads_back


class MailRefused(Exception):
    """The mail can never be sent. The text is a code or ours, since the server's may contain an address."""


class MailNotSent(Exception):
    """The mail was not accepted, or it is unknown whether it was; it can be tried again later."""


class MailHeldBack(Exception):
    """The mail was not accepted for a reason that an operator or time will mend, and that is not the mail's.

    `code` names the reason, without an address, and `advice` says what to do. `concerns_all`: all other mail as well.
    """

    def __init__(self, code: str, advice: str, *, concerns_all: bool = True) -> None:
        super().__init__(code)
        self.code = code
        self.advice = advice
        self.concerns_all = concerns_all


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

    async def wait_turn(self) -> None:
        """Wait until the service's rate allows a message; without a rate only other tasks get their turn."""
        await asyncio.sleep(0)

    async def send(self, message: Message) -> None:
        """Send a message to its recipient. Raises MailRefused, MailHeldBack, MailNotSent.

        There is no time limit: the caller sets one and cancels.
        """


class DirectoryTransport(Transport):
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


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open the transport of the setting `mail_transport`; close its connections at the end."""
    if settings.mail_transport == "ses":
        from vitrina.mail.ses import SesTransport  # noqa: PLC0415 - as below

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
            connect_timeout=settings.mail_timeout / 2,  # A server that does not respond holds all mail back.
        )
        try:
            yield transport
        finally:
            await transport.aclose()
