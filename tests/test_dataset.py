"""The tables that speak of all studies follow from the receipts alone."""

import json
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.dataset import finalise, keep_table_facts
from mrrate_bids.descriptions import About
from mrrate_bids.phenotype import column_names
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER, Output, Receipt, Receipts
from mrrate_bids.tables import Dialect, Record, Table, read_tsv


def _receipt(patient='P', study='S', **more):
    series = 't1w-raw-axi'
    output = Output(f'{patient}/{study}', 10, 1, 'image', series)
    facts = {'age': '040Y', 'sex': 'F', 'date': '2001-02-03', 'outputs': [output]}
    facts |= {'series': {series: {'row': 0, 'raw': None}}, 'centre': series}
    return Receipt(patient, study, more.pop('batch', 'batch00'), 'complete', **facts | more)


def _table(header, cells, name='reports/batch00_reports.csv'):
    return {'table': name, 'row': 0, 'header': header, 'cells': cells, 'raw': None}


def _split(split, batch='batch00'):
    return {'splits': _table(['batch_id', 'split'], [batch, split], 'splits.csv')}


def _report(text, header=('study_uid', 'report')):
    return {'reports': _table(list(header), ['S', text])}


def _finalise(root, *receipts, age_cap='tables', problems=()):
    for receipt in receipts:
        Receipts(root).save(receipt)
    return finalise(root, about=About(), age_cap=age_cap, problems=problems)


def _people(root):
    return read_tsv(root / 'participants.tsv')


def _sessions(root, patient='P'):
    return read_tsv(root / f'sub-{patient}' / f'sub-{patient}_sessions.tsv')


def test_participant_and_session(tmp_path):
    _finalise(tmp_path, _receipt('007', 'AB', tables=_split('val')))
    assert _people(tmp_path) == [
        {
            'participant_id': 'sub-007',
            'patient_uid': '007',
            'age': '40',
            'sex': 'F',
            'split': 'val',
            'split_batch_id': 'batch00',
        }
    ]
    assert _sessions(tmp_path, '007') == [
        {
            'session_id': 'ses-AB',
            'acq_time': '2001-02-03T00:00:00',
            'study_uid': 'AB',
            'batch_id': 'batch00',
            'anon_study_date': '2001-02-03',
            'session_age': '40',
            'center_series_id': 't1w-raw-axi',
            'study_split': 'val',
        }
    ]


@pytest.mark.parametrize('name', ['participants', 'sessions'])
def test_every_column_is_described(tmp_path, name):
    _finalise(tmp_path, _receipt())
    described = json.loads((tmp_path / f'{name}.json').read_text(encoding='utf-8'))
    rows = _people(tmp_path) if name == 'participants' else _sessions(tmp_path)
    assert described.keys() == rows[0].keys()


def test_no_column_means_two_things(tmp_path):
    _finalise(tmp_path, _receipt())
    assert not _people(tmp_path)[0].keys() & _sessions(tmp_path)[0].keys()


@pytest.mark.parametrize(
    ('age', 'capped', 'published'),
    [
        ('088Y', '88', '88'),
        ('089Y', '89', '89'),
        ('090Y', '89', '90'),
        ('104Y', '89', '104'),
        ('89.5', '89', '89.5'),
        ('006M', '0.5', '0.5'),
        ('', '', ''),
        ('unknown', '', ''),
    ],
)
def test_ages(tmp_path, age, capped, published):
    for cap, expected in (('tables', capped), ('everywhere', capped), ('none', published)):
        _finalise(tmp_path, _receipt(age=age), age_cap=cap)
        assert _people(tmp_path)[0]['age'] == expected
        assert _sessions(tmp_path)[0]['session_age'] == expected


@pytest.mark.parametrize(
    ('date', 'acq_time'),
    [
        ('2001-02-03', '2001-02-03T00:00:00'),
        ('20010203', '2001-02-03T00:00:00'),
        ('2001-02-03 10:11:12', '2001-02-03T00:00:00'),
        ('', ''),
        ('03.02.2001', ''),
    ],
)
def test_dates(tmp_path, date, acq_time):
    _finalise(tmp_path, _receipt(date=date))
    (session,) = _sessions(tmp_path)
    assert (session['acq_time'], session['anon_study_date']) == (acq_time, date)


