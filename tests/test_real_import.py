"""Real heads go round, and become a release from a dataset that has no field of ours."""

import json
import shutil

import hostile
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
SERIES = {
    'sub-tcga': {'t1w-raw-axi', 't2w-raw-axi', 'flair-raw-axi', 't1w-raw-axi-2'},
    'sub-chris': {'t1w-raw-axi'},
    'sub-bis': {'t1w-raw-sag'},
}


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Return a dataset of real heads as anybody might have it."""
    root = tmp_path_factory.mktemp('real') / 'dataset'
    for name, (source, sidecar) in IMAGES.items():
        path = root / f'{name}.nii.gz'
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DATA / f'{source}.nii.gz', path)
        (root / f'{name}.json').write_text(json.dumps(sidecar))
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
    assert sum(row.get('contrast_enhanced') == 'True' for row in found) == 1
    rejected = read_tsv(tmp_path / 'release-import/rejected.tsv')
    assert {(r['image'].rpartition('/')[2], r['rule']) for r in rejected} == {
        ('sub-chris_angio.nii.gz', 'min_fov_mm'),
        ('sub-chris_PDw.nii.gz', 'modalities'),
        ('sub-bis_T2w.nii.gz', 'min_fov_mm'),
    }
    assert hostile.command('validate', release, '--deep').code == 0
    assert hostile.export(release, tmp_path / 'bids').code == 0
    assert hostile.command('validate', tmp_path / 'bids').code == 0
    assert import_(tmp_path / 'bids', tmp_path / 'again').code == 0
    assert_same_release(release, tmp_path / 'again')


def mapping(tmp_path):
    return read_tsv(tmp_path / 'release-import/mapping.tsv')
