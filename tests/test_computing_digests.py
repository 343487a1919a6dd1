"""Files are told apart by their content, each read once."""

import os

from mrrate_bids.computing.digests import Digests, stamps_of


def test_content_counts_and_place_does_not(tmp_path):
    one, same, other = (tmp_path / name for name in 'abc')
    one.write_bytes(b'weights')
    same.write_bytes(b'weights')
    other.write_bytes(b'others!')
    digests = Digests()
    assert digests.of([one]) == digests.of([same]) != digests.of([other])
    assert digests.of([one, other]) != digests.of([other, one])
    assert digests.of([]) == ''


def test_bytes_do_not_move_from_file_to_file(tmp_path):
    for name, content in (('a', b'12'), ('b', b'3'), ('c', b'1'), ('d', b'23')):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (tmp_path / name for name in 'abcd')
    assert Digests().of([a, b]) != Digests().of([c, d])


def test_file_is_read_once(tmp_path):
    path, digests = tmp_path / 'a', Digests()
    path.write_bytes(b'weights')
    first = digests.of([path])
    path.write_bytes(b'others!')
    assert digests.of(iter([path])) == first != Digests().of([path])


def test_stamps_change_with_the_file(tmp_path):
    path = tmp_path / 'a'
    path.write_bytes(b'weights')
    first = stamps_of([path])
    assert stamps_of([path]) == first
    os.utime(path, ns=(0, 0))
    assert stamps_of([path]) != first
    assert stamps_of([]) == ()
