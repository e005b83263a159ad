"""The elements of the collection's story."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request: an operation with an example.

    The token of `caller` is sent. A path parameter's value is the variable of the same name, unless `path` has another.
    The expected response is the operation's success (its first, unless `status` is another), the error `code`, or 304;
    `media_type` chooses among several.
    `facts` maps descriptions to JavaScript expressions that must be true of the response; `keep` maps variables to
    expressions whose values they get. Both can use `body`, `header(name)` and `kept(variable)`. `before` runs before
    the request.
    """

    name: str
    operation: str
    caller: str | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    status: int = 0
    code: str = ""
    not_modified: bool = False
    media_type: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A folder of the collection: requests of one tag."""

    tag: str
    title: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.tag}: {self.title}"
