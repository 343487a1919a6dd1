"""The states of a study's places at its source, and how receipts keep them."""

from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.archives import Place
from mrrate_bids.catalog import Study
from mrrate_bids.fetching.signs import read_signs, signs_of, write_signs
from mrrate_bids.naming import REPOSITORIES
from mrrate_bids.receipts import Receipt


@given(st.dictionaries(st.sampled_from(sorted(REPOSITORIES)), st.text('0123456789abcdef')))
def test_receipts_keep_them(signs):
    receipt = Receipt('1', 'A', 'batch00', 'complete')
    write_signs(receipt, signs)
    assert read_signs(receipt) == signs


def test_they_change_with_the_files_of_their_repository(tmp_path):
    paths = {home: tmp_path / f'{home}.zip' for home in ('MR-RATE', 'MR-RATE-coreg')}
    for path in paths.values():
        path.write_bytes(b'1')
    study = Study('batch00', '1', 'A', [], [])
    study.places = [Place(path, 'A', zipped=True) for path in paths.values()]
    before = signs_of(study, home_of=lambda place: place.path.stem)
    assert before == signs_of(study, home_of=lambda place: place.path.stem)
    paths['MR-RATE'].write_bytes(b'12')
    now = signs_of(study, home_of=lambda place: place.path.stem)
    assert {home for home in now if now[home] != before[home]} == {'MR-RATE'}
