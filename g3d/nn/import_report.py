"""The report of loading foreign weights; it imports no torch, so that every module can import it cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ImportReport:
    """Report of an import: every entry of the file is in exactly one of `taken` and `ignored`.

    Attributes:
        taken: names in the file of the loaded entries.
        ignored: name in the file -> why it is not needed.
        fresh: names of the network that the file does not have and that keep their initial values -> why that is right.
    """

    taken: tuple[str, ...]
    ignored: Mapping[str, str]
    fresh: Mapping[str, str]

    def lines(self) -> list[str]:
        """Return the report as short lines; entries that have the same reason share a line."""
        said = [f"{len(self.taken)} entries loaded"]
        for what, entries in (("ignored", self.ignored), ("not in the file", self.fresh)):
            for why in dict.fromkeys(entries.values()):
                names = [name for name in entries if entries[name] == why]
                said += (
                    [f"{what} {name}: {why}" for name in names]
                    if len(names) <= 4
                    else [f"{what} {len(names)} entries: {why}"]
                )
        return said
