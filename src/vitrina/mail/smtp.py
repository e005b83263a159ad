"""Mail by SMTP (RFC 5321): connections are kept for the next mail, and answers are told apart."""

import asyncio
import ssl
from email.message import EmailMessage
from typing import Final, Literal

import structlog
from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientRefused, SMTPResponseException

from vitrina.mail.transport import MailNotSent, MailRefused, as_bytes, recipient_of, sender_of

log = structlog.get_logger(__name__)

_PERMANENT: Final = 500
_LONGEST_WAIT: Final = 300.0
"""Seconds for one answer of the server: a belt, for whoever sends gives less."""
_QUIT_TIMEOUT: Final = 2.0
_EXTENSION: Final = "SMTPUTF8"
"""What a server needs to take an address outside of ASCII (RFC 6531)."""


class SmtpTransport:
    """Sends by one server, over as many connections as there are mails at once."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Literal["none", "starttls", "tls"] = "none",
        username: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take where the server is; `tls` says whose certificates are believed, the system's if None."""
        self._host = host
        self._port = port
        self._security = security
        self._username = username
        self._password = password
        self._tls = tls
        self._idle: list[SMTP] = []

    async def send(self, message: EmailMessage) -> None:
        """Send a message. Raises MailRefused for a 5xx to the recipient or to the message, else MailNotSent."""
        try:
            connection = await self._connection()
        except (SMTPException, OSError) as error:
            raise MailNotSent(_said(error)) from error
        try:
            await _send(connection, message)
        except (SMTPRecipientRefused, SMTPDataError) as error:
            # The server is well; the next mail begins by a reset.
            self._idle.append(connection)
            if error.code >= _PERMANENT:
                raise MailRefused(_said(error)) from error
            raise MailNotSent(_said(error)) from error
        except (SMTPException, OSError) as error:
            connection.close()
            raise MailNotSent(_said(error)) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    async def aclose(self) -> None:
        """Take leave of the server."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection) for connection in idle))

    async def _connection(self) -> SMTP:
        """Return a connection that lives: one that is idle and answers, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.rset()
            except (SMTPException, OSError):
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        connection = SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username or None,
            password=self._password or None,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=self._tls,
            timeout=_LONGEST_WAIT,
        )
        await connection.connect()
        return connection


async def _send(connection: SMTP, message: EmailMessage) -> None:
    sender, recipient = sender_of(message), recipient_of(message)
    options = []
    if not (sender.isascii() and recipient.isascii()):
        if connection.is_ehlo_or_helo_needed:
            await connection.ehlo()
        if not connection.supports_extension(_EXTENSION):
            raise MailRefused("the server takes no address outside of ASCII")
        options.append(_EXTENSION)
    await connection.mail(sender, options=options, encoding="utf-8")
    await connection.rcpt(recipient, encoding="utf-8")
    await connection.data(as_bytes(message))


async def _quit(connection: SMTP) -> None:
    try:
        await connection.quit(timeout=_QUIT_TIMEOUT)
    except (SMTPException, OSError) as error:
        log.debug("smtp_quit_failed", error=type(error).__name__)
        connection.close()


def _said(error: Exception) -> str:
    """Say what failed without the server's own words, which repeat addresses."""
    code = f" {error.code}" if isinstance(error, SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