VISITS = [
    _receipt(study='B', date='2002-01-01', age='041Y', tables=_report('second')),
    _receipt(study='Z', date='2001-01-01', age='040Y', tables=_report('first')),
    _receipt(study='A', date='2002-01-01', age='041Y', batch='batch01', tables=_report('as well')),
    _receipt('Q', 'C', date='2009-01-01', tables=_report('other')),
]


@pytest.mark.parametrize('seed', range(4))
def test_visits_are_in_order_of_their_dates_whatever_came_first(tmp_path, seed):
    _finalise(tmp_path, *random.Random(seed).sample(VISITS, len(VISITS)))
    assert [s['session_id'] for s in _sessions(tmp_path)] == ['ses-Z', 'ses-A', 'ses-B']
    assert [p['age'] for p in _people(tmp_path)] == ['40', '40']
    reports = {
        path.name: [(r['participant_id'], r['session_id'], r['report']) for r in read_tsv(path)]
        for path in (tmp_path / 'phenotype').glob('*.tsv')
    }
    assert reports == {
        'radiology_report_visit-01.tsv': [
            ('sub-P', 'ses-Z', 'first'),
            ('sub-Q', 'ses-C', 'other'),
        ],
        'radiology_report_visit-02.tsv': [('sub-P', 'ses-A', 'as well')],
        'radiology_report_visit-03.tsv': [('sub-P', 'ses-B', 'second')],
    }


def _content(root):
    files = (path for path in root.rglob('*') if path.is_file())
    return {path.relative_to(root): path.read_bytes() for path in files}


def test_result_does_not_depend_on_the_order_of_runs(tmp_path):
    for receipt in VISITS:
        _finalise(tmp_path / 'one', receipt)
    _finalise(tmp_path / 'two', *reversed(VISITS))
    assert _content(tmp_path / 'one') == _content(tmp_path / 'two')


def _written(root):
    stats = {path: path.stat() for path in root.rglob('*.*')}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def test_nothing_is_written_again_without_a_reason(tmp_path):
    _finalise(tmp_path, *VISITS)
    before = _written(tmp_path)
    _finalise(tmp_path)
    assert _written(tmp_path) == before


