"""A view with one T1w a session: what it holds, that it is valid, and what it never touches."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from foreign_bids import AXIAL, Series, make_dataset, write_series

pytest.importorskip('bids')

from mrrate_bids.app.inputs import find_studies
from mrrate_bids.bids_validator import find_validator, run_validator
from mrrate_bids.cli import main
from mrrate_bids.errors import DestinationError, ResourceError, UsageError
from mrrate_bids.inheritance import Sidecars
from mrrate_bids.tables import read_tsv
from mrrate_bids.view import ONLY_SESSION, View

ONE = 'sub-01/ses-1/anat/sub-01_ses-1_T1w'


@pytest.fixture
def bids(tmp_path):
    return make_dataset(tmp_path / 'bids')


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'view'


def make(bids, out, **options):
    return View(bids, out, **options).execute(watch=lambda *_: None)


def images(out):
    return sorted(path.relative_to(out).as_posix() for path in out.rglob('*.nii*'))


def files(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file()}


def rows(path):
    header, *lines = (line.split('\t') for line in path.read_text().splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def as_clinica_reads(out, session):
    """Return what the pattern of Clinica finds: any letter case, at any depth."""
    pattern = 'sub-*_ses-*_t1w.nii*'
    either = ''.join(f'[{c.lower()}{c.upper()}]' if c.isalpha() else c for c in pattern)
    return list((out / session).rglob(either))


# What it holds


def test_one_t1w_a_session(bids, out):
    summary = make(bids, out)
    assert (summary.counts['done'], summary.exit_code) == (4, 0)
    assert images(out) == [
        f'{ONE}.nii.gz',
        'sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz',
        'sub-02/ses-2/anat/sub-02_ses-2_T1w.nii.gz',
        'sub-03/ses-1/anat/sub-03_ses-1_T1w.nii.gz',
    ]
    assert len(as_clinica_reads(bids, 'sub-01/ses-1')) == 2  # or there would be no need
    for session in ('sub-01/ses-1', 'sub-02/ses-1', 'sub-02/ses-2', 'sub-03/ses-1'):
        assert len(as_clinica_reads(out, session)) == 1


@pytest.mark.parametrize('where', ['exported', 'foreign'])
def test_it_is_the_centre_of_a_run(where, request, tmp_path, out):
    bids = make_dataset(tmp_path / 'bids') if where == 'foreign' else None
    bids = bids or request.getfixturevalue('exported')
    make(bids, out)
    studies = find_studies(bids).studies
    assert len(images(out)) == len(studies) > 2
    for study in studies:
        (image,) = (out / study.label / 'anat').glob('*.nii.gz')
        assert image.samefile(study.centre.image)


@pytest.mark.parametrize('where', ['exported', 'foreign', 'plain'])
def test_it_is_valid(where, request, tmp_path, out):
    made = {'foreign': True, 'plain': False}
    if where in made:
        bids = make_dataset(tmp_path / 'bids', sessions=made[where])
    else:
        bids = request.getfixturevalue(where)
    make(bids, out)
    verdict = run_validator(out, find_validator())
    assert verdict.problems == []
    assert verdict.files > 6


def test_sidecar_has_what_the_image_inherits(bids, out):
    (bids / 'T1w.json').write_text('{"InstitutionName": "Somewhere", "EchoTime": 1.0}')
    make(bids, out)
    inside = 'sub-01/ses-1/anat/sub-01_ses-1_acq-mprage_T1w.nii.gz'
    content = json.loads((out / f'{ONE}.json').read_text())
    assert content.pop('Sources') == [f'bids:source:{inside}']
    assert content == Sidecars(bids).read(inside)
    assert (content['InstitutionName'], content['EchoTime']) == ('Somewhere', 0.01597)
    links = json.loads((out / 'dataset_description.json').read_text())['DatasetLinks']
    assert (out / links['source'] / inside).exists()


def test_tables_have_the_cells_of_the_dataset(bids, out):
    (bids / 'participants.json').write_text('{"group": {"Description": "Of the study"}}')
    make(bids, out, participants=['01', '03'])
    assert [row['participant_id'] for row in rows(out / 'participants.tsv')] == [
        'sub-01',
        'sub-03',
    ]
    assert rows(out / 'participants.tsv')[0] == {
        'participant_id': 'sub-01',
        'age': '21',
        'sex': 'M',
        'group': 'control',
    }
    assert json.loads((out / 'participants.json').read_text())['group']
    assert rows(out / 'sub-01/sub-01_sessions.tsv') == [{'session_id': 'ses-1'}]


def test_tables_of_an_export_keep_their_escapes(exported, out):
    make(exported, out)
    for name in sorted(p.relative_to(out).as_posix() for p in out.rglob('*.tsv')):
        assert set((out / name).read_text().splitlines()) <= set(
            (exported / name).read_text().splitlines()
        )
    assert (out / 'sessions.json').exists()


def test_subject_that_the_table_lacks(bids, out):
    path = bids / 'participants.tsv'
    path.write_text(''.join(path.read_text().splitlines(keepends=True)[:-1]))
    make(bids, out)
    last = rows(out / 'participants.tsv')[-1]
    assert last == {'participant_id': 'sub-03', 'age': 'n/a', 'sex': 'n/a', 'group': 'n/a'}


def test_table_that_is_broken(bids, out):
    (bids / 'participants.tsv').write_text('participant_id\tage\nsub-01\n')
    summary = make(bids, out)
    (problem,) = summary.problems
    assert problem.message.startswith('participants.tsv: row 1 has 1 cells, not 2')
    assert summary.exit_code == 3
    assert rows(out / 'participants.tsv')[0] == {'participant_id': 'sub-01'}


@pytest.mark.parametrize('text', ['', '\n', 'name\nx\n', 'participant_id\n'])
def test_table_that_says_nothing(text, bids, out):
    (bids / 'participants.tsv').write_text(text)
    make(bids, out)
    assert rows(out / 'participants.tsv')[0] == {'participant_id': 'sub-01'}


def test_dataset_without_sessions(tmp_path, out):
    bids = make_dataset(tmp_path / 'bids', sessions=False)
    make(bids, out)
    assert images(out)[0] == f'sub-01/{ONLY_SESSION}/anat/sub-01_{ONLY_SESSION}_T1w.nii.gz'
    assert rows(out / 'sub-01/sub-01_sessions.tsv') == [{'session_id': ONLY_SESSION}]


def test_subject_with_a_session_of_that_name_and_without(tmp_path, out):
    bids = make_dataset(tmp_path / 'bids', sessions=False, subjects=1)
    write_series(bids, 'sub-01', ONLY_SESSION, Series('T1w', AXIAL))
    summary = make(bids, out)
    assert len(images(out)) == 1
    assert 'has the place of' in summary.problems[0].message


def test_image_that_is_not_packed(tmp_path, out):
    bids = make_dataset(tmp_path / 'bids', subjects=1)
    shutil.rmtree(bids / 'sub-01')
    write_series(bids, 'sub-01', 'ses-1', Series('acq-a_T1w', AXIAL, packed=False))
    make(bids, out)
    assert images(out) == [f'{ONE}.nii']
    assert run_validator(out, find_validator()).problems == []


# Links


@pytest.mark.parametrize('link', ['auto', 'hardlink', 'symlink', 'copy'])
def test_link(link, bids, out):
    origin = bids / 'sub-01/ses-1/anat/sub-01_ses-1_acq-mprage_T1w.nii.gz'
    make(bids, out, link=link)
    image = out / f'{ONE}.nii.gz'
    assert image.is_symlink() == (link == 'symlink')
    assert image.samefile(origin) == (link != 'copy')
    assert image.read_bytes() == origin.read_bytes()


def test_links_become_copies(bids, out):
    make(bids, out)
    before = files(bids)
    summary = make(bids, out, link='copy')
    assert (summary.counts['done'], summary.bytes > 0) == (4, True)
    assert (out / f'{ONE}.nii.gz').stat().st_nlink == 1
    assert files(bids) == before


def test_filesystem_without_hard_links(bids, out, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr('mrrate_bids.transfer.os.link', refuse)
    make(bids, out)
    assert (out / f'{ONE}.nii.gz').stat().st_nlink == 1
    assert make(bids, out).counts['skipped'] == 4


# Again


@pytest.mark.parametrize('link', ['auto', 'symlink', 'copy'])
def test_nothing_is_done_twice(link, bids, out):
    make(bids, out, link=link)
    before = files(out)
    summary = make(bids, out, link=link)
    assert (summary.counts['done'], summary.counts['skipped']) == (0, 4)
    assert files(out) == before


def test_view_grows(bids, out):
    make(bids, out, participants=['01'])
    make(bids, out, participants=['02'], sessions=['2'])
    assert len(images(out)) == 2
    assert [row['participant_id'] for row in rows(out / 'participants.tsv')] == [
        'sub-01',
        'sub-02',
    ]
    make(bids, out)
    assert len(images(out)) == 4
    sessions = rows(out / 'sub-02/sub-02_sessions.tsv')
    assert sessions == [{'session_id': 'ses-1'}, {'session_id': 'ses-2'}]


def test_another_centre_takes_the_place(bids, out):
    make(bids, out, link='copy')
    earlier = Series('acq-new_T1w', AXIAL, sidecar={'SeriesNumber': 1}, packed=False)
    new = write_series(bids, 'sub-01', 'ses-1', earlier)
    assert make(bids, out).counts['done'] == 1
    assert len(as_clinica_reads(out, 'sub-01/ses-1')) == 1
    assert (out / f'{ONE}.nii').samefile(new)
    assert 'acq-new' in json.loads((out / f'{ONE}.json').read_text())['Sources'][0]


def test_interrupted_before_the_images(bids, out):
    make(bids, out)
    for path in out.rglob('*.nii.gz'):
        path.unlink()
    (out / 'participants.tsv').unlink()
    assert make(bids, out).counts['done'] == 4
    assert (out / 'participants.tsv').exists()


def test_dataset_is_never_touched(bids, out):
    before = files(bids)
    for link in ('auto', 'symlink', 'copy', 'hardlink'):
        make(bids, out, link=link)
    assert files(bids) == before


# What is refused


def test_damaged_image_is_set_aside(bids, out):
    path = bids / 'sub-03/ses-1/anat/sub-03_ses-1_acq-mprage_T1w.nii.gz'
    path.write_bytes(path.read_bytes()[:2000])
    summary = make(bids, out)
    assert summary.exit_code == 3
    (problem,) = summary.problems
    assert (problem.study, problem.file) == ('sub-03/ses-1', path.relative_to(bids).as_posix())
    assert 'the session was set aside' in problem.message
    assert not (out / 'sub-03').exists()
    assert len(images(out)) == 3


def test_session_without_t1w(bids, out):
    write_series(bids, 'sub-09', 'ses-1', Series('T2w', AXIAL))
    summary = make(bids, out)
    assert [problem.study for problem in summary.problems] == ['sub-09/ses-1']
    assert not (out / 'sub-09').exists()


def test_nothing_is_written_when_nothing_can_be_shown(tmp_path, out):
    bids = make_dataset(tmp_path / 'bids', subjects=1)
    shutil.rmtree(bids / 'sub-01')
    write_series(bids, 'sub-01', 'ses-1', Series('T2w', AXIAL))
    assert make(bids, out).exit_code == 3
    assert not out.exists()


@pytest.mark.parametrize('inside', ['', '/derivatives/view', '/sub-01', '/..'])
def test_folders_in_one_another(inside, bids):
    before = files(bids)
    with pytest.raises(UsageError, match='in one another'):
        View(bids, Path(f'{bids}{inside}'))
    assert files(bids) == before


def test_symbolic_link_into_the_dataset(bids, tmp_path):
    (tmp_path / 'link').symlink_to(bids)
    with pytest.raises(UsageError, match='in one another'):
        View(bids, tmp_path / 'link/view')


def test_folder_that_holds_something_else(bids, out):
    make_dataset(out)
    with pytest.raises(DestinationError, match='holds something that is no view: README'):
        View(bids, out)


def test_view_of_another_dataset(bids, out, tmp_path):
    other = make_dataset(tmp_path / 'other')
    make(other, out)
    with pytest.raises(DestinationError, match='/other, not of'):
        View(bids, out)


def test_file_in_the_place_of_the_view(bids, out):
    out.write_text('')
    with pytest.raises(DestinationError, match='is a file'):
        View(bids, out)


def test_derivative_dataset(exported, out):
    with pytest.raises(UsageError, match='is a derivative dataset'):
        View(exported / 'derivatives/mrrate-coreg', out)


def test_no_dataset(tmp_path, out):
    with pytest.raises(UsageError, match='is not readable as JSON'):
        View(tmp_path, out)


def test_pybids_is_missing(bids, out, monkeypatch):
    monkeypatch.setattr('mrrate_bids.view.find_spec', lambda name: None)
    with pytest.raises(ResourceError, match='pybids is not installed'):
        make(bids, out)


# The command


def call(*arguments):
    return CliRunner().invoke(main, ['view', *map(str, arguments)])


def test_command(bids, out):
    done = call(bids, out, '--participant-label', '01', '02')
    assert done.exit_code == 0, done.output
    assert f'3 T1w placed in {out}, 0 were there already.' in done.stdout
    assert len(images(out)) == 3
    done = call(bids, out)
    assert '1 T1w placed' in done.stdout
    assert '3 were there already' in done.stdout


def test_command_with_a_filter(bids, out, tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text('{"t1w": {"ceagent": "gadolinium"}}')
    done = call(bids, out, '--participant-label', '01', '--bids-filter-file', path)
    assert done.exit_code == 0, done.output
    (source,) = json.loads((out / f'{ONE}.json').read_text())['Sources']
    assert 'ce-gadolinium' in source


def test_dry_run_writes_the_plan_and_nothing_else(bids, out, tmp_path):
    call(bids, out, '--participant-label', '01')
    before = files(out)
    plan = tmp_path / 'plan.tsv'
    done = call(bids, out, '--dry-run', '--plan-file', plan)
    assert done.exit_code == 0, done.output
    assert '3 of 4 T1w would be placed' in done.stdout
    assert files(out) == before
    assert [row['action'] for row in read_tsv(plan)] == ['there', 'place', 'place', 'place']
    assert {row['target'] for row in read_tsv(plan)} > set(images(out))


@pytest.mark.parametrize('dry', [(), ('--dry-run',)])
def test_command_says_what_was_set_aside(dry, bids, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_series(bids, 'sub-09', 'ses-1', Series('T2w', AXIAL))
    done = call(bids, out, *dry)
    assert done.exit_code == 3
    assert 'sub-09/ses-1: has no T1w that can be the centre' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone', 'view'], 'gone/dataset_description.json: is not readable'),
        (['bids', 'bids/view'], 'in one another'),
        (['bids', 'view', '--participant-label', '77'], "has no participant '77'"),
        (['bids', 'view', '--session-label', '77'], "has no session '77'"),
        (['bids', 'view', '--bids-filter-file', 'gone.json'], 'gone.json: is not readable'),
    ],
)
def test_command_that_cannot_work(arguments, message, bids, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert done.exit_code == 2
    first, second = done.stderr.splitlines()
    assert first.startswith('Error: ')
    assert message in first
    assert second.strip()
    assert not (tmp_path / 'view').exists()


def test_folder_that_is_closed(bids, tmp_path, unprivileged):
    closed = tmp_path / 'closed'
    closed.mkdir()
    with unprivileged(closed):
        closed.chmod(0)
        with pytest.raises(DestinationError, match=r'view: cannot be read \(Permission denied'):
            View(bids, closed / 'view')
        closed.chmod(0o755)
