"""Sends mail by SMTP (RFC 5321) over connections that are reused."""

import asyncio
import ssl
from functools import partial
from typing import Final, Literal

import structlog
from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, Message, Transport

log = structlog.get_logger(__name__)

_PERMANENT: Final = 500
_LONGEST_WAIT: Final = 300.0
"""Seconds to wait for a response: an upper bound, since callers set shorter timeouts."""
_QUIT_TIMEOUT: Final = 2.0


class SmtpTransport(Transport):
    """A transport to one server, with a connection for each concurrent mail.

    `tls` verifies the server's certificate; None stands for the system's certificates. `connect_timeout` limits the
    seconds to connect and to sign in.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: Literal["none", "starttls", "tls"] = "none",
        username: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        self._new_connection = partial(
            SMTP,
            hostname=host,
            port=port,
            username=username or None,
            password=password or None,
            use_tls=security == "tls",
            start_tls=security == "starttls",
            tls_context=tls,
            timeout=_LONGEST_WAIT,
        )
        self._connect_timeout = connect_timeout
        self._idle: list[SMTP] = []
        self._sending = 0

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises MailRefused for a 5xx reply to the recipient or the message, MailHeldBack without a connection or for a
        refused sender, else MailNotSent.
        """
        self._sending += 1
        try:
            await self._send(await self._connection(), message)
        finally:
            self._sending -= 1

    async def aclose(self) -> None:
        """Close all idle connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection) for connection in idle))

    async def _send(self, connection: SMTP, message: Message) -> None:
        """Send a message over a connection, and keep the connection if it is still usable."""
        try:
            await connection.mail(message.sender.address)
            await connection.rcpt(message.recipient.address)
            await connection.data(message.data)
        except (SMTPRecipientRefused, SMTPDataError) as error:
            self._idle.append(connection)  # The next mail starts with RSET.
            if error.code >= _PERMANENT:
                raise MailRefused(_description(error)) from error
            raise MailNotSent(_description(error)) from error
        except SMTPSenderRefused as error:
            self._idle.append(connection)
            raise MailHeldBack(_description(error), "let the mail server take mail from VITRINA_MAIL_FROM") from error
        except (SMTPException, OSError) as error:
            connection.close()
            raise MailNotSent(_description(error)) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    async def _connection(self) -> SMTP:
        """Return an idle connection that still responds, or a new one. Raises MailHeldBack.

        That concerns all mail unless other mails are being sent: a server may limit the connections of a client.
        """
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
        connection = self._new_connection()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
        except (SMTPException, OSError) as error:
            advice = "check the mail server and the settings VITRINA_SMTP_*"
            raise MailHeldBack(_description(error), advice, concerns_all=self._sending == 1) from error
        return connection


async def _quit(connection: SMTP) -> None:
    try:
        await connection.quit(timeout=_QUIT_TIMEOUT)
    except (SMTPException, OSError) as error:
        log.debug("smtp_quit_failed", error=type(error).__name__)
        connection.close()


def _description(error: Exception) -> str:
    """Describe an error without the server's text, which may contain addresses."""
    code = f" {error.code}" if isinstance(error, SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"
