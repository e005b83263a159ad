"""CHANGELOG.md keeps the format of Keep a Changelog 1.1.0, and its latest release is the version of the package."""

import re
import tomllib
from datetime import date

from tests.documents.pages import CHANGELOG, ROOT, text

KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
"""In the order of Keep a Changelog."""


def test_its_first_section_is_unreleased_and_the_next_is_the_version_of_the_package() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    unreleased, latest, *_ = re.findall(r"^## (.+)$", text(CHANGELOG), re.MULTILINE)
    assert unreleased == "[Unreleased]"
    assert latest.startswith(f"[{package['version']}] - ")


def test_releases_stand_in_order_with_their_dates() -> None:
    _, *releases = re.findall(r"^## (.+)$", text(CHANGELOG), re.MULTILINE)
    seen = []
    for release in releases:
        match = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", release)
        assert match, release
        seen.append((tuple(map(int, match.groups()[:3])), date.fromisoformat(match[4])))
    assert seen == sorted(seen, reverse=True)


def test_a_release_has_each_kind_of_changes_once_in_order_and_no_entry_twice() -> None:
    """Merges of two branches easily repeat an entry."""
    for release in re.split(r"^## ", text(CHANGELOG), flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]
        entries = [line for line in release.splitlines() if line.startswith("- ")]
        assert len(entries) == len(set(entries))


def test_the_log_events_that_it_announces_are_those_of_the_code() -> None:
    """Of the section `[Unreleased]`: operators match alerts on these names."""
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    events = set(re.findall(r'\blog\.\w+\(\s*"([a-z_]+)"', source))
    unreleased = re.split(r"^## ", text(CHANGELOG), flags=re.MULTILINE)[1]
    for _, before, now in re.findall(r"^  \| ([^`|]+) \| (.+) \| (.+) \|$", unreleased, re.MULTILINE):
        assert set(re.findall(r"`(\w+)`", now)) <= events
        assert not set(re.findall(r"`(\w+)`", before)) & events
