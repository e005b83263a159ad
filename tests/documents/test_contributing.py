"""CONTRIBUTING.md names files that exist."""

import re
import tomllib

from tests.documents.pages import CONTRIBUTING, ROOT, code_spans


def test_every_path_that_it_names_exists() -> None:
    """`<name>` stands for any name, and at least one file has such a path."""
    roots = {path.name for path in ROOT.iterdir()} - {".venv", ".venv-ministack"}
    paths = [span for span in code_spans(CONTRIBUTING) if re.fullmatch(r"[\w./<>-]+", span)]
    named = [path for path in paths if path.partition("/")[0] in roots]
    assert len(named) > 30
    for path in named:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", path.rstrip("/")))), path


def test_it_explains_every_mark_of_the_tests() -> None:
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert {re.split(r"[(:]", mark)[0] for mark in marks} <= set(code_spans(CONTRIBUTING))
