"""SECURITY.md names tests that exist, and each file of attacks."""

import ast
import re

from tests.documents.pages import ROOT, SECURITY, text

_NAMED = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)\)((?:,? `test_\w+`)*)")
"""A link to a file of tests, and the tests of it that are named after the link."""


def test_every_test_that_it_names_exists() -> None:
    named = [(path, re.findall(r"test_\w+", names)) for path, names in _NAMED.findall(text(SECURITY))]
    for path, names in named:
        tree = ast.parse((ROOT / path).read_text())
        found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert set(names) <= found, f"{path} lacks {set(names) - found}"
    assert sum(len(names) for _, names in named) == len(re.findall(r"`test_\w+`", text(SECURITY)))


def test_it_names_every_file_of_attacks() -> None:
    """And the file names the requirement of OWASP's that its tests prove."""
    named = {path for path, _ in _NAMED.findall(text(SECURITY))}
    for path in (ROOT / "tests/security").glob("test_*.py"):
        assert str(path.relative_to(ROOT)) in named
        assert re.search(r"\bV\d+\.\d|\bAPI\d+:2023", ast.get_docstring(ast.parse(path.read_text())) or ""), path
