r"""Paths as the index holds them: identifiers are left out, so that a column has few values.

Every study has files of the same names but for its ``study_uid`` and ``patient_uid``. Both stand
in other columns of the same row, and are put back when a path is told.

>>> shorten('mri/batch00/AB.zip', 'AB', '7')
'mri/batch00/\x00s.zip'
>>> lengthen('mri/batch00/\x00s.zip', 'AB', '7')
'mri/batch00/AB.zip'
"""

__all__ = ['lengthen', 'shorten']

_STUDY, _PATIENT = '\0s', '\0p'  # no path holds a NUL


def shorten(path: str, study: str, patient: str) -> str:
    """Return a path with marks for the identifiers of its study and its patient."""
    if study:
        path = path.replace(study, _STUDY)
    return path.replace(patient, _PATIENT) if patient else path


def lengthen(path: str, study: str, patient: str) -> str:
    """Undo :func:`shorten`: the mark that was set last is replaced first."""
    return path.replace(_PATIENT, patient).replace(_STUDY, study)
