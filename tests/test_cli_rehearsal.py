"""What a command would refuse is told before it begins."""

import hostile
import pytest

from mrrate_bids.cli.export import command as export
from mrrate_bids.cli.rehearsal import rehearse
from mrrate_bids.errors import SelectionError


def values_of(*words):
    with export.make_context('export', list(map(str, words))) as ctx:
        return ctx.params


@pytest.fixture
def release(tmp_path):
    return hostile.write_release(tmp_path / 'release', hostile.three_studies())


def test_nothing_is_written(release, tmp_path):
    assert rehearse('export', values_of(release, tmp_path / 'bids')) is None
    assert [path.name for path in tmp_path.iterdir()] == ['release']


def test_what_is_not_there_may_come_to_be(tmp_path):
    lacking = rehearse('export', values_of(tmp_path / 'none', tmp_path / 'bids'))
    assert str(lacking) == f'{tmp_path / "none"} is not a folder'


@pytest.mark.parametrize('source', ['release', 'none'])
def test_condition_that_is_none(source, release, tmp_path):
    words = (tmp_path / source, tmp_path / 'bids', '--where', 'age <')
    with pytest.raises(SelectionError, match='cannot be evaluated'):
        rehearse('export', values_of(*words))


def test_a_source_on_a_server_is_not_asked():
    assert rehearse('fetch', {'source': 'hf://datasets/a/b', 'where': ''}) is None