def test_reports_are_not_held_in_memory(tmp_path):
    for number in range(200):
        receipt = _receipt(f'P{number}', f'S{number}', tables=_report('x' * 100_000))
        Receipts(tmp_path).save(receipt)
    tracemalloc.start()
    _finalise(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    path = tmp_path / 'phenotype/radiology_report_visit-01.tsv'
    assert path.stat().st_size > 20_000_000
    assert peak < 6_000_000


def test_tables_of_other_people_stay(tmp_path):
    theirs = ['moca_visit-01.tsv', 'moca_visit-01.json', 'radiology_report_visit-01_notes.txt']
    theirs += ['pathology_labels_by_me_visit-01.tsv', 'my_radiology_report_visit-01.tsv']
    ours = ['pathology_labels_old_visit-01.tsv', 'radiology_report_visit-09.json']
    (tmp_path / 'phenotype').mkdir()
    for name in (*theirs, *ours):
        (tmp_path / 'phenotype' / name).write_text('x')
    _finalise(tmp_path, _receipt(tables=_report('there')))
    names = {path.name for path in (tmp_path / 'phenotype').iterdir()}
    assert names == {*theirs, 'radiology_report_visit-01.tsv', 'radiology_report_visit-01.json'}


def test_label_tables_of_one_name_do_not_share_a_file(tmp_path):
    tables = {f'labels {n}': _table(['study_uid', n], ['S', '1']) for n in ('x-1', 'x1')}
    _finalise(tmp_path, _receipt(tables=tables))
    paths = sorted((tmp_path / 'phenotype').glob('*.tsv'))
    assert [path.name for path in paths] == [
        'pathology_labels_x1_visit-01.tsv',
        'pathology_labels_x1x_visit-01.tsv',
    ]
    assert [list(read_tsv(path)[0])[-1] for path in paths] == ['x_1', 'x1']


@pytest.mark.parametrize('left', ['', 'anat/image.nii.gz', 'anat/link.nii.gz'])
def test_sessions_go_with_the_last_file_of_their_subject(tmp_path, left):
    _finalise(tmp_path, _receipt('P', 'A'), _receipt('Q', 'B'))
    (tmp_path / 'sub-Q/ses-B/anat').mkdir(parents=True)
    if 'link' in left:
        (tmp_path / 'sub-Q/ses-B' / left).symlink_to('gone')
    elif left:
        (tmp_path / 'sub-Q/ses-B' / left).write_bytes(b'')
    (path,) = tmp_path.rglob('receipts/*/B.json')
    path.unlink()
    _finalise(tmp_path)
    assert (tmp_path / 'sub-Q/sub-Q_sessions.tsv').exists() == bool(left)
    assert [p['patient_uid'] for p in _people(tmp_path)] == ['P']


def test_visits_that_are_gone_leave_no_table(tmp_path):
    _finalise(tmp_path, *VISITS)
    for receipt in VISITS[1:3]:
        (path,) = tmp_path.rglob(f'receipts/*/{receipt.study}.json')
        path.unlink()
    _finalise(tmp_path)
    names = {path.name for path in (tmp_path / 'phenotype').iterdir()}
    assert names == {'radiology_report_visit-01.tsv', 'radiology_report_visit-01.json'}


def test_any_report_survives(tmp_path):
    text = 'Line\r\n\ttab "q" \\n n/a \u2028 İ\x85'
    _finalise(tmp_path, _receipt(tables=_report(text)))
    (row,) = read_tsv(tmp_path / 'phenotype/radiology_report_visit-01.tsv')
    assert row['report'] == text


def test_missing_report(tmp_path):
    _finalise(tmp_path, _receipt('P', 'A'), _receipt('Q', 'B', tables=_report('there')))
    rows = read_tsv(tmp_path / 'phenotype/radiology_report_visit-01.tsv')
    assert [row['participant_id'] for row in rows] == ['sub-Q']
    assert len(_people(tmp_path)) == 2


def test_no_reports_at_all(tmp_path):
    _finalise(tmp_path, _receipt())
    assert not (tmp_path / 'phenotype').exists()


def test_columns_that_differ_between_batches(tmp_path):
    _finalise(
        tmp_path,
        _receipt('P', 'A', tables={'reports': _table(['study_uid', 'report'], ['A', 'one'])}),
        _receipt(
            'Q',
            'B',
            batch='batch01',
            tables={'reports': _table(['report', 'New Column'], ['two', 'x'])},
        ),
    )
    path = tmp_path / 'phenotype/radiology_report_visit-01.tsv'
    one, two = read_tsv(path)
    assert (one['report'], one['study_uid'], one['new_column']) == ('one', 'A', '')
    assert (two['report'], two['study_uid'], two['new_column']) == ('two', '', 'x')
    described = json.loads(path.with_suffix('.json').read_text(encoding='utf-8'))
    assert described.keys() == one.keys()
    assert described['new_column']['LongName'] == 'New Column'
    assert described['report']['LongName'] == 'report'
    assert described['report']['Description'] == 'Full translated English report'


@pytest.mark.parametrize(
    ('table', 'name'),
    [
        ('labels mrrate_labels', 'pathology_labels'),
        ('labels merged-14', 'pathology_labels_merged14'),
        ('reports', 'radiology_report'),
    ],
)
def test_phenotype_files_are_named_as_tools(tmp_path, table, name):
    tables = {table: _table(['study_uid', 'Glioma'], ['S', '1'])}
    _finalise(tmp_path, _receipt(tables=tables))
    (row,) = read_tsv(tmp_path / f'phenotype/{name}_visit-01.tsv')
    assert row['glioma'] == '1'
    described = json.loads((tmp_path / f'phenotype/{name}_visit-01.json').read_text('utf-8'))
    assert described['glioma'] == {
        'LongName': 'Glioma',
        'Levels': {'0': 'absent', '1': 'present'},
    }


def test_splits_are_no_phenotype(tmp_path):
    _finalise(tmp_path, _receipt(tables=_split('train')))
    assert not (tmp_path / 'phenotype').exists()


def test_patient_in_two_splits_is_named(tmp_path):
    problems = _finalise(
        tmp_path,
        _receipt(study='A', date='2002-01-01', tables=_split('train')),
        _receipt(study='B', date='2001-01-01', tables=_split('test')),
    )
    ((problem),) = problems
    assert (problem.severity, problem.study) == ('error', 'B')
    assert 'patient P is in the splits test and train' in problem.message
    assert _people(tmp_path)[0]['split'] == 'test'
    assert [s['study_split'] for s in _sessions(tmp_path)] == ['test', 'train']


def test_studies_without_images_are_in_the_bookkeeping_only(tmp_path):
    receipts = [
        _receipt('P', 'A'),
        Receipt('Q', 'B', 'batch00', 'failed', problems=[{'severity': 'error', 'message': 'm'}]),
        Receipt('R', 'C', 'batch00', 'started'),
    ]
    (problem,) = _finalise(tmp_path, *receipts)
    assert problem.message == 'm'
    assert [p['patient_uid'] for p in _people(tmp_path)] == ['P']
    states = read_tsv(tmp_path / FOLDER / 'studies.tsv')
    assert [
        (s['study_uid'], s['state'], s['files'], s['bytes'], s['problems']) for s in states
    ] == [
        ('A', 'complete', '1', '10', '0'),
        ('B', 'failed', '0', '0', '1'),
    ]


def test_nothing_exported(tmp_path):
    _finalise(tmp_path)
    assert not (tmp_path / 'participants.tsv').exists()
    assert read_tsv(tmp_path / FOLDER / 'studies.tsv') == []
    assert (tmp_path / 'dataset_description.json').exists()


def test_problems_and_what_was_set_aside(tmp_path):
    given_problem = Problem('warning', 'from the batch', batch='batch00')
    aside = [{'row': 3, 'cells': {'series_id': 'odd', 'TE_ms': '', 'x': 'a\tb'}}]
    problem = {'severity': 'error', 'message': 'from the study', 'study': 'S'}
    receipt = _receipt(set_aside=aside, problems=[problem])
    found = _finalise(tmp_path, receipt, problems=[given_problem])
    assert found == [given_problem, Problem('error', 'from the study', study='S')]
    rows = read_tsv(tmp_path / FOLDER / 'problems.tsv')
    assert [list(row.values()) for row in rows] == [problem.row() for problem in found]
    assert read_tsv(tmp_path / FOLDER / 'set_aside.tsv') == [
        {'batch': 'batch00', 'study_uid': 'S', 'row': '3', 'cells': 'series_id=odd; x=a\tb'}
    ]


def test_every_dataset_with_files_is_described(tmp_path):
    outputs = [
        Output('a', 1, 1, 'image', 't1w-raw-axi'),
        Output('b', 1, 1, 'coreg-image', 't1w-raw-axi'),
        Output('c', 1, 1, 'coreg-image', 'swi-raw-axi'),
        Output('d', 1),
    ]
    _finalise(tmp_path, _receipt(outputs=outputs))
    (folder,) = (tmp_path / 'derivatives').iterdir()
    assert folder.name == 'mrrate-coreg'
    inherited = {path.name for path in folder.glob('space-*')}
    assert inherited == {'space-T1w_T1w.json', 'space-T1w_T2starw.json'}
    text = (tmp_path / 'dataset_description.json').read_text(encoding='utf-8')
    assert json.loads(text)['DatasetLinks'] == {'coreg': 'derivatives/mrrate-coreg'}


@given(st.lists(st.sampled_from(['a', 'A', 'a 2', 'a_2', 'a-2', 'b', '', '?', 'İ', 'a_2_2'])))
def test_column_names_are_all_different(header):
    names = column_names(header)
    assert len(set(names)) == len(names) == len(header)
    assert all(name and name == name.lower() and name.isidentifier() for name in names)


def test_facts_of_a_table_are_kept(tmp_path):
    table = Table('metadata/batch00_metadata.csv', ['a'], [Record(0, ['x'])], Dialect(bom=True))
    keep_table_facts(tmp_path, table)
    path = tmp_path / FOLDER / 'tables/metadata/batch00_metadata.json'
    assert json.loads(path.read_text(encoding='utf-8')) == table.facts()
