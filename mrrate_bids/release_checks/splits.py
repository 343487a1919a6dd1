"""Checks of the splits over all batches: no patient may be in two of them.

Source: the MR-RATE dataset guide, "How does metadata connect everything?".
"""

from mrrate_bids.catalog import Study
from mrrate_bids.checks import Tally
from mrrate_bids.naming import NATIVE
from mrrate_bids.problems import Problem
from mrrate_bids.shares import SPLIT_NAMES

__all__ = ['Splits']

_FILE = 'splits.csv'


class Splits:
    """The split of every patient so far."""

    def __init__(self) -> None:
        self._studies: dict[str, dict[str, str]] = {}
        """A study of each split, by patient."""

    def add(self, study: Study, tally: Tally) -> None:
        """Check the split of a study on its own, and remember it."""
        if 'splits' not in study.facts:
            message = f'{_FILE} has no row of the study'
            _find(study, tally, message, f'Add it to {_FILE}.', severity='warning')
            return
        patient, split = study.fact('splits', 'patient_uid'), study.fact('splits', 'split')
        if patient not in ('', study.patient):
            message = f'{_FILE} says patient {patient}, the metadata say {study.patient}'
            _find(study, tally, message, 'Correct the table that is wrong.')
        if split not in SPLIT_NAMES:
            message = f'the split {split!r} is none of {", ".join(SPLIT_NAMES)}'
            _find(study, tally, message, f'Correct it in {_FILE}.')
            return
        known = self._studies.setdefault(study.patient, {})
        for other, uid in known.items():
            if split not in known:
                message = (
                    f'patient {study.patient} is in {split} with {study.study} '
                    f'and in {other} with {uid}'
                )
                _find(study, tally, message, 'Put all studies of the patient into one split.')
        known.setdefault(split, study.study)


def _find(
    study: Study, tally: Tally, message: str, remedy: str, *, severity: str = 'error'
) -> None:
    where = {'batch': study.batch, 'study': study.study, 'file': _FILE}
    tally.add('splits', NATIVE, Problem(severity, message, remedy, **where))
