"""Series that no export wrote: their rows are made from sidecar, header and tables.

Sources: BIDS 1.10.1, "Data summary files" (age, sex, acq_time; dates before 1926 are shifted
ones); the MR-RATE dataset guide, "What modalities and series are included?".
"""

import re
from collections.abc import Sequence
from typing import Any

from mrrate_bids import foreign
from mrrate_bids.acceptance import Rules
from mrrate_bids.errors import MrRateError, NamingError
from mrrate_bids.importing.faces import defaced_image, leave_faces
from mrrate_bids.importing.intake import Intake, Rejected, Scan
from mrrate_bids.importing.source import BidsSource
from mrrate_bids.metadata_columns import format_age
from mrrate_bids.naming import SeriesName, parse_bids_path
from mrrate_bids.release_image import needs_conversion
from mrrate_bids.sidecars import AGE_COLUMN, SEX_COLUMN, read_sex, sidecar_path, years

__all__ = ['add_strangers']

_DATE = re.compile(r'(\d{4})-\d{2}-\d{2}')
_CAPPED = re.compile(r'[>≥\s]*(\d+)\s*\+?\s*')
_SHIFTED_BEFORE = 1926
_CENTRE = 'is_center_modality'


def add_strangers(
    source: BidsSource, intake: Intake, images: Sequence[str], *, rules: Rules
) -> None:
    """Add images without verbatim cells to a visit, as far as the rules accept them.

    Parameters
    ----------
    source
        The dataset.
    intake
        The visit; series are added, and what was rejected and why.
    images
        Their paths inside the raw dataset.
    rules
        What a release accepts.
    """
    person = _person(source, intake)
    found = foreign.read_series(
        list(_images(source, intake, images)),
        rules=rules,
        age=years(person[AGE_COLUMN]),
        taken=[scan.name for scan in intake.scans.values()],
    )
    for reject in found.rejected:
        inside = reject.image.inside
        intake.rejected.append(Rejected(inside, reject.rule, reject.value, reject.limit))
        if reject.rule == foreign.READABLE:
            intake.complain(f'{inside}: {reject.value}', reject.limit, file=inside)
    bare = [s.image.inside for s in found.series if _shows_face(intake, s.image.inside)]
    for series in found.series:
        if series.image.inside not in bare:
            _take(intake, series, person)
    leave_faces(intake, bare)
    centre = intake.scans.get(str(found.centre))
    if centre and not any(cell == 'True' for _, cell in intake.column(_CENTRE)):
        centre.cells[_CENTRE] = 'True'


def _shows_face(intake: Intake, image: str) -> bool:
    return intake.guarded and not defaced_image(intake.files, image)


def _take(intake: Intake, series: foreign.Series, person: dict[str, str]) -> None:
    """Add a series to a visit, under the name of its file where that follows the naming table."""
    inside = series.image.inside
    name = _name_of(intake, inside, series.name)
    if name is None:
        return
    if not series.image.sidecar:
        message = f'{sidecar_path(inside)} is missing or empty: its row has no parameters'
        intake.remark(message, 'Add the sidecar.', file=inside, series=str(name))
    cells = {column: cell for column, cell in (series.cells | person).items() if cell}
    cells |= {'series_id': str(name), _CENTRE: 'False'}
    convert = needs_conversion(series.volume, series.image.name)
    intake.scans[str(name)] = Scan(name, cells, inside, convert=convert)


def _images(source: BidsSource, intake: Intake, images: Sequence[str]) -> list[foreign.Image]:
    scans, found = source.scans(intake.visit), []
    for inside in images:
        name = inside.rpartition('/')[2]
        sidecar: dict[str, Any] = {}
        try:
            sidecar = source.sidecars.read(inside)
        except MrRateError as error:
            intake.complain(str(error), error.hint, file=sidecar_path(inside))
        acq_time = scans.get(name, {}).get('acq_time', '')
        found.append(foreign.Image(source.root / inside, name, inside, sidecar, acq_time))
    return found


def _name_of(intake: Intake, image: str, found: SeriesName) -> SeriesName | None:
    """Return the name of a series: the file's own where it follows the naming table."""
    try:
        named = parse_bids_path(image).series
    except NamingError:
        return found
    if not intake.visit.exported or str(named) in intake.scans:
        return found
    if (named.modality, named.plane) == (found.modality, found.plane):
        return named
    message = f'{image}: is named {named}, its header says {found}'
    intake.complain(message, 'Correct the name of the file.', file=image, series=str(found))
    return None


def _person(source: BidsSource, intake: Intake) -> dict[str, str]:
    """Return the cells that are the same for all series of the visit."""
    visit = intake.visit
    siblings = next(iter(intake.scans.values()), None)
    columns = ('patient_uid', 'study_uid', 'anon_study_date', AGE_COLUMN, SEX_COLUMN)
    if siblings:
        return {column: siblings.cells.get(column, '') for column in columns}
    person = source.participants.get(visit.subject, {})
    session = source.sessions(visit.subject).get(visit.session, {})
    told = session.get('age') or session.get('session_age') or person.get('age', '')
    age = years(_uncapped(told))
    cells = (
        visit.patient,
        visit.study,
        _date(session),
        '' if age is None else format_age(age),
        read_sex(person.get('sex', '')),
    )
    return dict(zip(columns, cells, strict=True))


def _uncapped(age: str) -> str:
    """Return an age of a table that caps them, as 89+ or >89, as a number."""
    found = _CAPPED.fullmatch(age)
    return found[1] if found else age


def _date(session: dict[str, str]) -> str:
    """Return the date of a session if it is a shifted one; a real date is not published."""
    if session.get('anon_study_date'):
        return session['anon_study_date']
    found = _DATE.match(session.get('acq_time', ''))
    return found[0] if found and int(found[1]) < _SHIFTED_BEFORE else ''
