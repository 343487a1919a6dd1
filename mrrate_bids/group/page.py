"""``group.html``: one file that opens from disk, without network."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mrrate_bids import __version__
from mrrate_bids.descriptions import PROGRAM
from mrrate_bids.files import write_if_changed
from mrrate_bids.group.distributions import draw_distributions
from mrrate_bids.group.measures import Measure
from mrrate_bids.group.outliers import LIMIT, Scores, worst
from mrrate_bids.group.payload import make_payload, natural
from mrrate_bids.group.rows import Row
from mrrate_bids.group.table import format_number
from mrrate_bids.reports.pages import embed_json, load_template
from mrrate_bids.reports.places import (
    DICTIONARY,
    PAGE,
    TABLE,
    find_pages,
    find_thumbnail,
    link_to,
    link_to_report,
    shows_face,
)

__all__ = ['Card', 'write_page']

_CARDS, _CARDS_SHOWN = 60, 14
_LISTED = 100
"""Studies without all results that are told outside of the table."""


class Card(NamedTuple):
    """A study among the worst."""

    study: str
    link: str
    """To its page; empty when there is none."""

    thumbnail: str
    """Link to it; empty when there is none."""

    shows_face: bool
    """Whether the thumbnail is that of an image which was not defaced."""

    state: str
    score: float | None
    reason: str
    """Which number is how far from usual."""

    is_outdated: bool = False
    """Whether a run would compute something of the image anew."""


class _Report(NamedTuple):
    rows: Sequence[Row]
    scores: Sequence[Scores]
    measures: Sequence[Measure]


def write_page(
    folder: Path,
    rows: Sequence[Row],
    scores: Sequence[Scores],
    measures: Sequence[Measure],
    *,
    faces: bool = True,
) -> Path:
    """Write the page, and return its path.

    Parameters
    ----------
    folder
        Where it goes; the pages and thumbnails of the studies lie there.
    rows, scores, measures
        As :func:`~mrrate_bids.group.table.write_table` takes them.
    faces
        Whether thumbnails and pages that show faces are shown and linked.

    Raises
    ------
    DestinationError
        When *folder* cannot take files.
    """
    report = _sorted(_Report(rows, scores, measures))
    pages = find_pages(folder, faces=faces)
    payload = make_payload(*report, pages)
    found = list(_cards(report, folder, pages))
    cards = found if faces else [_without_face(card) for card in found]
    context = {
        'title': f'{len({row.study for row in rows}):,} studies',
        'tiles': _tiles(report),
        'cards': cards,
        'faces': sum(card.shows_face for card in cards),
        'hidden': _hidden(found, folder, pages) if not faces else None,
        'shown': _CARDS_SHOWN,
        'unfinished': [(row, link_to_report(row.study, pages)) for row in _unfinished(rows)],
        'listed': _LISTED,
        'figures': [(m, list(draw_distributions(rows, m))) for m in measures],
        'choices': {c['name']: c['levels'] for c in payload['columns'] if 'levels' in c},
        'steps': list(dict.fromkeys(measure.step for measure in measures)),
        'limit': LIMIT,
        'table': TABLE,
        'dictionary': DICTIONARY,
        'made_by': f'{PROGRAM} {__version__}',
    }
    path = folder / PAGE
    page = load_template('report_group.html').render(context, payload=embed_json(payload))
    write_if_changed(path, f'{page}\n')
    return path


def _sorted(report: _Report) -> _Report:
    """Put the worst first; of what has no score, the studies that failed."""

    def rank(place: int) -> tuple[float, bool, list[Any]]:
        row, found = report.rows[place], worst(report.scores[place])
        score = -found[0] if found else math.inf
        return score, row.state != 'failed', natural(row.study + row.image)

    order = sorted(range(len(report.rows)), key=rank)
    rows = [report.rows[place] for place in order]
    return _Report(rows, [report.scores[place] for place in order], report.measures)


def _tiles(report: _Report) -> list[tuple[str, int, str]]:
    """Return numbers that say how things stand: title, number, state to choose by it."""
    states = Counter({row.study: row.state for row in report.rows}.values())
    found = [worst(scores) for scores in report.scores]
    images = [row for row in report.rows if row.image]
    return [
        ('studies', sum(states.values()), ''),
        *((state, states[state], state) for state in ('complete', 'partial', 'failed')),
        ('images', len(images), ''),
        ('types of scanner', len({str(row.scanner) for row in images}), ''),
        ('images with outdated results', sum(bool(row.outdated) for row in images), ''),
        ('images with an outlier', sum(bool(one and one[0] > LIMIT) for one in found), 'outlier'),
    ]


def _cards(report: _Report, folder: Path, pages: set[str]) -> Iterator[Card]:
    """Yield the studies with the worst images, the worst first."""
    seen: dict[str, int] = {}
    for place, row in enumerate(report.rows):
        if row.image and len(seen) < _CARDS:
            seen.setdefault(row.study, place)
    for study, place in seen.items():
        row, found = report.rows[place], worst(report.scores[place])
        thumbnail = find_thumbnail(folder, study)
        yield Card(
            study,
            link_to_report(study, pages),
            link_to(thumbnail),
            shows_face(thumbnail),
            row.state,
            found and found[0],
            _reason(row, found[1]) if found and found[0] > LIMIT else '',
            bool(row.outdated),
        )


def _without_face(card: Card) -> Card:
    return card._replace(thumbnail='', shows_face=False) if card.shows_face else card


def _hidden(cards: Iterable[Card], folder: Path, pages: set[str]) -> tuple[int, int]:
    """Return how many thumbnails and pages are left out, for they show a face."""
    return sum(card.shows_face for card in cards), len(find_pages(folder) - pages)


def _reason(row: Row, measure: Measure) -> str:
    number = f'{format_number(row.numbers[measure])} {measure.units}'.strip()
    return f'{row.series}: {measure.title} {number}'


def _unfinished(rows: Iterable[Row]) -> list[Row]:
    """Return a row of each study that lacks results, those without any first."""
    found = {row.study: row for row in rows if row.state != 'complete'}
    return sorted(found.values(), key=lambda row: (row.state != 'failed', natural(row.study)))
