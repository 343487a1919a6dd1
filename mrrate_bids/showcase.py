"""The whole way on simulated heads: from a release to BIDS and back, with checks and a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mrrate_bids.catalog import open_release
from mrrate_bids.comparison import Comparison, compare_releases
from mrrate_bids.demo import build_release
from mrrate_bids.descriptions import About
from mrrate_bids.export import ExportSettings
from mrrate_bids.export_run import ExportRun, Summary
from mrrate_bids.importing.run import ImportRun, ImportSettings
from mrrate_bids.picture import Panel, draw_study
from mrrate_bids.receipts import Receipt, Receipts
from mrrate_bids.selection import Selection
from mrrate_bids.validation import Report, validate

__all__ = ['Showcase', 'show']

ABOUT = About(
    name='Simulated heads in the layout of MR-RATE',
    license='ICBM 152 licence of the template they are made from (free use with notice)',
    source='https://nilearn.github.io',
    authors=('The mrrate-bids developers', 'The authors of the ICBM 152 template'),
)
_SEGMENTATIONS = ('nvseg-brain', 'vista-seg')


@dataclass(frozen=True, slots=True)
class Showcase:
    """What the demonstration made."""

    release: Path
    bids: Path
    picture: Path
    back: Path
    """The release that was made from the dataset."""

    summary: Summary
    report: Report
    round_trip: Comparison
    """The release that was made from the dataset next to the one that it came from."""


def show(
    out: Path, *, jobs: int = 2, voxel: float = 1.0, tell: Callable[[str], None] = lambda _: None
) -> Showcase:
    """Make a small release below *out*, export it, check the result, draw a study, go back.

    A release that is there already is used again.

    Parameters
    ----------
    out
        The folder to work in.
    jobs
        Studies to work on at the same time.
    voxel
        1 for the resolution of clinical scans; larger is coarser and faster.
    tell
        Told what happens next.

    Raises
    ------
    DestinationError
        When *out* cannot take files.
    """
    source, bids, picture = out / 'MR-RATE-all', out / 'bids', out / 'study.png'
    if not (source / 'MR-RATE' / 'splits.csv').exists():  # the tables are written last
        tell('Simulating a release of 2 patients and 3 studies')
        build_release(source, voxel=voxel)
    tell('Exporting it to BIDS')
    release = open_release(source)
    settings = ExportSettings()
    run = ExportRun(release, bids, selection=Selection(), settings=settings, about=ABOUT)
    summary = run.execute(jobs=jobs)
    tell('Checking every file and every dataset')
    report = validate(bids, jobs=jobs, deep=True)
    tell('Drawing a study')
    draw(bids, picture)
    tell('Making a release of it again')
    back = out / 'MR-RATE-again'
    ImportRun(bids, back, settings=ImportSettings()).execute(jobs=jobs)
    round_trip = compare_releases(source, back)
    return Showcase(source, bids, picture, back, summary, report, round_trip)


def draw(bids: Path, picture: Path) -> None:
    """Draw the study with the most series.

    Parameters
    ----------
    bids
        A dataset that was exported.
    picture
        The PNG file to write.
    """
    receipt = max(Receipts(bids), key=lambda receipt: len(receipt.series))
    files = {(output.kind, output.series): bids / output.path for output in receipt.outputs}
    panels = [_panel(receipt, files, series) for series in sorted(receipt.series)]
    draw_study(panels, picture, title=f'sub-{receipt.patient} ses-{receipt.study}')


def _panel(receipt: Receipt, files: dict[tuple[str, str], Path], series: str) -> Panel:
    image = files['image', series]
    found = (files.get((kind, series)) for kind in _SEGMENTATIONS)
    name = image.name.removesuffix('.nii.gz').partition(f'_ses-{receipt.study}_')[2]
    segmentation = next((path for path in found if path), None)
    return Panel(f'{name}   ({series})', image, files.get(('brain-mask', series)), segmentation)
