"""Identifiers that cannot stand next to each other in one dataset."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mrrate_bids.catalog import Study
from mrrate_bids.naming import encode_label
from mrrate_bids.receipts import Receipts

__all__ = ['Census']


class Census:
    """Notice identifiers that meet again in another batch, or differ by case only.

    Parameters
    ----------
    root
        The raw dataset; what it has already counts.
    batches
        The batches of the release.
    """

    def __init__(self, root: Path, batches: Iterable[str]) -> None:
        known = set(map(encode_label, batches))
        homes = Receipts(root).homes()
        self._batches = {study: batch for study, batch in homes.items() if batch in known}
        labels = [*(f'ses-{study}' for study in self._batches), *_subjects(root)]
        self._labels = {label.casefold(): label for label in labels}

    def objection(self, study: Study) -> tuple[str, str]:
        """Return message and remedy when a study cannot be exported next to those before it."""
        if not study.study or not study.patient:
            column = 'patient_uid' if study.study else 'study_uid'
            numbers = ', '.join(str(row.number + 1) for row in study.rows)
            return f'{column} is empty in data rows {numbers} of the metadata', (
                'Correct the metadata.'
            )
        patients = {study.cell(row, 'patient_uid') for row in study.rows}
        if len(patients) > 1:
            return f'it belongs to several patients: {", ".join(sorted(patients))}', (
                'Correct patient_uid in the metadata.'
            )
        home = self._batches.setdefault(encode_label(study.study), encode_label(study.batch))
        if home != encode_label(study.batch):
            return f'it has rows in {home} as well', 'Keep the rows of one batch.'
        for name, uid, label in _labels(study):
            first = self._labels.setdefault(label.casefold(), label)
            if first != label:
                return f'{name} {uid!r}: {label} differs from {first} by case only', (
                    'Export it into a dataset of its own with --patient or --study.'
                )
        return '', ''

    @staticmethod
    def remarks(study: Study) -> Iterator[str]:
        """Yield what is said of identifiers that cannot be labels as they are."""
        for name, uid, label in _labels(study):
            if label[4:] != uid:
                yield f'{name} {uid!r} is no BIDS label; it is written as {label}'


def _labels(study: Study) -> Iterator[tuple[str, str, str]]:
    """Yield column, identifier and label of the patient and of the study."""
    yield 'patient_uid', study.patient, f'sub-{encode_label(study.patient)}'
    yield 'study_uid', study.study, f'ses-{encode_label(study.study)}'


def _subjects(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob('sub-*'))
