"""Header fields are the same on every Python that is installed here, and are read back by its email package.

Releases of 3.11 and 3.12 differ in how they fold and parse headers (cpython 80222, 121650). CI's workflow runs all
tests on the oldest and the newest Python; this runs the headers alone on whatever else a machine has.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import idna

from tests.mail.read_back import ADDRESS, header_of
from vitrina.mail.headers import visible

ROOT = Path(__file__).parents[2]
OLDEST = (3, 11)
NAMES = [
    "Ana Lopez",
    "Smith, John, evil@example.org, " + "x" * 57,
    ", ".join(f"Person {number}" for number in range(25)),
    "=?utf-8?q?Ana=0d=0aBcc=3a_evil=40example=2eorg?=",
    "=?utf-8?b?QW5hDQpCY2M6IGV2aWxAZXhhbXBsZS5vcmc=?=",
    'a "quoted" \\ name, <evil@example.org>',
    "ñ" * 200,
    "x" * 200,
    "=?" * 100,
    "👩\u200d🔬 葛\U000e0100, \u0645\u06cc\u200c\u062e",
    " ".join(["a,b;c:d<e>f(g)h@i"] * 10),
]


def interpreters() -> dict[str, str]:
    """Return a path for each release of CPython, such as 3.12.1, on the PATH and under pyenv."""
    found = {}
    candidates = [shutil.which(f"python3.{minor}") for minor in range(OLDEST[1], 20)]
    for path in filter(None, [*candidates, *map(str, Path.home().glob(".pyenv/versions/3.*/bin/python3"))]):
        asked = subprocess.run(
            [path, "-c", "import platform as p; print(p.python_version())"], check=False, capture_output=True, text=True
        )
        version = asked.stdout.strip()
        if asked.returncode == 0 and tuple(map(int, version.split(".")[:2])) >= OLDEST:
            found[version] = path
    return found


def test_headers_are_the_same_on_every_python_that_is_installed() -> None:
    expected = [header_of(name) for name in NAMES]
    for name, header in zip(NAMES, expected, strict=True):
        assert {key: header[key] for key in ("fields", "addresses", "name", "reads_back")} == {
            "fields": ["To", "Subject"],
            "addresses": [ADDRESS],
            "name": visible(name),
            "reads_back": True,
        }
    path = os.pathsep.join(map(str, [ROOT / "src", ROOT, Path(idna.__file__).parents[1]]))
    for version, python in (interpreters() | {"the tests' own": sys.executable}).items():
        done = subprocess.run(
            [python, "-m", "tests.mail.read_back"],
            check=False,
            input=json.dumps(NAMES),
            capture_output=True,
            text=True,
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, f"{version}: {done.stderr}"
        assert json.loads(done.stdout) == expected, version
