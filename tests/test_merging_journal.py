"""The journal of a merge: read back as written, whatever cut it off."""

import os

import pytest

from mrrate_bids.errors import DestinationError
from mrrate_bids.merging.journal import Journal, Line, Stamp


@pytest.fixture
def lines(tmp_path):
    return [
        Line('mkdir', tmp_path / 'a', tmp_path / 'b'),
        Line('hardlink', tmp_path / 'a/tab\tand\nline', tmp_path / 'b/ü'),
        Line('copy', tmp_path / 'a/\udcff', tmp_path / 'b/x'),
        Line('move', tmp_path / 'a/m', tmp_path / 'b/m', Stamp(7, 1_700_000_000_123_456_789)),
    ]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path, tmp_path / 'home/journal.tsv')


@pytest.mark.parametrize('sync', [True, False])
def test_changes_are_read_back_in_order(sync, journal, lines):
    assert journal.read() == []
    journal.append(lines[:1], sync=sync)
    journal.append(lines[1:], sync=sync)
    journal.close()
    assert journal.read() == lines


def test_line_that_was_cut_off_says_nothing(journal, lines):
    journal.append(lines, sync=False)
    journal.close()
    with journal.path.open('ab') as file:
        file.write(b'move\ta\tb')
    assert journal.read() == lines
    with journal.path.open('ab') as file:
        file.write(b'move\ta')
    journal.append(lines[:1], sync=False)
    journal.close()
    assert journal.read() == [*lines, lines[0]]


@pytest.mark.parametrize('size', [3, 65_000, 70_000, 200_000])
def test_line_that_was_cut_off_may_be_long(size, journal, lines):
    journal.append(lines, sync=False)
    journal.close()
    whole = journal.path.read_bytes()
    with journal.path.open('ab') as file:
        file.write(b'x' * size)
    assert journal.read() == lines
    assert journal.path.read_bytes() == whole


def test_folder_may_be_moved(journal, lines, tmp_path):
    journal.append(lines, sync=False)
    journal.close()
    moved = Journal(tmp_path / 'elsewhere', journal.path).read()
    assert moved[0] == Line('mkdir', tmp_path / 'elsewhere/a', tmp_path / 'elsewhere/b')


def test_what_stays_replaces_it(journal, lines):
    journal.append(lines, sync=False)
    journal.replace(lines[1:2])
    assert journal.read() == lines[1:2]
    journal.replace([])
    assert not journal.path.exists()


def test_file_that_is_no_journal(journal):
    journal.path.parent.mkdir()
    journal.path.write_bytes(b'\xff\xfe\n')
    with pytest.raises(DestinationError, match='cannot be read') as caught:
        journal.read()
    assert 'mend it by hand' in caught.value.hint


def test_folder_that_cannot_be_made(tmp_path, lines):
    (tmp_path / 'file').touch()
    with pytest.raises(DestinationError, match='the journal cannot be written'):
        Journal(tmp_path, tmp_path / 'file/journal.tsv').append(lines, sync=False)


def test_journal_of_an_earlier_version_is_read_and_gone_on_with(journal, lines):
    journal.path.parent.mkdir()
    journal.path.write_text('action\tsource\ttarget\nmove\ta/1\tb/1\nmkdir\tb\tb\n')
    old = journal.read()
    assert [line.stamp for line in old] == [None, None]
    journal.append(lines, sync=False)
    journal.close()
    assert journal.read() == [*old, *lines]


WHEN = 1_700_000_001_123_456_789
TIMES = {
    'same': (WHEN, True),
    '100 ns': (WHEN - 89, True),
    'whole seconds': (1_700_000_001_000_000_000, True),
    'two seconds': (1_700_000_000_000_000_000, True),
    'next second': (1_700_000_002_000_000_000, True),
    'a bit later': (WHEN + 5_000, False),
    'much later': (1_700_000_009_000_000_000, False),
}


@pytest.mark.parametrize('name', sorted(TIMES))
def test_stamp_is_known_again_as_far_as_filesystems_keep_time(name, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'1234567')
    when, same = TIMES[name]
    os.utime(path, ns=(when, when))
    assert Stamp(7, WHEN).is_of(path) == same
    assert not Stamp(8, WHEN).is_of(path)
