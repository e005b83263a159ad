"""A transport for development that writes mail to a folder, one file each."""

import asyncio
import hashlib
import time
from email.message import EmailMessage
from pathlib import Path

from vitrina.files import whole_file
from vitrina.mail.transport import MailNotSent, as_bytes


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
