"""Where reports and thumbnails lie."""

import pytest

from mrrate_bids.reports.places import find_thumbnail, link_to, report_of, shows_face


def test_pages():
    assert report_of('sub-1') == 'sub-1.html'
    assert report_of('sub-1/ses-2') == 'sub-1_ses-2.html'


def test_thumbnail_is_a_file_that_is_there(tmp_path):
    assert find_thumbnail(tmp_path, 'sub-1/ses-2') == ''
    folder = tmp_path / 'figures' / 'sub-1_ses-2'
    folder.mkdir(parents=True)
    (folder / 'thumbnail.png').touch()
    assert find_thumbnail(tmp_path, 'sub-1/ses-2') == 'figures/sub-1_ses-2/thumbnail.png'
    assert not shows_face(find_thumbnail(tmp_path, 'sub-1/ses-2'))
    (folder / 'thumbnail.png').rename(folder / 'thumbnail_face.png')
    assert find_thumbnail(tmp_path, 'sub-1/ses-2') == 'figures/sub-1_ses-2/thumbnail_face.png'
    assert shows_face(find_thumbnail(tmp_path, 'sub-1/ses-2'))


@pytest.mark.parametrize('name', ['a+b', 'a%b', 'a#b', 'a?b', 'a b', 'é'])
def test_link_has_no_character_of_another_meaning(name):
    assert not set(link_to(f'{name}.html')) & set('+#? é')
