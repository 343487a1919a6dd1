"""One study: what becomes of its files, what is said of them, and what its receipt remembers."""

import errno
import json
import zlib
from pathlib import Path

import hostile
import pytest
from hostile import CENTRE, GOOD, MOVING, THIRD, VICTIM, Study

from mrrate_bids import transfer
from mrrate_bids.catalog import open_release
from mrrate_bids.errors import DestinationError
from mrrate_bids.export import Exporter, ExportSettings, wanted_keys
from mrrate_bids.naming import INCLUDES, KINDS
from mrrate_bids.receipts import Receipts
from mrrate_bids.tables import read_tsv

ALL = (CENTRE, MOVING, THIRD)
ANAT = f'sub-22/ses-{VICTIM}/anat'
NAME = f'sub-22_ses-{VICTIM}_acq-axi_run-01'


@pytest.fixture
def exporter(source, tmp_path):
    """Return a function that makes an exporter with the given settings."""

    def make(**settings):
        return Exporter(tmp_path / 'bids', ExportSettings(**settings), source=source)

    return make


def read_study(source: Path, uid: str = VICTIM):
    batch = open_release(source).read_batch('batch00')
    return next(study for study in batch.studies if study.study == uid)


def test_wanted_keys():
    assert wanted_keys(['a', 'b'], iter(['raw', 'seg'])) == {
        ('a', 'raw'),
        ('a', 'seg'),
        ('b', 'raw'),
        ('b', 'seg'),
    }
    assert not wanted_keys([], INCLUDES)


def test_outcomes_of_a_study(exporter, studies, source, tmp_path):
    study = read_study(source)
    done = exporter().export(study, ALL)
    assert (done.status, done.problems) == ('done', [])
    on_disk = [path for path in (tmp_path / 'bids').rglob(f'*{VICTIM}_*') if path.is_file()]
    assert done.bytes == sum(path.stat().st_size for path in on_disk)
    again = exporter().export(study, ALL)
    assert (again.status, again.bytes) == ('skipped', 0)
    assert exporter().export(study, [CENTRE]).status == 'skipped'
    del studies[1].files['MR-RATE'][studies[1].image(MOVING)]
    hostile.write_release(source, studies)
    changed = exporter().export(read_study(source), ALL)
    assert changed.status == 'partial'
    assert {problem.series for problem in changed.problems} == {MOVING}
    assert exporter().export(read_study(source), ALL).status == 'partial'
    for path in source.glob(f'*/mri/batch00/{GOOD}*'):
        path.unlink()
    assert exporter().export(read_study(source, GOOD), [CENTRE]).status == 'absent'
    (source / f'MR-RATE/mri/batch00/{GOOD}.zip').write_bytes(b'')
    failed = exporter().export(read_study(source, GOOD), [CENTRE])
    assert (failed.status, failed.receipt.outputs, failed.bytes) == ('failed', [], 0)


def test_plan_writes_nothing_and_keeps_what_was_asked_for_before(exporter, source, tmp_path):
    study = read_study(source)
    plan = exporter(include=('raw',)).plan(study, [CENTRE])
    assert [row.target for row in plan.rows] == [f'{ANAT}/{NAME}_T1w.nii.gz']
    assert not (tmp_path / 'bids').exists()
    exporter(include=('raw',)).export(study, [CENTRE])
    plan = exporter(include=('raw',)).plan(study, [MOVING])
    assert {row.series for row in plan.rows} == {CENTRE, MOVING}


@pytest.mark.parametrize('include', INCLUDES)
def test_group_that_is_asked_for_comes_alone(include, exporter, source):
    done = exporter(include=(include,)).export(read_study(source), ALL)
    assert {KINDS[output.kind].include for output in done.receipt.outputs if output.kind} == {
        include
    }
    assert done.receipt.keys == sorted([series, include] for series in ALL)


