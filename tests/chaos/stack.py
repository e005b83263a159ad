"""Processes and fakes for the chaos tests: relays and notifiers, a mail server, and a load of price changes."""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session as SmtpSession
from pydantic import SecretStr

from scripts.devstack.engines import free_port
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.notices import Language
from vitrina.domain.users import User
from vitrina.mail.message import ATTEMPT_HEADER
from vitrina.mail.translations import TRANSLATIONS


class Worker:
    """A `vitrina` command in a process of its own, which a test can kill, suspend and resume."""

    def __init__(self, command: str, settings: Settings, folder: Path) -> None:
        self.command = command
        self._environment = os.environ | environment(settings)
        self._log = folder / f"{command}-{free_port()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, for the first time or again."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vitrina", self.command], env=self._environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self._signal(signal.SIGKILL)
        self._running.wait()

    def freeze(self) -> None:
        """Suspend the process."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Resume the process."""
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self._signal(signal.SIGTERM)
        return self._running.wait(30)

    def log(self) -> str:
        """Return everything the process has logged."""
        return self._log.read_text(errors="replace")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)


@contextmanager
def working(*workers: Worker) -> Iterator[None]:
    """Start workers, and end all of them on exit."""
    try:
        for worker in workers:
            worker.start()
        yield
    finally:
        for worker in workers:
            if worker._process is not None:
                worker.kill()


@dataclass(frozen=True, slots=True)
class Mail:
    """An accepted mail: its recipient, Message-ID, attempt number, and how many notices it contains."""

    to: str
    message_id: str
    attempt: int
    notices: int


class MailServer:
    """An SMTP server that accepts every mail."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, _server: SMTP, _session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Store a mail."""
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        of_many = re.match(TRANSLATIONS[Language.ENGLISH].digest_subject.format(number=r"(\d+)"), message["Subject"])
        mail = Mail(
            to=envelope.rcpt_tos[0],
            message_id=message["Message-ID"],
            attempt=int(message[ATTEMPT_HEADER] or 1),
            notices=int(of_many[1]) if of_many else 1,
        )
        self.mails.append(mail)
        return "250 taken"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


@dataclass(slots=True)
class PriceLoad:
    """Changes prices; `moved` holds the product and version of each change, by the account that made it."""

    services: Services
    actors: list[User]
    products: list[str]
    moved: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, *, seconds: float, rate: float, dice: random.Random) -> None:
        """Change `rate` prices a second, each to a price that no product has had."""
        for number in range(int(seconds * rate)):
            product_id = self.products[number % len(self.products)]
            task = asyncio.create_task(self._move(product_id, dice.choice(self.actors), number))
            self._tasks.add(task)
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*self._tasks)

    async def _move(self, product_id: str, actor: User, number: int) -> None:
        product = await self.services.products.change(
            product_id,
            {"price": Decimal(1_000 + number) / 100},
            by=actor.id,
            request_id=f"load-{number}",
            expected=None,
        )
        self.moved.setdefault(actor.id, []).append((product_id, product.version))

    @property
    def number(self) -> int:
        """Return how many prices have changed."""
        return sum(map(len, self.moved.values()))

    def told_to(self, user: User) -> set[tuple[str, int]]:
        """Return the changes that an admin is notified of: all except the admin's own."""
        return {move for actor, moves in self.moved.items() if actor != user.id for move in moves}


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    """Wait until a condition holds. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.2)


def environment(settings: Settings) -> dict[str, str]:
    """Return settings as environment variables of a process."""
    return {f"VITRINA_{name.upper()}": _text(getattr(settings, name)) for name in settings.model_fields_set}


def _text(value: Any) -> str:  # noqa: ANN401 - each setting has its own type
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)
