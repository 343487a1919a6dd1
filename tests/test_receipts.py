"""A receipt says what was done; one that cannot be trusted counts as none."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrrate_bids.receipts import FOLDER, FORMAT, Output, Receipt, Receipts, signature


def _receipt(study='S', state='complete', **more):
    return Receipt('P', study, 'batch00', state, **more)


def _full():
    return _receipt(
        signature='abc',
        keys=[['t1w-raw-axi', 'raw']],
        outputs=[Output('a/b.nii.gz', 3, 7, 'image', 't1w-raw-axi'), Output('a/b.json', 2)],
        centre='t1w-raw-axi',
        age='040Y',
        sex='F',
        date='2001-02-03',
        tables={'reports': {'table': 'r.csv', 'row': 1, 'header': ['a'], 'cells': ['İ\n\u2028']}},
        series={'t1w-raw-axi': {'row': 0, 'raw': None}},
        set_aside=[{'row': 2, 'cells': {'a': 'b'}}],
        problems=[{'severity': 'error', 'message': 'm'}],
    )


def test_receipt_and_back(tmp_path):
    receipts = Receipts(tmp_path)
    receipts.save(_full())
    assert receipts.load('batch00', 'S') == _full()
    assert list(receipts) == [_full()]


@pytest.mark.parametrize(('batch', 'study'), [('../x', 'a/b'), ('batch00', 'İ '), ('b', '\ud800')])
def test_names_cannot_leave_the_folder(tmp_path, batch, study):
    receipts = Receipts(tmp_path)
    receipt = _receipt(study)
    receipt.batch = batch
    receipts.save(receipt)
    assert receipts.load(batch, study) == receipt
    (path,) = tmp_path.rglob('*.json')
    assert path.parents[1] == tmp_path / FOLDER / 'receipts'


def test_no_receipt(tmp_path):
    assert Receipts(tmp_path).load('batch00', 'S') is None
    assert not list(Receipts(tmp_path))


def _damage(change):
    def damage(text):
        record = json.loads(text)
        change(record)
        return json.dumps(record)

    return damage


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: '',
        lambda text: text[: len(text) // 2],
        lambda text: '[]',
        lambda text: '"text"',
        lambda text: '3',
        lambda text: 'null',
        _damage(lambda record: record.update(format=FORMAT + 1)),
        _damage(lambda record: record.pop('format')),
        _damage(lambda record: record.pop('study')),
        _damage(lambda record: record.pop('outputs')),
        _damage(lambda record: record.update(outputs=None)),
        _damage(lambda record: record.update(more=1)),
    ],
)
def test_damaged_receipt_is_none(tmp_path, damage):
    receipts = Receipts(tmp_path)
    receipts.save(_full())
    (path,) = tmp_path.rglob('S.json')
    path.write_text(damage(path.read_text(encoding='utf-8')), encoding='utf-8')
    assert receipts.load('batch00', 'S') is None
    assert not list(receipts)


def test_studies_that_are_being_written_are_not_listed(tmp_path):
    receipts = Receipts(tmp_path)
    for study, state in (('B', 'partial'), ('A', 'complete'), ('C', 'started'), ('D', 'failed')):
        receipts.save(_receipt(study, state))
    assert [receipt.study for receipt in receipts] == ['A', 'B', 'D']
    assert receipts.load('batch00', 'C').state == 'started'


def test_intact(tmp_path):
    receipts, receipt = Receipts(tmp_path), _full()
    assert not receipts.intact(receipt)
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/b.nii.gz').write_bytes(b'123')
    (tmp_path / 'a/b.json').write_bytes(b'{}')
    assert receipts.intact(receipt)
    (tmp_path / 'a/b.json').write_bytes(b'{')
    assert not receipts.intact(receipt)
    (tmp_path / 'a/b.json').unlink()
    assert not receipts.intact(receipt)
    assert receipts.intact(_receipt())


parts = st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5)


@given(parts, parts)
def test_signature_tells_different_inputs_apart(one, other):
    assert (signature(one) == signature(other)) == (one == other)


def test_signature_keeps_parts_apart():
    assert signature('ab', 'c') != signature('a', 'bc') != signature(['ab', 'c'])
    assert signature('a') == signature('a')


def test_half_written_receipt_of_a_study_is_swept_away(tmp_path):
    receipts = Receipts(tmp_path)
    for study in ('S', 'T'):
        receipts.save(_receipt(study))
    folder = next(tmp_path.rglob('S.json')).parent
    mine, other = (folder / f'.{study}.json.0123456789ab.part' for study in ('S', 'T'))
    mine.touch()
    other.touch()
    receipts.sweep('batch00', 'S')
    assert not mine.exists()
    assert other.exists()
    assert {receipt.study for receipt in receipts} == {'S', 'T'}


def test_when_a_receipt_was_written(tmp_path):
    receipts = Receipts(tmp_path)
    receipts.save(_receipt())
    (path,) = tmp_path.rglob('S.json')
    os.utime(path, ns=(5, 7_000_000_001))
    assert receipts.written_at('batch00', 'S') == 7_000_000_001
