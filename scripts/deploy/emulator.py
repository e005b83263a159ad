"""The AWS emulator for a deployment: MiniStack with all its services, which checks signatures and policies as AWS does.

`scripts/deploy/emulator` runs it until Ctrl-C; nothing of it outlives the process.
"""

import os
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from scripts.devstack.engines import LOOPBACK, ROOT, Engine, EngineError

PORT: Final = 4566
"""The default port."""
REGION: Final = "us-east-1"
ACCOUNT_KEY: Final = "test"
"""The id and the secret of the access key of the account's root user, which may do everything."""


def emulator(*, port: int = 0, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> Engine:
    """Return the emulator. It denies what no policy allows, and records calls as CloudTrail does.

    It runs functions on its own interpreter, whichever version of Python they name, and unpacks them into `folder`.
    Functions inherit `variables`.
    """
    python = ROOT / ".venv-ministack" / "bin" / "python"

    def command(_: int) -> list[str]:
        if not python.exists():
            raise EngineError(f"MiniStack is not installed ({python} is missing): run scripts/install ministack")
        # Functions inherit its variables, which must not be those of whoever starts it.
        own = [option for name in os.environ if name.startswith(("VITRINA_", "PYTHON")) for option in ("-u", name)]
        return ["env", *own, str(python), "-m", "ministack"]

    def environment(port: int) -> dict[str, str]:
        return {
            **(variables or {}),
            **({"TMPDIR": str(folder)} if folder else {}),
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "localhost",  # An API is a name below it.
            "AWS_DEFAULT_REGION": REGION,
            "AUTH": "true",
            "CLOUDTRAIL_RECORDING": "1",
            "CLOUDTRAIL_MAX_EVENTS": "100000",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent",
            "LOG_LEVEL": "WARNING",
        }

    return Engine("MiniStack", command, environment=environment, probe="/_ministack/health", port=port)


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True, help="Its port on loopback.")
def main(port: int) -> None:
    """Run an emulator of AWS, for `scripts/deploy/up --to emulator`, until Ctrl-C. It keeps nothing."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        # With SO_REUSEADDR, as servers set it. Another server on the port would answer the probe in its place.
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise click.ClickException(f"Port {port} cannot be used ({why}): name another by --port.") from None
    engine = emulator(port=port).start()
    try:
        click.echo(f"The emulator is ready at {engine.wait()}. Ctrl-C ends it.")
        while not ended.wait(1):
            if engine.process.poll() is not None:
                click.echo("The emulator has ended by itself: start it again, and deploy again.", err=True)
                raise click.exceptions.Exit(1)
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    finally:
        engine.stop()


if __name__ == "__main__":
    main(prog_name="scripts/deploy/emulator")
