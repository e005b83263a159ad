"""What `scripts/deploy/build` makes, once for all tests, and versions of the code made from it."""

import hashlib
import json
import os
import re
import tempfile
import zipfile
from pathlib import Path

from scripts.deploy import artifacts
from scripts.devstack.engines import ROOT

_SOURCES = (
    Path(artifacts.__file__),
    *(ROOT / "scripts" / "requirements" / f"{name}.txt" for name in ("server", "reports", "tracing")),
)


def layers() -> dict[str, artifacts.Artifact]:
    """Return the layers by their parameters of the template. They are built when a lock file has changed."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES) + artifacts.PYTHON.encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitrina" / "layers"
    home = cache / wanted[:16]
    if not home.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="build-") as folder:
            made = Path(folder) / "made"
            artifacts.packages(made)
            artifacts.reports(made)
            artifacts.tracing(made)
            try:
                made.rename(home)
            except OSError:  # Another process was quicker, from the same lock files.
                if not home.is_dir():
                    raise
    names = {"LayerKey": "layer", "ReportsLayerKey": "reports", "TracingLayerKey": "tracing"}
    paths = {key: next(home.glob(f"{name}-*.zip")) for key, name in names.items()}
    return {key: artifacts.Artifact(key=path.name, path=path, unpacked=0) for key, path in paths.items()}


def build(folder: Path) -> Path:
    """Return a folder as `scripts/deploy/build` leaves it."""
    folder.mkdir()
    for artifact in layers().values():
        (folder / artifact.key).symlink_to(artifact.path)
    _describe(folder, artifacts.code(folder).key)
    return folder


def changed(build: Path, folder: Path, *, version: str, broken: bool = False) -> Path:
    """Return a build like another one, whose code calls itself by a version; a broken one cannot be imported."""
    folder.mkdir()
    code = json.loads((build / "artifacts.json").read_text())["CodeKey"]
    for artifact in layers().values():
        (folder / artifact.key).symlink_to(artifact.path)
    key = f"code-{version}.zip"
    with zipfile.ZipFile(build / code) as before, zipfile.ZipFile(folder / key, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith(".dist-info/METADATA"):
                content = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), content)
            if broken and name == "vitrina/aws_lambda/api.py":
                content = b"raise RuntimeError('this version is broken')\n"
            if not name.startswith("vitrina/aws_lambda/__pycache__/api."):
                after.writestr(name, content)
    _describe(folder, key)
    return folder


def _describe(folder: Path, code: str) -> None:
    """Write the parameters of the template."""
    parameters = {key: artifact.key for key, artifact in layers().items()}
    described = parameters | {"CodeKey": code, "Runtime": f"python{artifacts.PYTHON}"}
    (folder / "artifacts.json").write_text(json.dumps(described))