def test_receipt_lists_every_file_of_the_study(exporter, source, tmp_path):
    exporter().export(read_study(source), ALL)
    receipt = Receipts(tmp_path / 'bids').load('batch00', VICTIM)
    found = {w for w, d in hostile.data_of(tmp_path / 'bids', '22').items() if d != 'folder'}
    assert [output.path for output in receipt.outputs] == sorted(found)
    for output in receipt.outputs:
        data = (tmp_path / 'bids' / output.path).read_bytes()
        assert (output.size, output.crc32) == (len(data), zlib.crc32(data)), output.path
    assert (receipt.state, receipt.centre, receipt.age, receipt.sex) == (
        'complete',
        CENTRE,
        '042Y',
        'F',
    )
    assert receipt.tables.keys() == {'reports', 'splits', 'labels mrrate_labels'}
    assert receipt.series.keys() == set(ALL)


def test_sidecar_of_an_image(exporter, studies, source, tmp_path):
    exporter().export(read_study(source), ALL)
    sidecar = json.loads((tmp_path / f'bids/{ANAT}/{NAME}_FLAIR.json').read_text())
    assert sidecar['MRRATE'] == studies[1].rows[1]
    assert sidecar['EchoTime'] == 0.01597
    assert sidecar['MagneticFieldStrength'] == 1.5


def test_derivatives_point_to_files_that_exist(source, tmp_path):
    root = tmp_path / 'bids'
    assert hostile.export(source, root).code == 0
    seen = 0
    for path in root.glob('derivatives/*/sub-*/ses-*/anat/*.json'):
        home = root.joinpath(*path.relative_to(root).parts[:2])
        links = json.loads((home / 'dataset_description.json').read_text())['DatasetLinks']
        content = json.loads(path.read_text())
        for uri in [*content.get('Sources', []), content.get('SpatialReference')]:
            if uri:
                _, dataset, inside = uri.split(':')
                assert (home / (links[dataset] if dataset else '.') / inside).is_file(), uri
                seen += 1
    assert seen > 20


def test_no_derivative_points_to_what_was_not_exported(exporter, source, tmp_path):
    exporter(include=('coreg', 'seg')).export(read_study(source), [MOVING])
    sidecars = [*(tmp_path / 'bids').glob('derivatives/*/sub-*/ses-*/anat/*.json')]
    assert sidecars
    assert not [path for path in sidecars if 'bids:raw' in path.read_text()]


def test_scans_table(exporter, source, tmp_path):
    exporter().export(read_study(source), ALL)
    rows = read_tsv(tmp_path / f'bids/sub-22/ses-{VICTIM}/sub-22_ses-{VICTIM}_scans.tsv')
    assert [row['filename'] for row in rows] == sorted(
        f'anat/{path.name}' for path in (tmp_path / 'bids' / ANAT).glob('*.nii.gz')
    )
    assert {row['series_id']: row['is_center_modality'] for row in rows} == {
        CENTRE: 'True',
        MOVING: 'False',
        THIRD: 'False',
    }


@pytest.mark.parametrize('cell', ['True', '1', 'yes', 'False', ''])
@pytest.mark.parametrize('column', ['contrast_enhanced', 'is_contrast_enhanced'])
def test_contrast_is_in_the_name_and_in_the_sidecar(column, cell, exporter, source, tmp_path):
    path = source / 'MR-RATE/metadata/batch00_metadata.csv'
    path.write_text(
        path.read_text().replace('FieldStrength_T', column).replace(',1.5,', f',{cell},')
    )
    exporter().export(read_study(source), ALL)
    ce = 'ce-gadolinium_' if cell in {'True', '1', 'yes'} else ''
    name = NAME.replace('run-', f'{ce}run-')
    sidecar = json.loads((tmp_path / f'bids/{ANAT}/{name}_T1w.json').read_text())
    assert (sidecar.get('ContrastBolusIngredient') == 'GADOLINIUM') == bool(ce)
    coreg = f'bids/derivatives/mrrate-coreg/{ANAT}/{name}_space-T1w_T1w.nii.gz'
    assert (tmp_path / coreg).is_file()


