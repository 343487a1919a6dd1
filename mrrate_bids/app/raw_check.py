"""What the BIDS validator says of the raw dataset, before anything is computed."""

from dataclasses import replace
from pathlib import Path

from mrrate_bids.bids_validator import find_validator, run_validator
from mrrate_bids.problems import Problem

__all__ = ['check_raw']

_SHOWN = 10
_SKIP = 'Correct the dataset, or give --skip-bids-validation.'


def check_raw(bids: Path) -> list[Problem]:
    """Return the errors of a dataset, as warnings: most of them do not matter for images.

    Parameters
    ----------
    bids
        The raw dataset.
    """
    executable = find_validator()
    if executable is None:
        text = 'the dataset was not validated: there is no bids-validator-deno'
        return [Problem('warning', text, 'pip install bids-validator-deno')]
    found = run_validator(bids, executable).problems
    errors = [replace(one, severity='warning') for one in found if one.severity == 'error']
    if len(errors) <= _SHOWN:
        return errors
    text = f'the validator finds {len(errors) - _SHOWN} more errors'
    hint = f'mrrate-bids validate {bids} lists them. {_SKIP}'
    return [*errors[:_SHOWN], Problem('warning', text, hint)]
