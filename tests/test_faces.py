"""Which images show a face, by what their sidecars name as sources."""

import pytest

from mrrate_bids.faces import SHOWING, is_faceless, says_faceless
from mrrate_bids.naming import COMPUTED, KINDS

RAW = 'bids:raw:sub-1/anat/sub-1_T1w.nii.gz'
DEFACED = 'bids:defaced:sub-1/anat/sub-1_desc-defaced_T1w.nii.gz'
MASK = 'bids:defaced:sub-1/anat/sub-1_mod-T1w_space-orig_defacemask.nii.gz'


@pytest.mark.parametrize(
    'sources',
    [[DEFACED], [RAW, MASK], [MASK.removesuffix('.gz')], ['bids::x_xfm.mat', DEFACED], DEFACED],
)
def test_made_from_a_defaced_image(sources):
    assert says_faceless({'Sources': sources})


@pytest.mark.parametrize(
    'said',
    [
        {},
        {'Sources': []},
        {'Sources': None},
        {'Sources': 7},
        {'Sources': {'desc': 'defaced'}},
        {'Sources': [RAW]},
        {'Sources': ['bids:raw:sub-defaced/anat/sub-defaced_T1w.nii.gz']},
        {'Sources': ['bids:defaced:sub-1/anat/sub-1_space-orig_label-brain_mask.nii.gz']},
    ],
)
def test_anything_else_may_show_one(said):
    assert not says_faceless(said)


@pytest.mark.parametrize(
    ('text', 'faceless'), [(f'{{"Sources": ["{MASK}"]}}', True), ('{', False), ('[]', False)]
)
def test_sidecar_of_an_image(text, faceless, tmp_path):
    (tmp_path / 'a_T1w.json').write_text(text)
    assert is_faceless(tmp_path / 'a_T1w.nii.gz') is faceless


def test_image_without_a_sidecar(tmp_path):
    assert not is_faceless(tmp_path / 'a_T1w.nii.gz')


def test_kinds_exist():
    assert set(SHOWING) <= KINDS.keys() | COMPUTED.keys()
