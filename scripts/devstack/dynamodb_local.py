"""AWS's DynamoDB Local without Docker: fetched once into a cache, checked, and started on this machine's Java.

The standard library alone, so that `scripts/dynamodb-local` runs this file on a bare checkout. The licence forbids
redistribution, so the program is never part of the tree: AWS's own npm package carries it, and npm fetches that.
"""

import argparse
import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "amplify-dynamodb-simulator"
VERSION = "2.9.30"
SHA512 = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="
"""The package's integrity as the registry states it: base64 of the archive's SHA-512."""

LICENCE = (
    "DynamoDB Local is AWS's, under the Amazon DynamoDB Local License Agreement (you need an AWS account in good "
    "standing, and may not pass it on): {0}/LICENSE.txt, and THIRD-PARTY-LICENSES.txt beside it"
)
EXIT_MISSING = 3
_LAST_PORT = 65_535


class MissingToolError(Exception):
    """A program that DynamoDB Local needs is missing; the message says which, and how to install it."""


class DownloadError(Exception):
    """DynamoDB Local could not be downloaded, or the download has another hash."""


class PortUnusable(Exception):
    """The program cannot listen on the port."""


def fetch() -> Path:
    """Return the program's folder; the first call downloads it (54 MB).

    Raises MissingToolError without npm, and DownloadError.
    """
    home = _cache() / VERSION
    if home.is_dir():
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise MissingToolError("npm is needed once, to download DynamoDB Local (Debian: apt install npm)")
    home.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading DynamoDB Local (54 MB) to {home}\n{LICENCE.format(home)}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="download-") as scratch:
        unpacked = _unpack(_download(npm, Path(scratch)), Path(scratch) / "unpacked")
        try:
            unpacked.rename(home)
        except OSError:
            # Another process was faster; its copy passed the same check.
            if not home.is_dir():
                raise
    return home


def command(*, port: int, db_path: Path | None = None) -> list[str]:
    """Return the command that serves on the port, with the data in memory or in `db_path`; downloads the program.

    DynamoDB Local has no option to listen on loopback only: it uses every interface. Raises what `fetch` raises, and
    MissingToolError without a working Java.
    """
    java = shutil.which("java")
    # macOS has a placeholder that only prints where to get Java, so it must also run.
    if java is None or subprocess.run([java, "-version"], capture_output=True, check=False).returncode:
        raise MissingToolError("DynamoDB Local needs Java 17 or later (Debian: apt install default-jre-headless)")
    home = fetch()
    storage = ["-inMemory"] if db_path is None else ["-dbPath", str(db_path.resolve())]
    library = f"-Djava.library.path={home / 'DynamoDBLocal_lib'}"
    jar = str(home / "DynamoDBLocal.jar")
    return [java, library, "-jar", jar, "-sharedDb", "-disableTelemetry", "-port", str(port), *storage]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vitrina" / "dynamodb-local"


def _download(npm: str, folder: Path) -> Path:
    pack = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(pack, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise DownloadError(f"npm could not download {PACKAGE}@{VERSION}: {done.stderr.strip() or done.stdout.strip()}")
    with archives[0].open("rb") as archive:
        digest = hashlib.file_digest(archive, "sha512").digest()
    if base64.b64encode(digest).decode() != SHA512:
        raise DownloadError(f"{PACKAGE}@{VERSION} does not have the pinned hash; the download was deleted")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as package:
        for member in package:
            inside = member.name.removeprefix("package/emulator/")
            content = package.extractfile(member) if inside != member.name else None
            if content is not None:
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
    return folder


def _check_port(port: int) -> None:
    """Raise PortUnusable if nothing can listen there: the program would print Java's traces, and stay."""
    if not 0 < port <= _LAST_PORT:
        raise PortUnusable(f"--port: {port} is not from 1 to {_LAST_PORT}")
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise PortUnusable(f"cannot listen on port {port} ({why}): stop what listens there, or use --port") from error


def main() -> None:
    """Replace this process by DynamoDB Local, so that signals reach it; exit code 3: Java or npm is missing."""
    parser = argparse.ArgumentParser(prog="scripts/dynamodb-local", description="Run AWS's DynamoDB Local.")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, on every interface (default: 8000)")
    parser.add_argument("--db-path", type=Path, metavar="DIR", help="keep the data in this folder (default: in memory)")
    parser.add_argument(
        "--fetch-only", action="store_true", help="download the program if it is missing, print its folder and stop"
    )
    arguments = parser.parse_args()
    try:
        if arguments.fetch_only:
            print(fetch())
            return
        _check_port(arguments.port)
        if arguments.db_path:
            arguments.db_path.mkdir(parents=True, exist_ok=True)
        serve = command(port=arguments.port, db_path=arguments.db_path)
    except MissingToolError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_MISSING)
    except (DownloadError, PortUnusable) as error:
        sys.exit(str(error))
    home = fetch()
    print(LICENCE.format(home), file=sys.stderr, flush=True)
    os.chdir(home)  # It writes a file into its working directory.
    os.execv(serve[0], serve)  # noqa: S606 - needs no shell


if __name__ == "__main__":
    main()