@pytest.mark.parametrize(
    ('cap', 'cell', 'tables'),
    [('tables', '095Y', '89'), ('everywhere', '089Y', '89'), ('none', '095Y', '95')],
)
def test_age_above_89(cap, cell, tables, source, tmp_path):
    path = source / 'MR-RATE/metadata/batch00_metadata.csv'
    path.write_text(path.read_text().replace('042Y', '095Y'))
    assert hostile.export(source, tmp_path / 'bids', '--age-cap', cap).code == 0
    sidecar = json.loads((tmp_path / f'bids/{ANAT}/{NAME}_T1w.json').read_text())
    assert sidecar['MRRATE']["Patient'sAge"] == cell
    assert read_tsv(tmp_path / 'bids/participants.tsv')[0]['age'] == tables
    assert read_tsv(tmp_path / 'bids/sub-22/sub-22_sessions.tsv')[0]['session_age'] == tables
    texts = [p for p in (tmp_path / 'bids').rglob('*') if p.suffix in {'.json', '.tsv'}]
    assert any('095Y' in path.read_text() for path in texts) == (cap != 'everywhere')


def test_centre_comes_along_with_what_lies_in_its_space(exporter, source):
    done = exporter(include=('coreg',)).export(read_study(source), [MOVING])
    images = {o.series for o in done.receipt.outputs if o.kind == 'coreg-image'}
    assert images == {CENTRE, MOVING}
    assert done.receipt.keys == [[MOVING, 'coreg']]


class FailingFile:
    """A file on a disk that goes bad."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def readinto(self, block):
        raise OSError(self._code, 'went bad')


@pytest.mark.parametrize('code', [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT])
def test_source_that_goes_bad_while_it_is_read(code, exporter, source, monkeypatch, tmp_path):
    honest = transfer.open_bytes
    monkeypatch.setattr(
        transfer,
        'open_bytes',
        lambda m: FailingFile(code) if m.name.endswith(f'{MOVING}.nii.gz') else honest(m),
    )
    done = exporter(include=('raw', 'defaced')).export(read_study(source), ALL)
    assert done.status == 'partial'
    message = done.problems[0].message
    assert 'went bad' in message
    assert f'img/{VICTIM}_{MOVING}.nii.gz cannot be read' in message
    assert len([o for o in done.receipt.outputs if o.kind]) == 6
    hostile.assert_sound(tmp_path / 'bids')


@pytest.mark.parametrize('times', [1, 3])
def test_temporary_file_swept_away_by_another_run(times, exporter, source, monkeypatch, tmp_path):
    honest, left = transfer._check_image, [times]

    def check(out, head, name):
        if MOVING in name and left[0]:
            left[0] -= 1
            Path(out.name).unlink()
        return honest(out, head, name)

    monkeypatch.setattr(transfer, '_check_image', check)
    assert exporter(include=('raw',)).export(read_study(source), ALL).status == 'done'
    assert left == [0]
    hostile.assert_sound(tmp_path / 'bids')
    assert len(list((tmp_path / 'bids').rglob('*.nii.gz'))) == 3


def test_destination_that_fails_is_no_matter_of_one_study(exporter, source, tmp_path):
    (tmp_path / 'bids').mkdir()
    (tmp_path / 'bids/sub-22').write_text('?')
    with pytest.raises(DestinationError, match='a file where a folder should be'):
        exporter().export(read_study(source), ALL)


def test_study_with_a_single_series(exporter, tmp_path):
    alone = Study(VICTIM, '22', series=('flair-raw-cor-2',), seed=3)
    source = hostile.write_release(tmp_path / 'release', [alone])
    done = exporter().export(read_study(source), alone.series)
    assert done.status == 'done'
    name = f'sub-22_ses-{VICTIM}_acq-cor_run-02_FLAIR.nii.gz'
    assert (tmp_path / f'bids/{ANAT}/{name}').read_bytes() == hostile.volume(300)
