"""Mail by a real SMTP server with its moods, by SES, and into a folder."""

import asyncio
import email
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from botocore.exceptions import ClientError

from tests.mail.samples import mail, notice, recipient
from tests.service import settings_for
from vitrina.aws import connect_mail
from vitrina.domain.notices import Language
from vitrina.mail.directory import DirectoryTransport
from vitrina.mail.message import compose, sender_address
from vitrina.mail.ses import SesTransport
from vitrina.mail.smtp import SmtpTransport
from vitrina.mail.transport import MailNotSent, MailRefused, as_bytes, open_transport

HOST = "127.0.0.1"


def message(to: str = "ana@example.com", sender: str = "notices@shop.example") -> EmailMessage:
    """A message."""
    one = notice()
    return compose(
        mail(one),
        [one],
        recipient=recipient(email=to),
        language=Language.ENGLISH,
        sender=sender_address(sender),
    )


class Server:
    """What the server answers, what it got, and over how many connections."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.connections: list[asyncio.Transport] = []
        self.rcpt = "250 OK"
        self.data = "250 OK"
        self.hangs = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take or refuse a message."""
        if self.hangs:
            await asyncio.sleep(3600)
        self.got.append(envelope)
        return self.data


class Connection(SMTP):
    """A connection that its server knows."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's own
        """Remember the connection."""
        self.event_handler.connections.append(transport)
        super().connection_made(transport)


@asynccontextmanager
async def listening(server: Server, **options: Any) -> AsyncIterator[int]:  # noqa: ANN401 - aiosmtpd's options
    """Serve SMTP on a port."""
    tls = options.pop("ssl", None)
    loop = asyncio.get_running_loop()
    factory: Callable[[], asyncio.BaseProtocol] = partial(
        Connection, server, hostname="server", enable_SMTPUTF8=True, loop=loop, **options
    )
    listener = await loop.create_server(factory, HOST, 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for connection in server.connections:
            connection.abort()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def by_smtp(port: int, **options: Any) -> AsyncIterator[SmtpTransport]:  # noqa: ANN401 - the transport's options
    """Send to a port."""
    transport = SmtpTransport(host=HOST, port=port, **options)
    yield transport
    await transport.aclose()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine that nobody else believes, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate", folder / "key"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=server".split()
    subprocess.run(
        [*make, "-addext", f"subjectAltName=IP:{HOST}", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_a_message_arrives_as_it_was_written() -> None:
    """From the sender to the recipient of its headers."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        await transport.send(message())
    [envelope] = server.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("notices@shop.example", ["ana@example.com"])
    assert envelope.content == as_bytes(message())


