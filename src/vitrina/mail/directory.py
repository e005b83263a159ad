"""Mail caught in a folder, one file a mail: for development."""

import asyncio
import hashlib
import os
import time
from email.message import EmailMessage
from pathlib import Path

from vitrina.mail.transport import MailNotSent, as_bytes


class DirectoryTransport:
    """Writes each mail whole, under a name that sorts by the time of its arrival."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made when there is something to write."""
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        """Write a message. Raises MailNotSent when the folder cannot be written to."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise MailNotSent(type(error).__name__) from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = hashlib.sha256(str(message["Message-ID"]).encode()).hexdigest()[:16]
        name = f"{time.time_ns() // 1_000_000:013d}-{identity}"
        unfinished = self._folder / f".{name}.{os.getpid()}"
        unfinished.write_bytes(as_bytes(message))
        unfinished.replace(self._folder / f"{name}.eml")
