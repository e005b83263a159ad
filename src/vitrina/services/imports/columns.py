"""Which columns of a file a profile reads, by the names that shops give them and by those of `--map`."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from vitrina.domain.text import fold
from vitrina.services.imports.import_file import ImportFile
from vitrina.services.imports.rows import UnreadableFile

_NUMBER: Final = re.compile(r"\d+")
_APOSTROPHES: Final = str.maketrans("\u2019", "'")


class Layout:
    """The columns of a profile, each with its other spellings; one with `%d` in its name is numbered.

    `fields` gives the columns of the product's fields that have another name.
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], fields: Mapping[str, str] | None = None) -> None:
        self._columns = {
            folded(spelling): column for column, others in columns.items() for spelling in (column, *others)
        }
        self._fields = fields or {}

    def find(self, text: str) -> str | None:
        """Return the column with a spelling or of a product's field, None if there is none."""
        name = folded(text)
        number = _NUMBER.search(name)
        column = self._fields.get(name) or self._columns.get(name)
        if column is None and number is not None:
            column = self._columns.get(_NUMBER.sub("%d", name, count=1))
        return column and column.replace("%d", number[0] if number else "")

    def targets(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """Return the columns for which `chosen` names others in the file. Raises UnreadableFile for an unknown one."""
        found: dict[str, str] = {}
        for name, target in chosen.items():
            column = self.find(target)
            if column is None:
                raise UnreadableFile(f"--map: the profile has no field {target!r}")
            found[folded(name)] = column
        return found

    def apply(self, file: ImportFile, chosen: Mapping[str, str]) -> list[str]:
        """Rename the columns of a CSV to the profile's, and return those that the profile does not read.

        `chosen` maps columns of the file to columns or fields, and precedes the spellings. Raises UnreadableFile if a
        chosen column is missing or unknown, or if two columns of the file are one of the profile's.
        """
        targets = self.targets(chosen)
        given = [folded(name) for name in file.header]
        if missing := [name for name in chosen if folded(name) not in given]:
            raise UnreadableFile(f"--map: it has no column {missing[0]!r}")
        taken = set(targets.values())
        columns = [targets.get(name) or (None if (column := self.find(name)) in taken else column) for name in given]
        for column in filter(None, columns):
            if columns.count(column) > 1:
                same = [repr(name) for name, other in zip(file.header, columns, strict=True) if other == column]
                raise UnreadableFile(f"it has the column {column!r} twice, as {' and '.join(same)}: --map selects one")
        unread = [name for name, column in zip(file.header, columns, strict=True) if name and column is None]
        # No column of a profile has a name in parentheses.
        file.columns = [column or f"({name})" for name, column in zip(file.header, columns, strict=True)]
        return unread


def folded(text: str) -> str:
    """Return the form in which two spellings of a column are equal."""
    return " ".join(fold(text.translate(_APOSTROPHES)).split())
