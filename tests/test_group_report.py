"""One call writes page, table and dictionary, or says in one line why not."""

import pytest
from small_results import write_problems, write_study

from mrrate_bids.errors import DestinationError, UsageError
from mrrate_bids.group.report import write_group


@pytest.mark.parametrize('folder', ['', 'gone'])
def test_empty_folder_is_one_clear_error(folder, tmp_path):
    with pytest.raises(UsageError, match='no run has left a study here') as caught:
        write_group(tmp_path / folder)
    assert 'mrrate-bids run BIDS_DIR' in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_three_files_and_nothing_else(tmp_path):
    write_study(tmp_path, 'sub-01')
    page = write_group(tmp_path)
    assert page == tmp_path / 'reports' / 'group.html'
    names = sorted(path.name for path in page.parent.iterdir())
    assert names == ['group.html', 'group.json', 'group.tsv']


def test_studies_that_were_all_set_aside(tmp_path):
    write_problems(tmp_path, ('sub-01', 'has no T1w'))
    assert 'has no T1w' in write_group(tmp_path).read_text(encoding='utf-8')


def test_folder_that_takes_no_files(tmp_path):
    write_study(tmp_path, 'sub-01')
    (tmp_path / 'reports').write_text('a file')
    with pytest.raises(DestinationError, match='reports'):
        write_group(tmp_path)
