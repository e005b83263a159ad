"""The transports: a real SMTP server, SES and a folder."""

import asyncio
import email
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.mail.samples import mail, notice, recipient
from tests.service import settings_for
from vitrina.domain.notices import Language
from vitrina.mail.message import compose, sender_address
from vitrina.mail.smtp import SmtpTransport
from vitrina.mail.transport import DirectoryTransport, MailHeldBack, MailNotSent, MailRefused, Message, open_transport

HOST = "127.0.0.1"


def message(to: str = "ana@example.com", sender: str = "notices@shop.example") -> Message:
    one = notice()
    return compose(
        mail(one),
        [one],
        recipient=recipient(email=to),
        language=Language.ENGLISH,
        sender=sender_address(sender),
    )


class Server:
    """An SMTP server with configurable replies; records envelopes and connections."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.connections: list[asyncio.Transport] = []
        self.mail = "250 OK"
        self.rcpt = "250 OK"
        self.data = "250 OK"
        self.hangs = False
        self.receives = asyncio.Event()
        self.most_connections = 10

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return self.mail

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.receives.set()
        if self.hangs:
            await asyncio.sleep(3600)
        self.got.append(envelope)
        return self.data


class Connection(SMTP):
    """A connection that registers itself with its server."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's own
        self.event_handler.connections.append(transport)
        super().connection_made(transport)
        if len(self.event_handler.connections) > self.event_handler.most_connections:
            transport.abort()


@asynccontextmanager
async def listening(server: Server, **options: Any) -> AsyncIterator[int]:  # noqa: ANN401 - aiosmtpd's options
    """Serve SMTP on a free port, and yield the port."""
    tls = options.pop("ssl", None)
    loop = asyncio.get_running_loop()
    factory: Callable[[], asyncio.BaseProtocol] = partial(Connection, server, hostname="server", loop=loop, **options)
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
    """Yield a transport to a port."""
    transport = SmtpTransport(host=HOST, port=port, **options)
    yield transport
    await transport.aclose()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate", folder / "key"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=server".split()
    subprocess.run(
        [*make, "-addext", f"subjectAltName=IP:{HOST}", "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_a_message_arrives_unchanged() -> None:
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        await transport.send(message())
    [envelope] = server.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("notices@shop.example", ["ana@example.com"])
    assert envelope.content == message().data


async def test_a_connection_serves_many_messages() -> None:
    """Sequential messages share a connection; concurrent ones open more, which are kept."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        for _ in range(3):
            await transport.send(message())
        assert len(server.connections) == 1
        await asyncio.gather(*(transport.send(message()) for _ in range(3)))
        await asyncio.gather(*(transport.send(message()) for _ in range(3)))
        assert len(server.connections) == 3
    assert len(server.got) == 9


async def test_a_dead_connection_is_replaced() -> None:
    """Servers close idle connections."""
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
async def test_permanent_and_temporary_refusals_differ(rcpt: str, data: str, error: type[Exception]) -> None:
    """The error contains no address, and the connection is reused."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        server.rcpt, server.data = rcpt, data
        with pytest.raises(error) as caught:
            await transport.send(message())
        assert "@" not in str(caught.value)
        server.rcpt, server.data = "250 OK", "250 OK"
        await transport.send(message())
    assert len(server.connections) == 1


async def test_a_dropped_connection_is_temporary() -> None:
    """Without a reply it is unknown whether the mail was accepted."""
    server = Server()

    async def drop(*_: object) -> str:
        server.connections[-1].abort()
        return "250 OK"

    server.handle_DATA = drop  # type: ignore[method-assign, assignment]
    async with listening(server) as port, by_smtp(port) as transport:
        with pytest.raises(MailNotSent):
            await transport.send(message())


async def test_a_server_that_is_away_or_silent_holds_all_mail_back() -> None:
    """It is not the mail's fault, and a server can be away for longer than a mail has attempts."""
    async with listening(Server()) as port:
        pass
    async with by_smtp(port) as transport:
        with pytest.raises(MailHeldBack, match="SMTPConnectError") as away:
            await transport.send(message())
    assert away.value.concerns_all
    silent = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(3600), HOST, 0)
    async with silent, by_smtp(silent.sockets[0].getsockname()[1], connect_timeout=0.1) as transport:
        with pytest.raises(MailHeldBack, match="TimeoutError"):
            await transport.send(message())


async def test_a_connection_too_many_holds_one_mail_back() -> None:
    server = Server()
    server.most_connections = 1
    server.hangs = True
    async with listening(server) as port, by_smtp(port) as transport:
        first = asyncio.create_task(transport.send(message()))
        await server.receives.wait()
        with pytest.raises(MailHeldBack) as caught:
            await transport.send(message())
        assert not caught.value.concerns_all
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_refused_sender_holds_all_mail_back() -> None:
    """No other mail of the service would pass; the connection is reused."""
    server = Server()
    async with listening(server) as port, by_smtp(port) as transport:
        server.mail = "550 5.7.1 <notices@shop.example> not yours"
        with pytest.raises(MailHeldBack) as caught:
            await transport.send(message())
        assert str(caught.value) == "SMTPSenderRefused 550"
        server.mail = "250 OK"
        await transport.send(message())
    assert len(server.connections) == 1


async def test_a_connection_is_discarded_when_the_caller_gives_up() -> None:
    """The caller sets the timeout."""
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


async def test_closing_ignores_a_server_that_is_gone() -> None:
    async with listening(Server()) as port:
        transport = SmtpTransport(host=HOST, port=port)
        await transport.send(message())
    await transport.aclose()
    await transport.aclose()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # aiosmtpd sees no TLS below it
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_tls_and_authentication(security: str, certificate: tuple[Path, Path]) -> None:
    """An untrusted certificate or a wrong password gets no mail."""
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
                with pytest.raises(MailHeldBack):
                    await transport.send(message())
    assert len(server.got) == 1


async def test_a_folder_gets_one_file_for_each_mail(tmp_path: Path) -> None:
    """Complete files that sort by arrival, and no temporary ones."""
    settings = settings_for("", mail_transport="directory", mail_directory=str(tmp_path / "mails"))
    async with open_transport(settings) as transport:
        await transport.send(message())
        await asyncio.sleep(0.002)
        await transport.send(message("luis@example.com"))
    files = sorted((tmp_path / "mails").iterdir())
    assert [file.suffix for file in files] == [".eml", ".eml"]
    read = [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]
    assert [one["To"].addresses[0].addr_spec for one in read] == ["ana@example.com", "luis@example.com"]


async def test_an_unwritable_folder_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MailNotSent):
        await DirectoryTransport(tmp_path / "file").send(message())


async def test_the_settings_choose_smtp_by_default() -> None:
    server = Server()
    async with listening(server) as port:
        settings = settings_for("", smtp_host=HOST, smtp_port=port)
        async with open_transport(settings) as transport:
            await transport.send(message())
    assert len(server.got) == 1
