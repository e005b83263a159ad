"""What `scripts/deploy/up` needs: each thing that is missing is one sentence, which says how to get it."""

import json
import re
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import IncompleteRead
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click import ClickException
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scripts.deploy import commands
from scripts.deploy.deployment import show
from scripts.deploy.emulator import main as run_emulator
from scripts.deploy.stack import Change, ChangeSet
from scripts.deploy.target import Target, check_sender
from scripts.devstack.engines import LOOPBACK, free_port

COMMANDS = ("up", "down", "status", "logs")
KEYS = {
    "CodeKey": "code.zip",
    "LayerKey": "layer.zip",
    "ReportsLayerKey": "reports.zip",
    "TracingLayerKey": "tracing.zip",
}


def refused(command: str, build: Path, *options: str) -> str:
    """Run a command of `scripts/deploy` that must fail, and return its sentence."""
    where = ("--build", str(build)) if command == "up" else ()
    done = CliRunner().invoke(commands.main, [command, *where, *options])
    assert (done.exit_code, done.output.startswith("Error: ")) == (1, True), done.output
    return done.output


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build for a Python of AWS."""
    for name in KEYS.values():
        (tmp_path / name).touch()
    describe(tmp_path, "python3.13")
    return tmp_path


def describe(build: Path, runtime: str) -> None:
    """Write what a build is."""
    (build / "artifacts.json").write_text(json.dumps(KEYS | {"Runtime": runtime}))


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server with a certificate for another host, and the file of the authority that signed it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=shop.example")
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    with ThreadingHTTPServer((LOOPBACK, 0), SimpleHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"https://{LOOPBACK}:{server.server_port}/", file
        server.shutdown()


def test_a_balancer_is_asked_by_its_own_host(balancer: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is for the domain that points to it, but by an authority that is known."""
    url, authority = balancer
    assert Target(kind="aws").get(url).status == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert Target(kind="aws").get(url).status == 200


def test_nothing_is_built(tmp_path: Path, build: Path) -> None:
    assert "run scripts/deploy/build --out" in refused("up", tmp_path / "none")
    (build / "code.zip").unlink()
    assert "code.zip is missing: run scripts/deploy/build" in refused("up", build)


def test_a_build_that_was_interrupted(build: Path) -> None:
    (build / "artifacts.json").write_text('{"CodeKey":')
    assert "artifacts.json is not whole: run scripts/deploy/build" in refused("up", build)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["up", "-p", "ApiOn"], "write NAME=VALUE"),
        (["status", "--to", "emulator", "--endpoint", "localhost:4566"], "not a URL such as"),
        (["logs", "--minutes", "-5"], "-5.0 is not in the range"),
    ],
)
def test_an_option_that_makes_no_sense(arguments: list[str], reason: str) -> None:
    """Before anything is looked for."""
    done = CliRunner().invoke(commands.main, arguments)
    assert (done.exit_code, reason in done.output) == (2, True), done.output


def test_a_sender_that_is_no_address() -> None:
    """With it neither notifier nor mail could start, and each notice would become a dead letter."""
    for fine in ({}, {"MailIdentity": "ana@shop.example", "MailFrom": "Ana <ana@shop.example>"}):
        check_sender(fine)
    for wrong in ({"MailIdentity": "ana@shop.example"}, {"MailFrom": "Ana"}):
        with pytest.raises(ClickException, match=r"not an e-mail address .* -p MailFrom=\.\.\."):
            check_sender(wrong)


def test_the_port_of_the_emulator_is_in_use() -> None:
    """What listens there would pass for the emulator, as it answers its probe."""
    with ThreadingHTTPServer((LOOPBACK, 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        done = CliRunner().invoke(run_emulator, ["--port", str(server.server_port)])
        server.shutdown()
    assert (done.exit_code, "in use): name another by --port" in done.output) == (1, True), done.output


@pytest.mark.parametrize("terminal", [{}, {"FORCE_COLOR": "1", "COLUMNS": "60"}], ids=["log", "narrow"])
def test_a_change_is_shown_with_whole_names(
    terminal: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who confirms it must see which resource is replaced."""
    for name, value in terminal.items():
        monkeypatch.setenv(name, value)
    name, kind = "HttpMayCallReportsApiInAllRegions", "AWS::ApplicationAutoScaling::ScalableTarget"
    show(ChangeSet(id="x", changes=[Change(action="Modify", resource=name, type=kind, replacement=True)]))
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "…" not in printed
    if not terminal:
        assert printed.split()[-4:] == ["Modify,", "replaced", name, kind]


def test_a_response_that_breaks_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while a task starts: the smoke test asks again."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(IncompleteRead(b"")))
    assert Target(kind="aws").get("http://127.0.0.1:1/").status == 0


def test_a_build_for_another_python(build: Path) -> None:
    """AWS would run it, and fail at the first import of a compiled package."""
    describe(build, "python3.11")
    assert "this is Python 3.11, but the functions of template.yaml run on Python 3.12 or 3.13" in refused("up", build)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_emulator_runs(command: str, build: Path) -> None:
    printed = refused(command, build, "--to", "emulator", "--endpoint", f"http://{LOOPBACK}:{free_port()}")
    assert "run scripts/deploy/emulator in another terminal" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_no_credentials(command: str, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "No credentials of AWS are here" in refused(command, build)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_region(command: str, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert "No region is named" in refused(command, build)
