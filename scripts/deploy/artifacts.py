"""Builds what Lambda runs, zips named by their content: layers of the packages, Arrow and OpenTelemetry, and the code.

`scripts/deploy/build --out build` builds them for the Python that runs it. The same sources give the same bytes, so an
unchanged zip keeps its key and is neither uploaded nor deployed again. Beside them it writes `artifacts.json`, the
parameters of template.yaml, and `vitrina.cdx.json`, the packages as a bill of materials (CycloneDX 1.6).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from scripts.devstack.engines import ROOT

PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
LARGEST_LAYER: Final = 90 * 1024 * 1024
"""Bytes of the unzipped packages with OpenTelemetry; Lambda takes 250 MB of layers and code together."""
TEMPLATE: Final = ROOT / "scripts" / "deploy" / "template.yaml"
_LOCKS: Final = ROOT / "scripts" / "requirements"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_BUILD: Final = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
_UNUSED: Final = ("bin", "**/tests", "**/*.pyx", "**/*.pxd", "**/*.pxi", "uvloop/loop.c", "**/*.h")
_PROGRESS_BARS: Final = frozenset({"markdown-it-py", "mdurl", "pygments", "rich"})
"""Packages that structlog imports wherever they are installed, for a seventh of a cold start, and only commands use."""
_UNUSED_OF_ARROW: Final = ("pyarrow/include", "pyarrow/src", "pyarrow/*flight*")
"""What no import needs; Arrow's other libraries need each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A zip: `key` is its name, which changes with its content; `unpacked` is its size in bytes when unzipped."""

    key: str
    path: Path
    unpacked: int


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build"), show_default=True, help="The folder.")
@click.option("--for-emulator", is_flag=True, help="For an emulator, which runs functions on this Python.")
def main(out: Path, *, for_emulator: bool) -> None:
    """Build the layers and the code of the Lambda functions, for the Python that runs this."""
    if not for_emulator:
        check_runtime(PYTHON)
    built = {
        "LayerKey": packages(out),
        "ReportsLayerKey": reports(out),
        "TracingLayerKey": tracing(out),
        "CodeKey": code(out),
    }
    for artifact in built.values():
        size = artifact.path.stat().st_size
        click.echo(f"{artifact.path}: {size / 2**20:.1f} MiB, {artifact.unpacked / 2**20:.1f} MiB unzipped")
    parameters = {name: artifact.key for name, artifact in built.items()} | {"Runtime": f"python{PYTHON}"}
    (out / "artifacts.json").write_text(json.dumps(parameters, indent=2) + "\n")
    (out / "vitrina.cdx.json").write_text(json.dumps(bill_of_materials(), indent=2) + "\n")
    if built["LayerKey"].unpacked + built["TracingLayerKey"].unpacked > LARGEST_LAYER:
        raise click.ClickException(f"the packages are larger than {LARGEST_LAYER // 2**20} MiB")


def check_runtime(python: str) -> None:
    """Raise ClickException unless template.yaml runs functions on this Python, for which alone the wheels are."""
    parameter = re.search(r"^  Runtime: .*AllowedValues: \[(.+?)\]", TEMPLATE.read_text(), re.MULTILINE)
    allowed = re.findall(r"python([\d.]+)", parameter[1]) if parameter else []
    if python not in allowed:
        raise click.ClickException(
            f"this is Python {python}, but the functions of {TEMPLATE.name} run on Python {' or '.join(allowed)}: "
            f"delete .venv, then run PYTHON=python{allowed[-1]} scripts/deploy/build, or build --for-emulator"
        )


def packages(out: Path) -> Artifact:
    """Build the layer of the packages that every function imports: those of server.txt, without its progress bars."""
    return _layer(out, "layer", [pin for pin in _pins(_LOCKS / "server.txt") if pin[0] in of_every_function()])


def reports(out: Path) -> Artifact:
    """Build the layer of what reports.txt has beyond that: Arrow, and the progress bars of the daily jobs."""
    return _layer(out, "reports", [pin for pin in _pins(_LOCKS / "reports.txt") if pin[0] not in of_every_function()])


