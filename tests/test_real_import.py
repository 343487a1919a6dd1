"""Real heads go round, and become a release from a dataset that has no field of ours."""

import gzip
import json
import shutil

import hostile
import nibabel as nib
import numpy as np
import pytest
from real_release import DATA, build_real_release
from round_trip import assert_same_release, content, import_, rows

from mrrate_bids.tables import read_tsv

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason='the shared heads are not here'),
]

TCGA, CHRIS = 'tcga-fg-6692/TCGA-FG-6692', 'chris/chris'
IMAGES = {
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_T1w': (f'{TCGA}_T1w', {'SeriesNumber': 1}),
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_T2w': (f'{TCGA}_T2w', {'SeriesNumber': 3}),
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_FLAIR': (f'{TCGA}_FLAIR', {'SeriesNumber': 4}),
    'sub-tcga/ses-1/anat/sub-tcga_ses-1_ce-gadolinium_T1w': (
        f'{TCGA}_T1wCE',
        {'SeriesNumber': 9},
    ),
    'sub-chris/anat/sub-chris_T1w': (f'{CHRIS}_t1', {'RepetitionTime': 2.3}),
    'sub-chris/anat/sub-chris_angio': (f'{CHRIS}_MRA', {'EchoTime': 0.007}),
    'sub-chris/anat/sub-chris_PDw': (f'{CHRIS}_PD', {'EchoTime': 0.02}),
    'sub-bis/anat/sub-bis_T1w': ('bisweb-deface/sag_2mm_defaced', {'FlipAngle': 8}),
    'sub-bis/anat/sub-bis_T2w': ('niivue-register/T2w', {'FlipAngle': 90}),
}
REJECTED = {
    'angio': ('min_fov_mm', '78 mm', 'at least 140'),
    'PDw': ('modalities', 'PDw', 'T1w, T2w, FLAIR, SWI, MRA'),
    'T2w': ('min_fov_mm', '120 mm', 'at least 140'),
}
SERIES = {
    'sub-tcga': {'t1w-raw-axi', 't2w-raw-axi', 'flair-raw-axi', 't1w-raw-axi-2'},
    'sub-chris': {'t1w-raw-axi'},
    'sub-bis': {'t1w-raw-sag'},
}


@pytest.fixture(params=['some have sessions', 'none has sessions'])
def dataset(request, tmp_path):
    """Return a dataset of real heads as anybody might have it."""
    root = tmp_path / 'dataset'
    for name, (source, sidecar) in IMAGES.items():
        without = name.replace('ses-1/', '').replace('ses-1_', '')
        path = root / f'{without if request.param.startswith("none") else name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / f'{source}.nii.gz', path)
        path.with_name(f'{path.name[:-7]}.json').write_text(json.dumps(sidecar))
    about = {'Name': 'Heads', 'BIDSVersion': '1.8.0'}
    (root / 'dataset_description.json').write_text(json.dumps(about))
    people = 'participant_id\tage\tsex\nsub-tcga\t46\tF\nsub-chris\t35\tM\nsub-bis\t52\tn/a\n'
    (root / 'participants.tsv').write_text(people)
    return root


def test_real_release_comes_back_byte_for_byte(tmp_path):
    build_real_release(tmp_path / 'release', tmp_path / 'work')
    assert hostile.export(tmp_path / 'release', tmp_path / 'bids').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'back').code == 0
    assert_same_release(tmp_path / 'release', tmp_path / 'back')
    assert len(content(tmp_path / 'back')) == 74


def test_dataset_of_real_heads_becomes_a_release_that_goes_round(dataset, tmp_path):
    release = tmp_path / 'release'
    done = import_(dataset, release)
    assert done.code == 0, done.output
    uids = {e['participant_id']: e['study_uid'] for e in mapping(tmp_path)}
    header, *lines = rows((release / 'MR-RATE/metadata/batch00_metadata.csv').read_bytes())
    found = [dict(zip(header, line, strict=True)) for line in lines]
    for subject, series in SERIES.items():
        mine = [row for row in found if row['study_uid'] == uids[subject]]
        assert {row['series_id'] for row in mine} == series
        centres = [row['series_id'] for row in mine if row['is_center_modality'] == 'True']
        assert centres == [next(iter(sorted(series, key=lambda s: ('t1w' not in s, s))))]
    enhanced = [row['series_id'] for row in found if row['contrast_enhanced'] == 'True']
    assert enhanced == ['t1w-raw-axi-2']
    (bis,) = [row for row in found if row['study_uid'] == uids['sub-bis']]
    assert (bis['acquisition_plane'], bis['array_shape']) == ('SAGITTAL', '[128, 128, 88]')
    assert (bis["Patient'sAge"], bis["Patient'sSex"], bis['FlipAngle']) == ('052Y', '', '8')
    rejected = read_tsv(tmp_path / 'release-import/rejected.tsv')
    why = {
        r['image'].removesuffix('.nii.gz').rpartition('_')[2]: (r['rule'], r['value'], r['limit'])
        for r in rejected
    }
    assert why == REJECTED
    assert_same_heads(release, uids['sub-tcga'])
    assert hostile.command('validate', release, '--deep').code == 0
    assert hostile.export(release, tmp_path / 'bids').code == 0
    assert hostile.command('validate', tmp_path / 'bids').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'again').code == 0
    assert_same_release(release, tmp_path / 'again')


def assert_same_heads(release, study):
    """Make sure that voxels and place of the images of one study are those of the source."""
    found = content(release)
    sources = 'FLAIR', 'T1w', 'T1wCE', 'T2w'
    for series, source in zip(sorted(SERIES['sub-tcga']), sources, strict=True):
        inside = f'MR-RATE/mri/batch00/{study}.zip!{study}/img/{study}_{series}.nii.gz'
        ours = nib.Nifti1Image.from_bytes(gzip.decompress(found[inside]))
        theirs = nib.load(DATA / f'{TCGA}_{source}.nii.gz')
        np.testing.assert_array_equal(ours.get_fdata(), theirs.get_fdata())
        np.testing.assert_array_equal(ours.affine, theirs.affine)
        assert ours.get_data_dtype() == np.uint16


def mapping(tmp_path):
    return read_tsv(tmp_path / 'release-import/mapping.tsv')
