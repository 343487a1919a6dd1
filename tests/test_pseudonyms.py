"""Identifiers say nothing, never meet, and stay the same when a dataset grows."""

import re
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.errors import SelectionError
from mrrate_bids.pseudonyms import Entry, Pseudonyms, Terms
from mrrate_bids.shares import Shares

LABELS = st.text('abAB01', min_size=1, max_size=4)
VISITS = st.sets(
    st.tuples(LABELS.map('sub-{}'.format), st.just('') | LABELS.map('ses-{}'.format)), max_size=20
)


def assign(book, visits, terms=None, **known):
    known = {'patients': {}, 'splits': {}, 'batches': {}, 'taken': ()} | known
    book.assign(visits, terms or Terms(seed=1), **known)
    return {visit: book.find(*visit) for visit in visits}


@given(VISITS, VISITS, st.integers(1, 5), st.none() | st.integers(0, 9))
def test_what_is_named_keeps_its_name(first, second, size, seed):
    terms, book = Terms(batch_size=size, seed=seed, shares=Shares(40, 30, 30)), Pseudonyms()
    before = assign(book, first, terms)
    after = assign(book, first | second, terms)
    assert all(after[visit] == before[visit] for visit in first)
    studies = [entry.study_uid for entry in after.values()]
    assert len({uid.casefold() for uid in studies}) == len(studies)
    assert all(re.fullmatch('[A-Z2-7]{10}', uid) for uid in studies)
    patients = {visit[0]: set() for visit in after}
    splits = {visit[0]: set() for visit in after}
    for visit, entry in after.items():
        patients[visit[0]].add(entry.patient_uid)
        splits[visit[0]].add(entry.split)
        assert re.fullmatch('[1-9][0-9]{8}', entry.patient_uid)
    assert all(len(uids) == 1 for uids in patients.values())
    assert all(len(names) == 1 for names in splits.values())
    assert len({uid for uids in patients.values() for uid in uids}) == len(patients)
    sizes = Counter(entry.batch for entry in after.values())
    assert all(count <= size for count in sizes.values())
    assert len(sizes) == -(-len(after) // size)


@given(st.sets(LABELS.map(str.casefold), min_size=1, max_size=30), st.integers(1, 29))
def test_shares_are_met_within_a_patient_also_after_growth(labels, first):
    terms, book = Terms(seed=1, shares=Shares(50, 20, 30)), Pseudonyms()
    visits = [(f'sub-{label}', f'ses-{n}') for label in sorted(labels) for n in (1, 2)]
    assign(book, visits[: 2 * first], terms)
    found = assign(book, visits, terms)
    dealt = Counter({e.patient_uid: e.split for e in found.values()}.values())
    for name, share in (('train', 0.5), ('val', 0.2), ('test', 0.3)):
        assert abs(dealt[name] - share * len(labels)) <= 1


def test_seed_draws_the_same_again_and_none_never():
    visits = {('sub-1', 'ses-1'), ('sub-2', '')}
    draw = [assign(Pseudonyms(), visits, Terms(seed=s)) for s in (1, 1, 2, None, None)]
    assert draw[0] == draw[1]
    assert len({str(names) for names in draw[1:]}) == 4


def test_order_in_which_visits_are_given_makes_no_difference():
    visits = [('sub-1', 'ses-1'), ('sub-2', ''), ('sub-3', 'ses-1')]
    assert assign(Pseudonyms(), visits) == assign(Pseudonyms(), visits[::-1])


def test_known_patients_splits_and_batches_are_kept():
    found = assign(
        Pseudonyms(),
        {('sub-1', 'ses-1'), ('sub-2', 'ses-1')},
        Terms(batch_size=3, seed=1),
        patients={'sub-1': '4711'},
        splits={'sub-1': 'test'},
        batches={'batch03': 2},
    )
    one, two = found['sub-1', 'ses-1'], found['sub-2', 'ses-1']
    assert (one.patient_uid, one.split, one.batch) == ('4711', 'test', 'batch03')
    assert two.batch == 'batch04'


def test_labels_can_be_kept():
    visits = {('sub-a', 'ses-1'), ('sub-b', 'ses-1'), ('sub-c', 'ses-X'), ('sub-d', '')}
    found = assign(Pseudonyms(), visits, Terms(keep=True))
    assert {v: (e.patient_uid, e.study_uid) for v, e in found.items()} == {
        ('sub-a', 'ses-1'): ('a', 'ax1'),
        ('sub-b', 'ses-1'): ('b', 'bx1'),
        ('sub-c', 'ses-X'): ('c', 'X'),
        ('sub-d', ''): ('d', 'dx1'),
    }


@pytest.mark.parametrize(
    ('visits', 'studies'),
    [
        ([('sub-1', 'ses-1')], ['1x1']),
        ([('sub-a', 'ses-x'), ('sub-b', 'ses-X')], ['x', 'bxX']),
        ([('sub-a', 'ses-1'), ('sub-b', 'ses-1'), ('sub-c', 'ses-ax1')], ['ax1', 'bx1', 'cxax1']),
    ],
)
def test_subject_is_in_front_where_the_session_does_not_tell(visits, studies):
    found = assign(Pseudonyms(), visits, Terms(keep=True))
    assert [found[visit].study_uid for visit in visits] == studies


def test_kept_label_is_left_to_who_came_first():
    book, terms = Pseudonyms(), Terms(keep=True)
    assign(book, [('sub-a', 'ses-x')], terms)
    found = assign(book, [('sub-a', 'ses-x'), ('sub-b', 'ses-x')], terms)
    assert [entry.study_uid for entry in found.values()] == ['x', 'bxx']


@pytest.mark.parametrize(
    ('visits', 'taken'),
    [
        ({('sub-a', 'ses-1'), ('sub-A', 'ses-2')}, ()),
        ({('sub-a', 'ses-1')}, ['A']),
        ({('sub-a', 'ses-1')}, ['1', 'AX1']),
    ],
)
def test_labels_that_would_meet(visits, taken):
    with pytest.raises(SelectionError, match='--uids keep') as caught:
        assign(Pseudonyms(), visits, Terms(keep=True), taken=taken)
    assert '--uids fresh' in caught.value.hint


def test_identifiers_of_others_are_not_drawn():
    (one,) = assign(Pseudonyms(), {('sub-1', '')}, Terms(seed=3)).values()
    (two,) = assign(
        Pseudonyms(), {('sub-1', '')}, Terms(seed=3), taken=[one.study_uid.lower()]
    ).values()
    assert one.study_uid != two.study_uid


def test_table_comes_back(tmp_path):
    book, visits = Pseudonyms(), {('sub-1', 'ses-1'), ('sub-2', '')}
    found = assign(book, visits)
    book.save(tmp_path / 'mapping.tsv')
    again = Pseudonyms.load(tmp_path / 'mapping.tsv')
    assert {visit: again.find(*visit) for visit in visits} == found
    assert again.find('sub-9', '') is None
    assert isinstance(again.find('sub-2', ''), Entry)


def test_table_that_is_not_there_is_empty(tmp_path):
    assert Pseudonyms.load(tmp_path / 'mapping.tsv').find('sub-1', '') is None


@pytest.mark.parametrize(
    'data', [b'', b'garbage\n', b'a\tb\n1\t2\n', b'participant_id\nx\ty\n', b'\xff\xfe\n']
)
def test_damaged_table_is_not_begun_anew(data, tmp_path):
    path = tmp_path / 'mapping.tsv'
    path.write_bytes(data)
    with pytest.raises(SelectionError, match=r'mapping\.tsv'):
        Pseudonyms.load(path)


def test_table_that_was_cut_off_anywhere_in_a_line_is_damaged(tmp_path):
    path, book = tmp_path / 'mapping.tsv', Pseudonyms()
    assign(book, {('sub-1', 'ses-1'), ('sub-2', '')})
    book.save(path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        if not data[:size].endswith(b'\n'):
            with pytest.raises(SelectionError, match=r'mapping\.tsv'):
                Pseudonyms.load(path)


@pytest.mark.parametrize(
    ('line', 'says'),
    [
        ('sub-1\tses-1\t9\tOTHER\tbatch00\ttrain', 'sub-1 ses-1 is in it 2 times'),
        ('sub-9\tses-1\t9\tabc\tbatch00\ttrain', 'abc is in it 2 times'),
    ],
)
def test_table_with_a_name_twice_is_damaged(line, says, tmp_path):
    path = tmp_path / 'mapping.tsv'
    header = '\t'.join(field.name for field in fields(Entry))
    path.write_text(f'{header}\nsub-1\tses-1\t1\tABC\tbatch00\ttrain\n{line}\n')
    with pytest.raises(SelectionError, match=says):
        Pseudonyms.load(path)
