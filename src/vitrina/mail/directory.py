"""A transport for development that writes mail to a folder, one file each, and reads it back."""

import asyncio
import email
import hashlib
import re
import time
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Final

from vitrina.files import whole_file
from vitrina.mail.transport import MailNotSent, as_bytes

_NAME: Final = re.compile(r"\d{13,16}-[0-9a-f]{16}", re.ASCII)


class DirectoryTransport:
    """Writes each mail atomically, under a name that sorts by time; creates the folder when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        """Write a message. Raises MailNotSent if the folder cannot be written to."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise MailNotSent(type(error).__name__) from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = hashlib.sha256(str(message["Message-ID"]).encode()).hexdigest()[:16]
        name = f"{time.time_ns() // 1_000_000:013d}-{identity}"
        with whole_file(self._folder / f"{name}.eml", durable=False) as file:
            file.write(as_bytes(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtMail:
    """A mail as its recipient sees it; `name` identifies it in the folder."""

    name: str
    recipient: str
    subject: str
    written_at: datetime
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str


def caught_mails(folder: Path, *, most: int) -> list[CaughtMail]:
    """Return up to `most` mails of a folder, newest first; none if the folder does not exist."""
    names = sorted((file.stem for file in folder.glob("*.eml") if _NAME.fullmatch(file.stem)), reverse=True)
    return [mail for name in names[:most] if (mail := caught_mail(folder, name)) is not None]


def caught_mail(folder: Path, name: str) -> CaughtMail | None:
    """Return a mail by its name, None if it does not exist."""
    file = folder / f"{name}.eml"
    if not _NAME.fullmatch(name) or not file.is_file():
        return None
    message = email.message_from_bytes(file.read_bytes(), policy=default)
    return CaughtMail(
        name=name,
        recipient=str(message["To"]),
        subject=str(message["Subject"]),
        written_at=message["Date"].datetime,
        headers=tuple((header, str(value)) for header, value in message.items()),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return "" if part is None else str(part.get_content())