def tracing(out: Path) -> Artifact:
    """Build the layer of what tracing.txt has beyond the packages of the service: OpenTelemetry."""
    server = {name for name, _, _ in _pins(_LOCKS / "server.txt")}
    return _layer(out, "tracing", [pin for pin in _pins(_LOCKS / "tracing.txt") if pin[0] not in server])


def of_every_function() -> set[str]:
    """Return the names of the packages of server.txt that are not for progress bars."""
    return {name for name, _, _ in _pins(_LOCKS / "server.txt")} - _PROGRESS_BARS


def _layer(out: Path, name: str, pins: list[tuple[str, str, str]]) -> Artifact:
    with tempfile.TemporaryDirectory() as folder:
        lock, root = Path(folder) / "lock.txt", Path(folder) / "root"
        lock.write_text("".join(text for _, _, text in pins))
        _install(root, lock)
        _remove(root / "python", _UNUSED_OF_ARROW)
        return _zip(root, out, name, place="/opt")


def code(out: Path) -> Artifact:
    """Build the code from the wheel: the installation of the package with its metadata, which holds its version."""
    with tempfile.TemporaryDirectory() as folder:
        sources, root = Path(folder) / "sources", Path(folder) / "root"
        shutil.copytree(ROOT / "src", sources / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, sources)
        wheel = _run(sys.executable, "-c", _BUILD, "dist", cwd=sources).splitlines()[-1]
        with zipfile.ZipFile(sources / "dist" / wheel) as archive:
            archive.extractall(root)
        return _zip(root, out, "code", place="/var/task")


def bill_of_materials() -> dict[str, Any]:
    """Return the packages of reports.txt and tracing.txt with the hashes of their files, as CycloneDX has them."""
    pins = {pin[:2]: pin[2] for name in ("reports", "tracing") for pin in _pins(_LOCKS / f"{name}.txt")}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "vitrina", "bom-ref": "vitrina"}},
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [{"alg": "SHA-256", "content": one} for one in re.findall(r"sha256:(\w+)", text)],
            }
            for (name, version), text in sorted(pins.items())
        ],
    }


def _pins(lock: Path) -> list[tuple[str, str, str]]:
    """Return the name, the version and the lines of each package of a lock file."""
    parts = re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)[1:]
    return [
        (part.partition("==")[0], re.split(r"[\s;]", part.partition("==")[2], maxsplit=1)[0], part) for part in parts
    ]


def _install(root: Path, lock: Path) -> None:
    """Install a lock file for Amazon Linux 2023 into the folder `python`, as Lambda expects it of a layer."""
    target = root / "python"
    _run(
        "uv", "pip", "install", "--quiet", "--target", str(target), "--no-deps", "--require-hashes",
        "--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:",
        "--link-mode", "copy", "--requirement", str(lock),
    )  # fmt: skip
    _remove(target, _UNUSED)


def _remove(root: Path, patterns: tuple[str, ...]) -> None:
    for path in [path for pattern in patterns for path in root.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _zip(root: Path, out: Path, name: str, *, place: str) -> Artifact:
    """Compile a folder as it will lie at `place`, and zip it."""
    _remove(root, ("**/__pycache__", "**/*.dist-info/RECORD", "**/.lock"))
    # Lambda's clock knows no time of a source: it would compile each file again, at each start.
    _run(
        sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", place,
        str(root),
    )  # fmt: skip
    files = sorted(path for path in root.rglob("*") if path.is_file())
    out.mkdir(parents=True, exist_ok=True)
    packed = out / f"{name}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(path.relative_to(root)), _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, whose modes the next line sets.
            info.external_attr = (0o100755 if path.suffix == ".so" else 0o100644) << 16
            archive.writestr(info, path.read_bytes())
    key = f"{name}-{hashlib.sha256(packed.read_bytes()).hexdigest()[:16]}.zip"
    return Artifact(key=key, path=packed.rename(out / key), unpacked=sum(path.stat().st_size for path in files))


def _run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return its output. Raises ClickException with what it said if it fails."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "", "SOURCE_DATE_EPOCH": "315532800"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main(prog_name="scripts/deploy/build")
