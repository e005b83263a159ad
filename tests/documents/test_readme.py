"""README.md says what the code does: its settings, links and commands (the curl lines run in tests/e2e)."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from vitrina.config import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
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
    written = README.partition(START)[2].partition(END)[0].strip()
    assert written == settings_table()


@pytest.mark.parametrize("page", ["README.md", "table_design.md"])
def test_every_link_to_a_file_resolves(page: str) -> None:
    """Links into the tree name files that are there."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text()):
        assert (ROOT / target).exists(), f"{page} links to {target}"


def test_every_command_that_it_names_exists() -> None:
    """Scripts and commands are spelt as they are."""
    for script in set(re.findall(r"scripts/([a-z-]+)", README)):
        assert (ROOT / "scripts" / script).exists(), script
    for group, command in set(re.findall(r"`vitrina (table|users) ([a-z-]+)", README)):
        source = (ROOT / "src/vitrina/cli" / f"{group}.py").read_text()
        assert f"def {command.replace('-', '_')}(" in source or f'"{command}"' in source, command
