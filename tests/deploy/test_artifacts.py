"""What `scripts/deploy/build` makes of the sources; it checks the size of the packages itself."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from scripts.deploy.artifacts import bill_of_materials, check_runtime, code, of_every_function
from scripts.devstack.engines import ROOT


def test_the_code_is_compiled_and_the_same_each_time(tmp_path: Path) -> None:
    """Its key changes with its content only, and Lambda compiles nothing at a start (PEP 552: hash, unchecked)."""
    first = code(tmp_path / "a")
    assert code(tmp_path / "b").key == first.key
    with zipfile.ZipFile(first.path) as archive:
        names = set(archive.namelist())
        compiled = {name for name in names if name.endswith(".pyc")}
        assert {archive.read(name)[4] for name in compiled} == {0b01}
    sources = {name for name in names if name.endswith(".py")}
    assert {re.sub(r"__pycache__/(\w+)\..*", r"\1.py", name) for name in compiled} == sources
    assert "vitrina/aws_lambda/api.py" in sources
    assert any(re.fullmatch(r"vitrina-[\d.]+\.dist-info/METADATA", name) for name in names)


def test_the_handlers_of_the_layer_import_nothing_that_it_lacks() -> None:
    """Progress bars are in the layer of reports and jobs, and each other locked package is in that of all functions."""
    missing = ("rich", "pygments", "markdown_it", "mdurl", "pyarrow")
    block = f"import sys; sys.modules.update(dict.fromkeys({missing})); "
    handlers = "import vitrina.aws_lambda.api, vitrina.aws_lambda.relay, vitrina.aws_lambda.notifier"
    subprocess.run([sys.executable, "-c", block + handlers], check=True)
    lock = (ROOT / "scripts/requirements/server.txt").read_text()
    server = set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE))
    assert server - of_every_function() == {"markdown-it-py", "mdurl", "pygments", "rich"}


def test_the_bill_of_materials_names_each_locked_package() -> None:
    lock = "".join((ROOT / f"scripts/requirements/{name}.txt").read_text() for name in ("reports", "tracing"))
    listed = {(each["name"], each["version"]) for each in bill_of_materials()["components"]}
    assert listed == set(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    assert all(each["hashes"] and each["purl"] for each in bill_of_materials()["components"])


def test_a_python_that_the_functions_do_not_run_on_is_refused() -> None:
    """Its wheels would not load: they are for one Python, and those of 3.11 for an older Amazon Linux."""
    check_runtime("3.13")
    for python in ("3.11", "3.14"):
        with pytest.raises(click.ClickException, match=rf"this is Python {python}, .* run on Python 3\.12 or 3\.13:"):
            check_runtime(python)
