"""Two releases are compared by what they hold, not by how it is packed."""

import hostile
import pytest

from mrrate_bids.comparison import compare_releases


@pytest.mark.parametrize('layout', ['zip', 'extracted', 'merged'])
def test_packing_makes_no_difference(layout, studies, source, tmp_path):
    other = hostile.write_release(tmp_path / 'other', studies, layout=layout)
    found = compare_releases(source, other)
    assert found.same
    assert (found.files, found.tables) == (
        sum(len(f) for s in studies for f in s.files.values()),
        6,
    )


def test_every_difference_is_named(studies, source, tmp_path):
    victim, good = studies[1], studies[0]
    victim.files['MR-RATE'][victim.image()] = hostile.volume(55)
    del victim.files['MR-RATE-atlas'][f'transform/M_atlas_{hostile.CENTRE}.mat']
    good.files['MR-RATE']['img/more.nii.gz'] = b'more'
    good.rows[0]['TE_ms'] = '1'
    other = hostile.write_release(tmp_path / 'other', studies)
    assert compare_releases(source, other).differences == [
        'batch00/GOODAAAAAA/img/more.nii.gz is in the second only',
        f'batch00/VICTIMBBBB/{victim.image()} differs',
        f'batch00/VICTIMBBBB/transform/M_atlas_{hostile.CENTRE}.mat is in the first only',
        'metadata/batch00_metadata.csv differs',
    ]
