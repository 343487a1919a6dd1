"""Scanners are read from the raw sidecars, whatever folder they stand in."""

import pytest
from small_results import image_of, write_raw

from mrrate_bids.descriptions import format_json
from mrrate_bids.files import write_text
from mrrate_bids.group.scanners import UNKNOWN, Scanner, Scanners, find_raw

IMAGE = image_of('sub-01/ses-1', 'T2w')


def test_sidecars_are_inherited_and_the_nearest_wins(tmp_path):
    general = {'Manufacturer': 'ACME', 'ManufacturersModelName': 'One', 'MagneticFieldStrength': 3}
    bids = write_raw(tmp_path, scanner=general, **{IMAGE: {'ManufacturersModelName': 'Two'}})
    assert Scanners(bids).of(IMAGE) == Scanner('ACME', 'Two', '3')
    assert Scanners(bids).of(image_of('sub-02', 'T2w')) == Scanner('ACME', 'One', '3')
    assert Scanners(bids).of(image_of('sub-02', 'T1w')) == UNKNOWN


def test_nothing_is_said(tmp_path):
    assert Scanners(None).of(IMAGE) == UNKNOWN
    assert Scanners(tmp_path / 'gone').of(IMAGE) == UNKNOWN
    assert Scanners(write_raw(tmp_path)).of('') == UNKNOWN


def test_broken_sidecar_is_no_scanner(tmp_path):
    write_text(write_raw(tmp_path) / 'T2w.json', '{')
    assert Scanners(tmp_path).of(IMAGE) == UNKNOWN


@pytest.mark.parametrize(
    ('field', 'title'),
    [(1.5, 'ACME 1.5 T'), ('2.89', 'ACME 2.9 T'), (3, 'ACME 3 T'), ('high', 'ACME high')],
)
def test_title(field, title):
    assert str(Scanner.read({'Manufacturer': 'ACME', 'MagneticFieldStrength': field})) == title


@pytest.mark.parametrize('value', [None, [], {}, 7, '', '  '], ids=repr)
def test_odd_manufacturers(value):
    assert str(Scanner.read({'Manufacturer': value}))


def test_raw_dataset_is_found_through_the_links_of_the_results(tmp_path):
    write_raw(tmp_path / 'bids')
    out = tmp_path / 'results' / 'out'
    assert find_raw(out) is None
    for name, link in (('mrrate-a', '../gone'), ('mrrate-b', '../../../bids')):
        content = format_json({'DatasetLinks': {'raw': link}})
        write_text(out / name / 'dataset_description.json', content)
    assert find_raw(out) == (tmp_path / 'bids').resolve()


@pytest.mark.parametrize(
    'content', ['{', '{}', '{"DatasetLinks": []}', '{"DatasetLinks": {"raw": 3}}']
)
def test_links_that_say_nothing(content, tmp_path):
    write_text(tmp_path / 'mrrate-a' / 'dataset_description.json', content)
    assert find_raw(tmp_path) is None
