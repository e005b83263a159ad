"""newman, Postman's runner, from the lock file beside the collection."""

from pathlib import Path

from tests.npm import installed

FOLDER = Path(__file__).parents[2] / "scripts" / "postman"
COLLECTION = FOLDER / "vitrina.postman_collection.json"


def newman() -> list[str]:
    """Return the command of newman, installing it (66 MB) the first time. Raises CannotRunError."""
    node, packages = installed(FOLDER)
    return [node, str(packages / "newman" / "bin" / "newman.js")]
