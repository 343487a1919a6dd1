import pytest
from click.testing import CliRunner

from mrrate_bids.cli import main
from mrrate_bids.tables import read_tsv

STUDY = '2END5JBWVA'
IMAGE = f'sub-7731/ses-{STUDY}/anat/sub-7731_ses-{STUDY}_acq-cor_run-01_T2w.nii.gz'


def run(*arguments):
    return CliRunner().invoke(main, ['validate', *map(str, arguments)])


@pytest.mark.parametrize('depth', ['--quick', '--deep'])
def test_intact(exported, depth):
    done = run(exported, depth, '--jobs', 1)
    assert done.exit_code == 0, done.output
    assert done.stdout.count('BIDS validator') == 5
    assert ('not run: needs --deep' in done.output) == (depth == '--quick')
    assert 'Checking subjects: 2/2' in done.stderr


def test_damaged(copied, tmp_path):
    (copied / IMAGE).write_bytes(b'')
    done = run(copied, '--skip-bids-validator', '--tsv', tmp_path / 'problems.tsv')
    assert done.exit_code == 3
    assert f'error batch00 {STUDY} t2w-raw-cor: {IMAGE.rpartition("/")[2]}' in done.stdout
    assert 'not run: skipped' in done.stdout
    assert len(read_tsv(tmp_path / 'problems.tsv')) == 2


def test_no_dataset(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 2
    assert 'is no BIDS dataset' in done.stderr
    assert done.stdout == ''


def test_table_takes_the_place_of_no_other_file(copied):
    other = copied / 'participants.tsv'
    before = other.read_bytes()
    done = run(copied, '--skip-bids-validator', '--tsv', other)
    assert done.exit_code == 3
    assert other.read_bytes() == before
