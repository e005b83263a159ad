"""Programs of npm for tests: installed into a cache, from the lock file in a folder."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class CannotRunError(Exception):
    """A program of npm cannot run on this machine; the message says why."""


def installed(folder: Path) -> tuple[str, Path]:
    """Return the command of node, and where the packages of a folder are, installing them the first time.

    Raises CannotRunError.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise CannotRunError("node and npm are not here (Debian: apt install npm)")
    lock = (folder / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "vitrina" / folder.name / hashlib.sha256(lock).hexdigest()[:16]
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="install-") as scratch:
            made = _install(npm, folder, Path(scratch) / folder.name)
            try:
                made.rename(home)
            except OSError:
                # Another run was quicker, from the same lock file.
                if not home.is_dir():
                    raise
    return node, home / "node_modules"


def _install(npm: str, folder: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(folder / name, target)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(install, cwd=target, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        raise CannotRunError(f"npm could not install {folder.name}: {done.stderr.strip() or done.stdout.strip()}")
    return target
