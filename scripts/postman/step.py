"""What the story of the collection is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request: an operation with an example.

    `caller` is whose token is sent. A parameter of the path has the variable of its own name as its value unless `path`
    gives another. The answer that is expected is the operation's success, or the refusal `code`, or 304; `media_type`
    says in which form, if it has several. `facts` are expressions of JavaScript that are true of the answer, each with
    what it says, and `keep` has those whose values become variables; `body`, `header(name)` and `kept(variable)` are at
    hand in both. `before` runs before the request.
    """

    name: str
    operation: str
    caller: str | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    code: str = ""
    not_modified: bool = False
    media_type: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A folder: operations of one tag, and what is done with them."""

    tag: str
    title: str
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.tag}: {self.title}"
