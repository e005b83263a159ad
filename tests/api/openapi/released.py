"""The OpenAPI document without its texts: what a generated client depends on.

`python -m tests.api.openapi.released` writes today's document to `released.json`. Run it when a change of the
contract is intended.
"""

from pathlib import Path
from typing import Any, Final

import orjson

from vitrina.api.openapi.document import document
from vitrina.cli.api import declared_routes

RELEASED: Final = Path(__file__).with_name("released.json")
_TEXTS: Final = frozenset({"summary", "description", "title", "detail", "example"})


def without_texts(part: Any, *, names: bool = False) -> Any:  # noqa: ANN401 - JSON is any value
    """Return a part without texts and examples; with `names`, the keys of `part` are names of properties."""
    if isinstance(part, list):
        return [without_texts(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: without_texts(value, names=key == "properties" and not names)
        for key, value in part.items()
        if names or key not in _TEXTS
    }


def contract(made: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON is any value
    """Return a document without its texts and without the version of the package."""
    return without_texts({key: value for key, value in made.items() if key != "info"})


if __name__ == "__main__":
    RELEASED.write_bytes(orjson.dumps(contract(document(declared_routes())), option=orjson.OPT_SORT_KEYS) + b"\n")
