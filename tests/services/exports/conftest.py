"""Fixtures of the tests of exports."""

from pathlib import Path

import pytest

from tests.services.exports.places import BucketOut, FolderOut, Out


@pytest.fixture(params=["folder", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Out:
    """A place without files."""
    if request.param == "folder":
        return FolderOut(tmp_path / "new" / "folder")
    return BucketOut(request.getfixturevalue("moto"))
