"""CONTRIBUTING.md, SECURITY.md and RUNBOOK.md name files that exist."""

import re
import tomllib

import pytest

from tests.documents.pages import CONTRIBUTING, ROOT, RUNBOOK, SECURITY, code_spans


@pytest.mark.parametrize(("page", "at_least"), [(CONTRIBUTING, 31), (SECURITY, 1), (RUNBOOK, 1)])
def test_every_path_that_it_names_exists(page: str, at_least: int) -> None:
    """`<name>` stands for any name, and at least one file has such a path."""
    roots = {path.name for path in ROOT.iterdir()} - {".venv", ".venv-ministack"}
    paths = [span for span in code_spans(page) if re.fullmatch(r"[\w./<>-]+", span)]
    named = [path for path in paths if path.partition("/")[0] in roots]
    assert len(named) >= at_least
    for path in named:
        assert list(ROOT.glob(re.sub(r"<\w+>", "*", path.rstrip("/")))), path


def test_it_explains_every_mark_of_the_tests() -> None:
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert {re.split(r"[(:]", mark)[0] for mark in marks} <= set(code_spans(CONTRIBUTING))
