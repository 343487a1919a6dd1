"""Where pictures gather: their files, their cards, and whose faces they show."""

import pytest

pytest.importorskip('bids')

from pathlib import Path

from PIL import Image

from mrrate_bids.app.study import Series
from mrrate_bids.errors import DestinationError, ImageError
from mrrate_bids.reports.album import Album
from mrrate_bids.reports.facts import OUTDATED, Result, SeriesFacts

INSIDE = 'sub-1/anat/sub-1_T1w.nii.gz'
ONE = SeriesFacts(Series(Path(INSIDE), INSIDE), True, {})
PICTURE = Image.new('L', (480, 300))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'reports/figures/sub-1'


def test_picture_is_a_file_and_an_address(folder):
    found = Album(folder, faces=True).save(ONE, 'mask', PICTURE, alt='A mask', label='after')
    assert (folder.parents[1] / found.url).is_file()
    assert found == ('figures/sub-1/sub-1_T1w_mask.png', 'A mask', 480, 300, 'after')


@pytest.mark.parametrize(
    ('faceless', 'name'), [(True, 'thumbnail.png'), (False, 'thumbnail_face.png')]
)
def test_thumbnail_tells_by_its_name_whether_it_shows_a_face(faceless, name, folder):
    Album(folder, faces=True).save_thumbnail(PICTURE, faceless=faceless)
    (path,) = folder.iterdir()
    assert path.name == name
    with Image.open(path) as small:
        assert small.size == (240, 150)


def test_sweep_leaves_what_was_written(folder):
    Album(folder, faces=True).save(ONE, 'old', PICTURE, alt='Old')
    album = Album(folder, faces=True)
    album.save(ONE, 'new', PICTURE, alt='New')
    album.sweep()
    assert [path.name for path in folder.iterdir()] == ['sub-1_T1w_new.png']
    Album(folder.parent / 'nowhere', faces=True).sweep()


@pytest.mark.parametrize('faces', [False, True])
def test_faces_are_noted_once_shown_or_hidden(faces, folder):
    album = Album(folder, faces=faces)
    assert album.allows('T2w', faceless=True)
    assert [album.allows('T1w', faceless=False) for _ in range(2)] == [faces, faces]
    assert (album.gallery.faces, album.gallery.hidden) == (['T1w'] * faces, ['T1w'] * (not faces))


def test_card_of_an_outdated_result_says_so(folder):
    album = Album(folder, faces=True)
    for origin in (OUTDATED, 'computed'):
        album.add('masks', ONE, of=Result('brain-mask', Path('m'), origin), caption='Carried.')
    captions = [card.caption for card in album.gallery.cards]
    assert captions[0].startswith('Outdated: ')
    assert captions[0].endswith(' Carried.')
    assert captions[1] == 'Carried.'


def test_bad_image_is_noted_and_a_full_disk_is_not(folder):
    album = Album(folder, faces=True)
    with album.attempt('Face', ONE):
        raise ImageError('is broken')
    assert album.gallery.notes == [('Face of T1w', 'is broken')]
    with pytest.raises(DestinationError), album.attempt('Face', ONE):
        raise DestinationError('is full')
