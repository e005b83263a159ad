"""The documents that people read, and how tests read them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = "README.md"
CONTRIBUTING: Final = ".github/CONTRIBUTING.md"
CHANGELOG: Final = ".github/CHANGELOG.md"
SECURITY: Final = ".github/SECURITY.md"
RUNBOOK: Final = ".github/RUNBOOK.md"
PAGES: Final = (README, "table_design.md", CONTRIBUTING, CHANGELOG, SECURITY, RUNBOOK)


def text(page: str) -> str:
    """Return a page's text."""
    return (ROOT / page).read_text()


def code_spans(page: str) -> list[str]:
    """Return what stands between backticks, without the blocks of code; a span may be broken over two lines."""
    without_blocks = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_blocks)]


def links(page: str) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor (or "") of each link that stays within the repository."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text(page)):
        path, _, anchor = target.partition("#")
        yield (ROOT / page).parent / path if path else ROOT / page, anchor


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
