"""Sums up the outcomes of an import, with its first warnings and refusals."""

from __future__ import annotations

from dataclasses import dataclass, field

from books.importing.importer import Outcome, Remark


@dataclass(slots=True)
class Remarks:
    """The number of remarks, and the first `most` of them; all if `most` is None."""

    most: int | None
    count: int = 0
    first: list[Remark] = field(default_factory=list)

    def add(self, remarks: list[Remark]) -> None:
        self.count += len(remarks)
        room = len(remarks) if self.most is None else self.most - len(self.first)
        self.first += remarks[:room]


class ImportReport:
    def __init__(self, *, most_remarks: int | None) -> None:
        self.read = self.created = self.updated = self.unchanged = 0
        self.refused = Remarks(most_remarks)
        self.warnings = Remarks(most_remarks)

    def add(self, outcome: Outcome) -> None:
        self.read += outcome.read
        self.created += outcome.created
        self.updated += outcome.updated
        self.unchanged += outcome.unchanged
        self.refused.add(outcome.refused)
        self.warnings.add(outcome.warnings)
