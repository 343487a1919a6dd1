"""Conditions on columns, as ``--where`` takes them: parsed once, evaluated on any source of cells.

Cells are text. In an expression a column is what all its cells are: numbers, truth values, text.

Source: :meth:`pandas.DataFrame.eval`.
"""

import ast
import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

from mrrate_bids.errors import SelectionError
from mrrate_bids.sidecars import AGE_COLUMN, SEX_COLUMN, years

__all__ = ['ALIASES', 'Expression', 'nearest', 'typed']

ALIASES = {
    'modality': 'classified_modality',
    'plane': 'acquisition_plane',
    'sex': SEX_COLUMN,
    'patient': 'patient_uid',
    'study': 'study_uid',
    'series': 'series_id',
    'age': AGE_COLUMN,
}
"""Short names for columns; ``split`` and ``batch`` are there too."""

_IDENTIFIERS = {'patient_uid', 'study_uid', 'series_id'}
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`([^`]+)`""")


class Expression:
    r"""A condition.

    Parameters
    ----------
    text
        The expression; names with blanks or quotes stand between backticks.

    Raises
    ------
    SelectionError
        When it is no expression.

    >>> sorted(Expression("age > 30 and `Patient'sSex` == 'F'").names)
    ["Patient'sSex", 'age']
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = self._read_names()
        """The columns that it speaks of."""

    def check(self, columns: Iterable[str]) -> None:
        """Make sure that every column exists.

        Raises
        ------
        SelectionError
            With the nearest names when one does not.
        """
        known = {'split', 'batch', *ALIASES, *columns}
        for name in sorted(self.names - known):
            raise SelectionError(
                f'--where: there is no column {name!r}', hint=nearest(name, known)
            )

    def evaluate(self, column: Callable[[str], Any]) -> Any:
        """Return which rows the condition holds for, as an array of bool.

        Parameters
        ----------
        column
            Returns the cells of a column by its name or short name, as a categorical series.

        Raises
        ------
        SelectionError
            When it cannot be evaluated, or is no condition.
        """
        import pandas as pd  # noqa: PLC0415  (a third of a second, and most runs have no --where)

        cells = {name: typed(column(name), name, text=self._is_text(name)) for name in self.names}
        frame = pd.DataFrame(cells)
        try:
            result = self._eval(frame)
        except Exception as error:  # whatever a user's expression can raise
            raise self._refusal(error) from error
        if not isinstance(result, pd.Series) or result.dtype != bool:
            raise self._no_condition('its result is not true or false')
        return result.to_numpy()

    def _eval(self, frame: Any) -> Any:
        nothing: dict[str, Any] = {}
        return frame.eval(self.text, engine='python', local_dict=nothing, global_dict=nothing)

    def _is_text(self, name: str) -> bool:
        """Tell whether a column is used as text, though a batch may lack it."""
        return re.search(rf'(?<!\w){re.escape(name)}`?\.str\b', self.text) is not None

    def _read_names(self) -> set[str]:
        quoted: dict[str, str] = {}

        def stand_in(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0]  # a text, whatever it holds
            name = f'__quoted_{len(quoted)}__'
            quoted[name] = found[1]
            return name

        try:
            tree = ast.parse(_QUOTED.sub(stand_in, self.text).strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._refusal(error) from error
        if not all(isinstance(part, ast.Expr) for part in tree.body):
            raise self._no_condition('it is a statement')
        nodes = list(ast.walk(tree))
        functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        names = {n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in functions}
        if not names:
            raise self._no_condition('it names no column (one with blanks stands in backticks)')
        return {quoted.get(name, name) for name in names}

    def _no_condition(self, reason: str) -> SelectionError:
        return SelectionError(
            f'--where: {self.text!r} is no condition, {reason}',
            hint='Compare with something: --where "modality == \'FLAIR\'"',
        )

    def _refusal(self, error: Exception) -> SelectionError:
        reason = error.msg if isinstance(error, SyntaxError) else error
        return SelectionError(
            f'--where: {self.text!r} cannot be evaluated ({reason})',
            hint='Example: --where "FieldStrength_T >= 3 and split == \'val\'"',
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the columns that are called nearly like an unknown one.

    >>> nearest('TE_m', ['TE_ms', 'split'])
    'Did you mean TE_ms?'
    """
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f'Did you mean {", ".join(near)}?' if near else 'See the header of the metadata.'


def typed(cells: Any, name: str, *, text: bool = False) -> Any:
    """Return a column as what all its cells are.

    Parameters
    ----------
    cells
        A categorical series of text; a column repeats few values, and each is looked at once.
    name
        The name of the column, or a short name: identifiers are never numbers, ages are years.
    text
        Whether it stays text whatever it holds.
    """
    import numpy as np  # noqa: PLC0415  (slow)
    import pandas as pd  # noqa: PLC0415

    values = cells.cat.categories
    if name == 'modality':
        values = pd.Index([{'T2-FLAIR': 'FLAIR'}.get(value, value) for value in values])
    codes = cells.cat.codes.to_numpy()

    def spread(each: Any, dtype: Any = None) -> Any:
        values = np.asarray(each, dtype=dtype)[codes]
        return pd.Series(values, index=cells.index, dtype=values.dtype)

    if text and name != 'modality':
        return cells  # each text is searched once, however many rows have it
    if text or ALIASES.get(name, name) in _IDENTIFIERS:
        return spread(values, object)  # 007 is not 7
    if name == 'age':
        return spread([years(value) for value in values], float)
    if set(values) <= {'True', 'False'}:
        return spread([value == 'True' for value in values], bool)
    numbers = pd.to_numeric(pd.Series(values, dtype=object).replace('', None), errors='coerce')
    if int(numbers.isna().sum()) == sum(not value for value in values):
        return spread(numbers.to_numpy())
    return spread(values, object)
