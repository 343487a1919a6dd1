"""What a run found wrong with its input, in words that name the study, the file and the remedy."""

from dataclasses import dataclass, field, fields
from typing import Any

from mrrate_bids.errors import MrRateError

__all__ = ['Problem']


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect. A ``warning`` leaves the study complete; an ``error`` sets something aside."""

    severity: str
    message: str
    remedy: str = ''
    batch: str = ''
    study: str = ''
    series: str = ''
    file: str = ''
    check: str = field(default='', compare=False, repr=False)
    """The check of a release that it belongs to, said where it is known; no table has it."""

    def __post_init__(self) -> None:
        for item in fields(self):  # a file name may hold what no terminal and no table can take
            object.__setattr__(self, item.name, _printable(getattr(self, item.name)))

    @classmethod
    def from_error(cls, error: MrRateError, **where: str) -> 'Problem':
        """Turn an exception into an entry of the run's table."""
        return cls('error', str(error), error.hint, **where)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> 'Problem':
        """Read what :meth:`to_dict` wrote."""
        return cls(**record)

    def to_dict(self) -> dict[str, str]:
        """Return the filled fields, for JSON."""
        pairs = zip(self.columns(), self.row(), strict=True)
        return {column: value for column, value in pairs if value}

    @classmethod
    def columns(cls) -> list[str]:
        """Return the header of a table of problems."""
        return [item.name for item in fields(cls) if item.compare]

    def row(self) -> list[str]:
        """Return every field, for a table."""
        return [getattr(self, column) for column in self.columns()]

    def __str__(self) -> str:
        where = ' '.join(part for part in (self.batch, self.study, self.series) if part)
        text = f'{where}: {self.message}' if where else self.message
        return f'{text} → {self.remedy}' if self.remedy else text
