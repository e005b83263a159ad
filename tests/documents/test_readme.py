"""README.md's settings and layers are those of the code (tests/devstack runs its curl commands)."""

import re
import tomllib

from pydantic import SecretStr

from tests.documents.pages import README, ROOT, code_spans, text
from vitrina.config import Settings

START, END = "<!-- settings: held against config.py by tests/documents/test_readme.py -->", "<!-- end of settings -->"


def settings_table() -> str:
    """Return the table of settings as config.py has them."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `VITRINA_{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default in (None, "", (), SecretStr("")):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_the_table_of_settings_is_config_py() -> None:
    """A setting cannot be added, renamed or given another default without README."""
    written = text(README).partition(START)[2].partition(END)[0].strip()
    assert written == settings_table()


def test_its_layers_are_those_that_import_linter_checks() -> None:
    """But for the lowest one, of which it names a few modules."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {
        contract["containers"][0]: [", ".join(re.findall(r"\w+", layer)) for layer in contract["layers"]]
        for contract in contracts
        if contract["type"] == "layers"
    }
    spans = code_spans(README)
    assert " > ".join(layers["vitrina.api"]) in spans
    assert any(span.startswith(" > ".join(layers["vitrina"][1:-1]) + " > ") for span in spans)