async def test_a_connection_serves_many_messages() -> None:
    """One after another by one; several at once by several, which stay."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        for _ in range(3):
            await transport.send(message())
        assert len(server.connections) == 1
        await asyncio.gather(*(transport.send(message()) for _ in range(3)))
        await asyncio.gather(*(transport.send(message()) for _ in range(3)))
        assert len(server.connections) == 3
    assert len(server.got) == 9


async def test_a_connection_that_died_is_opened_anew() -> None:
    """Servers end those that idle."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        await transport.send(message())
        server.connections[0].abort()
        await transport.send(message())
    assert len(server.got) == 2
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("rcpt", "data", "error"),
    [
        ("550 5.1.1 <ana@example.com> unknown", "250 OK", MailRefused),
        ("450 4.2.1 <ana@example.com> try later", "250 OK", MailNotSent),
        ("250 OK", "554 5.7.1 <ana@example.com> spam", MailRefused),
        ("250 OK", "451 4.3.0 <ana@example.com> try later", MailNotSent),
    ],
)
async def test_a_refusal_for_good_is_told_from_one_for_now(rcpt: str, data: str, error: type[Exception]) -> None:
    """No address gets into the error, and the next mail goes by the same connection."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        server.rcpt, server.data = rcpt, data
        with pytest.raises(error) as caught:
            await transport.send(message())
        assert "@" not in str(caught.value)
        server.rcpt, server.data = "250 OK", "250 OK"
        await transport.send(message())
    assert len(server.connections) == 1


async def test_a_server_that_is_not_there_or_drops_the_connection_is_tried_again() -> None:
    """Nobody knows whether a mail whose answer did not come was taken."""
    server = Server()

    async def drop(*_: object) -> str:
        server.connections[-1].abort()
        return "250 OK"

    server.handle_DATA = drop  # type: ignore[method-assign, assignment]
    async with listening(server) as port, by_smtp(port) as transport:
        with pytest.raises(MailNotSent):
            await transport.send(message())
    async with by_smtp(port) as transport:
        with pytest.raises(MailNotSent):
            await transport.send(message())


async def test_a_server_that_hangs_is_left() -> None:
    """Whoever sends sets the time; the connection is not used again."""
    server = Server()
    server.hangs = True
    async with listening(server) as port, by_smtp(port) as transport:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await transport.send(message())
        server.hangs = False
        await transport.send(message())
        assert len(server.connections) == 2
        # One that is idle may hang as well.
        server.connections[1].pause_reading()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await transport.send(message())
        await transport.send(message())
        assert len(server.connections) == 3


async def test_leaving_a_server_that_is_gone_is_no_failure() -> None:
    """There is nothing to take leave of."""
    server = Server()
    transport = SmtpTransport(host=HOST, port=0)
    async with listening(server) as port:
        transport._port = port
        await transport.send(message())
    await transport.aclose()
    await transport.aclose()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd sees no TLS below it
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_connection_is_encrypted_and_signed_in_when_asked_for(
    security: str, certificate: tuple[Path, Path]
) -> None:
    """By STARTTLS or from the first byte; a certificate that is not believed gets no mail, a wrong password neither."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    believing = ssl.create_default_context(cafile=certificate[0])

    def sign_in(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401
        return AuthResult(success=(data.login, data.password) == (b"vitrina", b"secret"), handled=False)

    options: dict[str, Any] = {"authenticator": sign_in, "auth_required": True, "auth_require_tls": False}
    options |= {"ssl": context} if security == "tls" else {"tls_context": context, "require_starttls": True}
    server = Server()
    login = {"security": security, "username": "vitrina", "password": "secret"}
    async with listening(server, **options) as port:
        async with by_smtp(port, tls=believing, **login) as transport:
            await transport.send(message())
        for wrong in (login, login | {"tls": believing, "password": "wrong"}):
            async with by_smtp(port, **wrong) as transport:
                with pytest.raises(MailNotSent):
                    await transport.send(message())
    assert len(server.got) == 1


async def test_an_address_outside_of_ascii_asks_the_server_for_more() -> None:
    """One that cannot take it never will."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        await transport.send(message(to="josé@example.com"))
        assert server.got[0].rcpt_tos == ["josé@example.com"]
    async with listening(server) as port, by_smtp(port) as transport:
        await transport.send(message())
        transport._idle[0].esmtp_extensions.pop("smtputf8", None)
        with pytest.raises(MailRefused):
            await transport.send(message(to="josé@example.com"))


async def test_a_folder_gets_a_file_a_mail(tmp_path: Path) -> None:
    """Whole, in the order of their arrival, and nothing beside them."""
    settings = settings_for("", mail_transport="directory", mail_directory=str(tmp_path / "mails"))
    async with open_transport(settings) as transport:
        await transport.send(message())
        await asyncio.sleep(0.002)
        await transport.send(message("luis@example.com"))
    files = sorted((tmp_path / "mails").iterdir())
    assert [file.suffix for file in files] == [".eml", ".eml"]
    read = [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]
    assert [one["To"].addresses[0].addr_spec for one in read] == ["ana@example.com", "luis@example.com"]


async def test_a_folder_that_cannot_be_written_to_is_tried_again(tmp_path: Path) -> None:
    """A full disk gets empty."""
    (tmp_path / "file").touch()
    with pytest.raises(MailNotSent):
        await DirectoryTransport(tmp_path / "file").send(message())


async def test_the_settings_choose_smtp_by_default() -> None:
    """With the port that they name."""
    server = Server()
    async with listening(server) as port:
        settings = settings_for("", smtp_host=HOST, smtp_port=port)
        async with open_transport(settings) as transport:
            await transport.send(message())
    assert len(server.got) == 1


async def test_ses_takes_the_raw_message_and_refuses_for_good_or_for_now(ministack: str) -> None:
    """A sender that is not verified is refused as SES does it; an endpoint that is not there is tried again."""
    settings = settings_for(ministack, mail_transport="ses", ses_endpoint=ministack)
    async with connect_mail(settings) as client, open_transport(settings) as transport:
        for identity in ("notices@shop.example", "ana@example.com"):
            await client.create_email_identity(EmailIdentity=identity)
        await transport.send(message())
        with pytest.raises(MailRefused, match="MessageRejected"):
            await transport.send(message(sender="nobody@shop.example"))
    async with open_transport(settings_for("", mail_transport="ses", ses_endpoint="http://127.0.0.1:9")) as transport:
        with pytest.raises(MailNotSent):
            await transport.send(message())


async def test_ses_that_throttles_is_tried_again() -> None:
    """Only what is said of the mail itself is for good."""

    class Throttling:
        async def send_email(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": ""}}, "SendEmail")

    with pytest.raises(MailNotSent, match="TooManyRequestsException"):
        await SesTransport(Throttling()).send(message())  # type: ignore[arg-type]
