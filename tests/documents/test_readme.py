"""README.md's table of settings is what config.py has (tests/devstack runs its curl commands)."""

from pydantic import SecretStr

from tests.documents.pages import README, text
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
