"""newman, Postman's runner: npm installs it into a cache, from the lock file beside the collection."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "scripts" / "postman"
COLLECTION = FOLDER / "vitrina.postman_collection.json"


class CannotRunError(Exception):
    """newman cannot run on this machine; the message says why."""


def newman() -> list[str]:
    """Return the command of newman, installing it (66 MB) the first time. Raises CannotRunError."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise CannotRunError("node and npm are not here (Debian: apt install npm)")
    lock = (FOLDER / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "vitrina" / "newman" / hashlib.sha256(lock).hexdigest()[:16]
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="install-") as scratch:
            installed = _install(npm, Path(scratch) / "newman")
            try:
                installed.rename(home)
            except OSError:
                # Another run was quicker, from the same lock file.
                if not home.is_dir():
                    raise
    return [node, str(home / "node_modules" / "newman" / "bin" / "newman.js")]


def _install(npm: str, folder: Path) -> Path:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, folder)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        raise CannotRunError(f"npm could not install newman: {done.stderr.strip() or done.stdout.strip()}")
    return folder
