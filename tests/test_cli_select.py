"""``mrrate-bids select``, and its answers in the hands of other commands."""

import hostile
import pandas as pd
import pytest
from click.testing import CliRunner
from hostile import FAR, GOOD, MOVING, VICTIM

from mrrate_bids.cli import main
from mrrate_bids.tables import read_tsv


def run(*arguments):
    done = CliRunner().invoke(main, ['select', *map(str, arguments)])
    assert 'Traceback' not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def test_table_on_standard_output_is_tsv(source, tmp_path):
    done = run(source, '--where', "modality == 'FLAIR'", '--kind', 'image')
    assert done.exit_code == 0
    (tmp_path / 'out.tsv').write_text(done.stdout)
    (row,) = read_tsv(tmp_path / 'out.tsv')
    assert (row['study_uid'], row['series_id'], row['kind']) == (VICTIM, MOVING, 'image')
    assert '1 patients, 1 studies, 1 series, 1 files' in done.stderr


@pytest.mark.parametrize('ending', ['tsv', 'parquet', 'txt'])
def test_file(ending, source, tmp_path):
    out = tmp_path / f'found.{ending}'
    done = run(source, '--split', 'val,test', '--columns', 'study,age,TE_ms', '--out', out)
    assert done.exit_code == 0, done.output
    if ending == 'txt':
        assert out.read_text().split() == [VICTIM, FAR]
    else:
        frame = pd.read_parquet(out) if ending == 'parquet' else pd.read_csv(out, sep='\t')
        assert list(frame.columns) == ['study', 'age', 'TE_ms']
        assert set(frame['study']) == {VICTIM, FAR}
        assert set(frame['age']) == {'042Y'}


def test_paths_lead_to_files(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    for root in (source, tmp_path / 'bids'):
        lines = run(root, '--paths', '--kind', 'image').stdout.split()
        assert len(lines) == 5
        assert all((tmp_path / line.partition('!/')[0]).is_file() for line in lines)
    out = tmp_path / 'paths.txt'
    assert run(source, '--paths', '--out', out).exit_code == 0
    assert len(out.read_text().split()) == 50


def test_studies_of_a_file_are_what_other_commands_take(source, tmp_path):
    run(source, '--where', "modality == 'FLAIR'", '--out', tmp_path / 'studies.txt')
    run(source, '--where', "split == 'test'", '--out', tmp_path / 'table.tsv')
    for number, option in enumerate((f'@{tmp_path}/studies.txt', f'@{tmp_path}/table.tsv')):
        bids = tmp_path / f'bids{number}'
        assert hostile.export(source, bids, '--study', option).code == 0
        assert [path.name for path in bids.glob('sub-*/ses-*')] == [f'ses-{(VICTIM, FAR)[number]}']
    bids = tmp_path / 'bids'
    assert hostile.export(source, bids, '--patient', f'@{tmp_path}/table.tsv').code == 0
    assert [path.name for path in bids.glob('sub-*')] == ['sub-33']


def test_table_of_one_column_is_a_table(source, tmp_path):
    table = tmp_path / 'one.tsv'
    run(source, '--split', 'val', '--columns', 'study_uid', '--out', table)
    assert table.read_text().startswith('study_uid\n')
    assert hostile.export(source, tmp_path / 'bids', '--study', f'@{table}').code == 0
    assert [path.name for path in tmp_path.glob('bids/sub-*')] == ['sub-22']


@pytest.mark.parametrize('text', ['{}\n', 'study_uid\n{}\n', 'study_uid\tb\n{}\tx\n'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_list_that_a_spreadsheet_saved(text, end, source, tmp_path):
    path = tmp_path / 'list'
    uid = sorted(p.stem for p in (source / 'MR-RATE/mri').rglob('*.zip'))[0]
    path.write_text(text.format(uid), encoding='utf-8-sig', newline=end)
    done = hostile.export(source, tmp_path / 'bids', '--study', f'@{path}')
    assert done.code == 0, done.output
    assert len(list(tmp_path.glob('bids/sub-*'))) == 1


@pytest.mark.parametrize('content', [None, '', 'study_uid\tb\nX\n', 'a\tb\n1\t2\n', b'\xff\xfe'])
def test_file_of_values_that_cannot_be_used(content, source, tmp_path):
    path = tmp_path / 'values'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = hostile.export(source, tmp_path / 'bids', '--study', f'@{path}')
    assert done.code == 2
    assert not (tmp_path / 'bids').exists()


def test_nothing_found(source):
    done = run(source, '--where', 'TE_ms > 1000')
    assert done.exit_code == 0
    assert 'Nothing was found' in done.stderr


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (('--where', 'TE_m > 1'), 'Did you mean TE_ms'),
        (('--where', 'TE_ms +'), 'cannot be evaluated'),
        (('--where', 'TE_ms'), 'is no condition'),
        (('--where', '1 == 1'), 'is no condition'),
        (('--where', "__import__('os')"), 'names no column'),
        (('--kind', 'picture'), 'picture'),
        (('--columns', 'nothing'), 'there is no column'),
        (('--out', 'found.csv'), '.tsv, .parquet or .txt'),
    ],
)
def test_question_that_makes_no_sense(arguments, says, source):
    done = run(source, *arguments)
    assert done.exit_code == 2
    assert says in done.output


def test_folder_that_is_neither(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 2
    assert 'neither a release nor a BIDS dataset' in done.output


def test_damaged_zip_is_told(source, studies):
    studies[1].zip_of(source).write_bytes(b'')
    done = run(source)
    assert done.exit_code == 3
    assert VICTIM in done.stderr
    assert GOOD in done.stdout


def test_condition_that_nothing_meets_says_what_there_is(source):
    done = run(source, '--where', "plane == 'sag'")
    assert done.exit_code == 0
    assert 'Nothing was found.' in done.stderr
    assert 'plane is AXIAL' in done.stderr
