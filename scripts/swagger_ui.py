"""`python -m scripts.swagger_ui VERSION` replaces the vendored files of Swagger UI by those of a release.

npm downloads the package swagger-ui-dist and verifies it; `scripts/requirements/swagger-ui.json` locks its files.
"""

import base64
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "src/vitrina/api/openapi/swagger_ui"
LOCK: Final = ROOT / "scripts/requirements/swagger-ui.json"
_PACKAGE: Final = "swagger-ui-dist"
_FILES: Final = (
    "LICENSE", "NOTICE", "favicon-32x32.png", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)  # fmt: skip


@click.command()
@click.argument("version")
def vendor(version: str) -> None:
    """Replace the files of Swagger UI by those of VERSION."""
    with TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", "--pack-destination", scratch, f"{_PACKAGE}@{version}"]
        subprocess.run(command, check=True, timeout=120)
        [archive] = Path(scratch).glob("*.tgz")
        with tarfile.open(archive) as package:
            for name in _FILES:
                file = package.extractfile(f"package/{name}")
                assert file is not None  # noqa: S101 - extractfile raises KeyError for a missing file
                (FOLDER / name).write_bytes(file.read())
        lock = {"name": _PACKAGE, "version": version, "integrity": integrity(archive.read_bytes()), "files": locked()}
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")


def locked() -> dict[str, str]:
    """Return the integrity of each vendored file."""
    return {path.name: integrity(path.read_bytes()) for path in sorted(FOLDER.iterdir())}


def integrity(content: bytes) -> str:
    """Return the hash as npm's lock files write it (W3C Subresource Integrity)."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


if __name__ == "__main__":
    vendor()
