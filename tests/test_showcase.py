import re

import nibabel as nib
from click.testing import CliRunner

from mrrate_bids.cli import main
from mrrate_bids.showcase import show


def test_demo_goes_the_whole_way_and_back(tmp_path):
    told = []
    result = show(tmp_path, voxel=3.0, tell=told.append)
    assert len(told) == 5
    assert result.round_trip.same
    assert (result.round_trip.files, result.round_trip.tables) == (108, 6)
    assert result.summary.counts == {'done': 3}
    assert result.summary.problems == result.report.problems == []
    assert result.picture.read_bytes().startswith(b'\x89PNG')
    images = sorted(result.bids.glob('sub-*/ses-*/anat/*.nii.gz'))
    suffixes = {path.name.rpartition('_')[2].partition('.')[0] for path in images}
    planes = {re.search('acq-([a-z]+)', path.name)[1] for path in images}
    assert suffixes == {'T1w', 'T2w', 'FLAIR', 'T2starw', 'angio'}
    assert planes == {'axi', 'sag', 'cor', 'obl'}
    kinds = {nib.load(path).get_data_dtype().name for path in images}
    orientations = {nib.aff2axcodes(nib.load(path).affine) for path in images}
    assert kinds == {'uint16', 'float32'}
    assert len(orientations) >= 3
    derivatives = {path.name for path in (result.bids / 'derivatives').iterdir()}
    assert derivatives == {'mrrate-defaced', 'mrrate-coreg', 'mrrate-atlas', 'mrrate-nvsegctmr'}


def test_second_demo_uses_the_release_again(tmp_path):
    show(tmp_path, voxel=4.0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.nii.gz')}
    result = CliRunner().invoke(main, ['demo', str(tmp_path), '--voxel', '4'])
    assert result.exit_code == 0, result.output
    assert 'Simulating' not in result.output
    assert str(tmp_path / 'study.png') in result.output
    assert 'the same byte for byte' in result.output
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.nii.gz')}
