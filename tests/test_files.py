"""Atomic file writes."""

from pathlib import Path

import pytest

from vitrina.files import whole_file


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole_file(path, durable=False) as file:
        file.write(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
