"""The report of a study: facts, figures, the page and the viewer, in one call."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Study
from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.errors import DestinationError, ResourceError, UsageError
from mrrate_bids.files import remove
from mrrate_bids.problems import Problem
from mrrate_bids.reports.facts import StudyFacts, read_facts
from mrrate_bids.reports.niivue import write_script
from mrrate_bids.reports.page import write_page
from mrrate_bids.reports.painter import draw_gallery
from mrrate_bids.reports.places import FIGURES, REPORTS, report_of
from mrrate_bids.reports.viewer import Stack, write_viewer

__all__ = ['report_path', 'write_study_report']

_EXTRA = '_space-{}.html'
"""How the name of a page ends that tells of a further template."""


def report_path(places: Places, label: str) -> Path:
    """Return where the page of a study goes; each further template has a page of its own.

    Parameters
    ----------
    places
        The output.
    label
        Of the study, as in ``sub-01/ses-1``.
    """
    name = report_of(label)
    if places.is_extra:
        name = name.replace('.html', _EXTRA.format(places.options.template))
    return places.root / REPORTS / name


def write_study_report(
    study: Study | str,
    places: Places,
    *,
    problems: Iterable[Problem] | None = None,
    atlas: Atlas | None = None,
    faces: bool = True,
) -> Path:
    """Write the report of a study from what lies on disk; return its page.

    Parameters
    ----------
    study
        As it was before the run; or only its label, where it was set aside before anything ran.
    places
        The output, and the options of the run.
    problems
        What went wrong; what the receipt of the study says if ``None``.
    atlas
        The template; looked for on this machine, never on the network, if ``None``.
    faces
        Whether images are shown that are not known to be without a face. Where they are not, what
        an earlier report left goes first: no face stays if this one cannot be written.

    Raises
    ------
    DestinationError
        When the folder of reports cannot take files.
    """
    facts = read_facts(study, places, problems=problems)
    page = report_path(places, facts.label)
    figures = page.parent / FIGURES / page.stem
    if not faces:
        _forget(page, figures)
    if not places.is_extra:  # they are made anew after this one, where they are asked for
        for extra in page.parent.glob(f'{page.stem}{_EXTRA.format("*")}'):
            _forget(extra, page.parent / FIGURES / extra.stem)
    atlas = atlas or _find_atlas(facts, places)
    try:
        gallery = draw_gallery(facts, figures, faces=faces, atlas=atlas)
        viewer = _write_viewer(facts, gallery.stacks, page)
        write_page(facts, gallery, page, places=places, viewer=viewer)
    except DestinationError:
        if not page.is_file():  # pictures without a page help nobody
            _forget(page, figures)
        raise
    return page


def _find_atlas(facts: StudyFacts, places: Places) -> Atlas | None:
    """Return the template when a figure shows it and it is on this machine."""
    if not (facts.centre and facts.centre.path('atlas-image')):
        return None
    from mrrate_bids.computing.template import fetch_template  # noqa: PLC0415  (slow)

    options = places.options
    with suppress(ResourceError, UsageError, ImportError):
        found = fetch_template(options.template, resolution=options.resolution, offline=True)
        return Atlas(found.image, found.brain)
    return None


def _viewer_path(page: Path) -> Path:
    return page.with_name(f'{page.stem}_viewer.html')


def _forget(page: Path, figures: Path) -> None:
    """Remove what an earlier report left."""
    for path in (page, _viewer_path(page), *figures.glob('*.png')):
        if not path.is_dir():
            remove(path)


def _write_viewer(facts: StudyFacts, stacks: Sequence[Stack], page: Path) -> Path | None:
    """Write the page with the viewer; there is none without images, or without NiiVue."""
    target = _viewer_path(page)
    if stacks:
        with suppress(ResourceError):
            script = write_script(page.parent / 'assets')
            write_viewer(facts, stacks, target, script=script, page=page)
            return target
    remove(target)
    return None
