"""What a run found wrong with its input, in words that name the study, the file and the remedy."""

from dataclasses import asdict, dataclass, fields
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
        return {key: value for key, value in asdict(self).items() if value}

    def row(self) -> list[str]:
        """Return every field, for a table."""
        return [getattr(self, field.name) for field in fields(self)]

    def __str__(self) -> str:
        where = ' '.join(part for part in (self.batch, self.study, self.series) if part)
        text = f'{where}: {self.message}' if where else self.message
        return f'{text} → {self.remedy}' if self.remedy else text
