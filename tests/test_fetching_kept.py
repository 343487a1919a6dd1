"""Zips that are kept as published: which are, which may be replaced, which are somebody's own."""

import shutil

import hostile
import pytest
from hostile import VICTIM

from mrrate_bids.archives import Place
from mrrate_bids.catalog import Study
from mrrate_bids.errors import ArchiveError
from mrrate_bids.fetching.kept import ZIP, KeptZips
from mrrate_bids.receipts import Output, Receipt

TARGET = f'MR-RATE/mri/batch00/{VICTIM}.zip'


@pytest.fixture
def study(source):
    place = Place(source / TARGET, VICTIM, zipped=True)
    return Study('batch00', '22', VICTIM, [], [], [place])


@pytest.fixture
def here(source, tmp_path):
    """The zip in a folder that is fetched into, as published."""
    path = tmp_path / 'part' / TARGET
    path.parent.mkdir(parents=True)
    shutil.copy(source / TARGET, path)
    return path


def kept(tmp_path, *, wanted):
    return KeptZips(tmp_path / 'part', home_of=lambda place: 'MR-RATE', wanted=wanted)


def change(path, how):
    content = bytearray(path.read_bytes())
    if how == 'cut':
        path.write_bytes(content[:-9])
    elif how == 'byte':
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
    elif how == 'mine':
        hostile.write_zip(path, {'note.txt': b'mine'}, prefix=f'{VICTIM}/')


@pytest.mark.parametrize('wanted', [True, False])
def test_published_zip_that_nobody_noted_is_kept(wanted, study, here, tmp_path):
    assert kept(tmp_path, wanted=wanted).places(study, None) == study.places
    assert kept(tmp_path, wanted=wanted).may_stay(study.places[0], here)


@pytest.mark.parametrize('wanted', [True, False])
def test_where_there_is_none_it_is_kept_if_it_is_wanted(wanted, study, tmp_path):
    assert kept(tmp_path, wanted=wanted).places(study, None) == (study.places if wanted else [])


@pytest.mark.parametrize(
    ('how', 'wanted', 'says'),
    [
        ('mine', True, 'is not the published zip'),
        ('mine', False, 'is not the published zip'),
        ('cut', False, 'is damaged'),
        ('byte', False, 'is damaged'),
    ],
)
def test_another_zip_is_named(how, wanted, says, study, here, tmp_path):
    change(here, how)
    with pytest.raises(ArchiveError, match=says) as caught:
        kept(tmp_path, wanted=wanted).may_stay(study.places[0], here)
    assert str(here) in str(caught.value)
    assert ('--whole-zips' in caught.value.hint) == (says == 'is damaged')


@pytest.mark.parametrize('how', ['cut', 'byte'])
def test_damaged_zip_is_replaced_by_one_that_is_wanted(how, study, here, tmp_path):
    change(here, how)
    assert not kept(tmp_path, wanted=True).may_stay(study.places[0], here)


def test_zip_beside_files_of_an_earlier_run_is_left_alone(study, here, tmp_path):
    change(here, 'mine')
    receipt = Receipt('22', VICTIM, 'batch00', 'complete')
    receipt.outputs = [Output(f'MR-RATE/mri/batch00/{VICTIM}/img/x.nii.gz', 1, 1, 'image')]
    zips = kept(tmp_path, wanted=False)
    assert zips.places(study, receipt) == []
    assert zips.are_noted(study, receipt)
    assert not kept(tmp_path, wanted=True).are_noted(study, receipt)


def test_what_is_to_be_done(study, tmp_path):
    row = kept(tmp_path, wanted=True).row(study, study.places[0])
    assert (row.kind.name, row.kind.repository, row.target) == (ZIP, 'MR-RATE', TARGET)
    assert row.member.size == study.places[0].path.stat().st_size
