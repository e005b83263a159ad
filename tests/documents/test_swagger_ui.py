"""The vendored files of Swagger UI are those that the lock names, as they were published."""

import json

from scripts.swagger_ui import FOLDER, LOCK, locked


def test_the_files_are_those_of_the_lock() -> None:
    """Licence and notice are among them (Apache-2.0 section 4)."""
    lock = json.loads(LOCK.read_text())
    assert lock["files"] == locked()
    assert {"LICENSE", "NOTICE", "swagger-ui-bundle.js", "swagger-ui.css"} <= lock["files"].keys()
    assert lock["name"] == "swagger-ui-dist"
    assert lock["integrity"].startswith("sha512-")
    assert "://" not in LOCK.read_text()
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
