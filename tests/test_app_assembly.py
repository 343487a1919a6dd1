"""A session as a study: which of its images can be used."""

import pytest
from app_studies import messages, names, run_of, single, t1w
from foreign_bids import AXIAL, Series, make_dataset

pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.inputs import find_studies


@pytest.mark.parametrize('key', ['BodyPart', 'BodyPartExamined'])
@pytest.mark.parametrize('part', ['CSPINE', 'L-Spine', 'Neck'])
def test_spine_is_set_aside(key, part, tmp_path):
    root = single(tmp_path, t1w(BodyPart='HEAD'), Series('T2w', sidecar={key: part}))
    found = find_studies(root)
    assert [one.suffix for one in found.studies[0].series] == ['T1w']
    (problem,) = found.problems
    assert f'shows the {part.lower()}, not the head' in problem.message
    assert problem.file == 'sub-01/anat/sub-01_T2w.nii.gz'
    assert found.failed == set()


def test_packed_and_unpacked_image_of_one_name(tmp_path):
    root = single(tmp_path, t1w(), Series('T1w', AXIAL, packed=False))
    found = find_studies(root)
    assert [one.image.name for one in found.studies[0].series] == ['sub-01_T1w.nii']
    assert messages(found) == [
        'sub-01/anat/sub-01_T1w.nii.gz: is a second image of one name, packed and not; '
        'it was set aside'
    ]


@pytest.mark.parametrize(
    'said',
    [
        {'BodyPart': 'HEADNECK'},
        {'BodyPartExamined': 'HEAD AND NECK'},
        {'BodyPart': 'Brain and C-Spine'},
        {'BodyPart': 'neck', 'BodyPartExamined': 'SKULL'},
    ],
)
def test_head_with_its_neck_is_a_head(said, tmp_path):
    found = find_studies(single(tmp_path, t1w(**said)))
    assert found.problems == []
    assert len(found.studies) == 1


@pytest.mark.parametrize(
    'text', ['', '/annex/objects/MD5-s9--0\n', 'version https://git-lfs.github.com/spec/v1\n']
)
def test_image_that_was_not_fetched_sets_its_series_aside(text, tmp_path):
    bids = make_dataset(tmp_path / 'bids', subjects=2, sessions=False)
    (image,) = bids.glob('sub-02/anat/*mprage_T1w.nii.gz')
    image.unlink()
    image.write_text(text) if text else image.symlink_to(tmp_path / 'annex')
    run = run_of(bids, tmp_path / 'out', 'mask', who=())
    (problem,) = [one for one in run.found.problems if 'its content is not here' in one.message]
    assert 'git annex get' in problem.remedy
    assert names(run.pending())
