"""``mrrate-bids merge``: one tree of many repositories, nothing overwritten, all undoable."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import hostile
import pytest
import sound_release
from click.testing import CliRunner
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM
from said import Said

from mrrate_bids.cli import main
from mrrate_bids.locks import held
from mrrate_bids.merging import Merge
from mrrate_bids.tables import read_tsv

COREG, ATLAS, SEG = 'MR-RATE-coreg', 'MR-RATE-atlas', 'MR-RATE-nvseg-ctmr'
LINKS = ['copy', 'hardlink', 'move']
JOURNAL = '.mrrate-bids/merge-journal.tsv'


@pytest.fixture(scope='module')
def sound():
    return sound_release.sound_studies()


@pytest.fixture
def victim(sound):
    return sound[1]


@pytest.fixture
def root(sound, tmp_path):
    return hostile.write_release(tmp_path / 'release', sound, layout='extracted')


@pytest.fixture
def merged(sound, tmp_path):
    """Return the release as it should be when it is merged."""
    return hostile.write_release(tmp_path / 'merged', sound, layout='merged')


@pytest.fixture
def elsewhere():
    """Return a folder on another filesystem."""
    memory = Path('/dev/shm')
    if not memory.is_dir() or memory.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip('there is no other filesystem')
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


class Run(Said):
    """What the command said."""

    def __init__(self, *arguments):
        super().__init__('merge', *arguments)

    def counts(self):
        """Return how many studies were done, skipped and failed."""
        line = next(x for x in reversed(self.text.splitlines()) if x.startswith('│'))
        return [int(cell) for cell in line.replace('│', ' ').split()]


def native(root):
    """Return the files of the native tree."""
    return hostile.tree(root / 'MR-RATE')


def without_journal(root):
    return {p: d for p, d in hostile.tree(root).items() if not p.startswith('.mrrate-bids')}


@pytest.mark.parametrize('link', LINKS)
def test_tree_is_the_merged_one(root, merged, link):
    before = hostile.tree(root)
    done = Run(root, '--link', link)
    assert done.code == 0, done.text
    assert done.counts() == [3, 0, 0]
    assert native(root) == native(merged)
    after = without_journal(root)
    if link == 'move':
        assert not [path for path in after if path.startswith(COREG) and path.endswith('.gz')]
        assert not [path for path in after if VICTIM in path and not path.startswith('MR-RATE/')]
    else:
        assert before.items() <= after.items()
    shared = hostile.links(root)
    assert bool(shared) == (link == 'hardlink')


@pytest.mark.parametrize('link', LINKS)
def test_undo_gives_back_every_byte(root, link):
    before = hostile.tree(root)
    assert Run(root, '--link', link).code == 0
    done = Run(root, '--undo', '--dry-run')
    assert 'files would be taken back' in done.text
    assert without_journal(root) != before
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before
    assert not (root / JOURNAL).exists()
    assert Run(root, '--undo').code == 2


@pytest.mark.parametrize('link', LINKS)
def test_again_does_nothing(root, link):
    Run(root, '--link', link)
    before = hostile.stamps(root / 'MR-RATE')
    again = Run(root, '--link', link)
    assert again.code == 0
    assert again.counts()[0] == 0
    assert ('There is nothing left to merge' in again.text) == (link == 'move')
    assert hostile.stamps(root / 'MR-RATE') == before


def test_merged_release_is_whole_and_valid(root, tmp_path):
    Run(root)
    for arguments in (['status', root, '--tsv', tmp_path / 's.tsv'], ['validate', root]):
        done = CliRunner().invoke(main, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
    assert hostile.export(root, tmp_path / 'bids').code == 0


def test_dry_run_writes_the_plan_only(root, tmp_path):
    before = hostile.tree(root)
    done = Run(root, '--dry-run', '--plan-file', tmp_path / 'plan.tsv')
    assert (done.code, done.counts()) == (0, [3, 0, 0])
    assert hostile.tree(root) == before
    rows = read_tsv(tmp_path / 'plan.tsv')
    assert {row['action'] for row in rows} == {'hardlink'}
    assert all(Path(row['source']).stat().st_size == int(row['size']) for row in rows)
    assert not any(Path(row['target']).exists() for row in rows)


def test_zips_come_next_to_the_native_ones(sound, tmp_path):
    root = hostile.write_release(tmp_path / 'release', sound)
    assert Run(root).counts() == [3, 0, 0]
    names = {path.name for path in (root / 'MR-RATE/mri/batch00').iterdir()}
    ends = ('', '_coreg', '_atlas', '_nvseg-ctmr')
    assert names == {f'{uid}{end}.zip' for uid in (GOOD, VICTIM) for end in ends}
    done = CliRunner().invoke(main, ['validate', str(root / 'MR-RATE')])
    assert done.exit_code == 0, done.output


def test_zip_of_an_extracted_study_stays(root, victim):
    zipped = victim.zip_of(root, COREG)
    hostile.write_zip(zipped, victim.files[COREG], prefix=f'{VICTIM}/')
    done = Run(root)
    assert done.code == 0
    assert '1 files stay where they are' in done.text
    assert zipped.exists()
    assert not (root / 'MR-RATE/mri/batch00' / zipped.name).exists()


def test_repositories_and_batches_can_be_chosen(root, victim):
    assert Run(root, '--repository', COREG, '--batch', '00').counts() == [2, 0, 0]
    inside = {path.name for path in victim.folder_of(root).iterdir()}
    assert inside == {'img', 'seg', 'coreg_img', 'coreg_seg', 'transform'}
    assert {path.name for path in (root / f'MR-RATE/mri/batch01/{FAR}').iterdir()} == {
        'img',
        'seg',
    }
    assert Run(root, '--batch', '09').code == 2
    assert Run(root, '--repository', 'MR-RATE-vista-seg').code == 2


def test_study_without_native_images_gets_its_folder(root, victim):
    shutil.rmtree(victim.folder_of(root))
    assert Run(root).code == 0
    assert (victim.folder_of(root) / 'coreg_img').is_dir()
    Run(root, '--undo')
    assert not victim.folder_of(root).exists()


# Collisions.


@pytest.mark.parametrize('link', LINKS)
def test_collision_is_named_and_nothing_of_the_study_is_merged(root, victim, link):
    target = victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat'
    target.parent.mkdir()
    target.write_bytes(b'mine')
    before = hostile.tree(root)
    done = Run(root, '--link', link)
    assert done.code == 3
    assert done.counts() == [2, 0, 1]
    assert f'{VICTIM}: ' in done.text
    assert f'M_coreg_{MOVING}.mat and {target} differ' in done.text
    assert target.read_bytes() == b'mine'
    after = hostile.tree(root)
    assert {p: d for p, d in after.items() if VICTIM in p} == {
        p: d for p, d in before.items() if VICTIM in p
    }
    rows = {row['study_uid']: row for row in read_tsv(root / '.mrrate-bids/merge-studies.tsv')}
    assert rows[VICTIM]['state'] == 'failed'
    Run(root, '--undo')
    assert without_journal(root) == before


def test_two_repositories_that_want_the_same_place(root, victim):
    for repository in (COREG, ATLAS):
        (victim.folder_of(root, repository) / 'notes.txt').write_text(repository)
    done = Run(root)
    assert done.counts() == [2, 0, 1]
    assert 'notes.txt' in done.text


@pytest.mark.parametrize('link', LINKS)
def test_same_bytes_are_no_collision(root, victim, merged, link):
    name = f'transform/M_coreg_{MOVING}.mat'
    target = victim.folder_of(root) / name
    hostile.write_files(victim.folder_of(root), {name: victim.files[COREG][name]})
    inode = target.stat().st_ino
    assert Run(root, '--link', link).code == 0
    assert native(root) == native(merged)
    assert target.stat().st_ino == inode
    assert (victim.folder_of(root, COREG) / name).exists()
    Run(root, '--undo')
    assert target.stat().st_ino == inode


@pytest.mark.parametrize('what', ['broken link', 'file for a folder', 'folder for a file'])
def test_odd_things_in_the_way(root, victim, what):
    inside = victim.folder_of(root)
    if what == 'file for a folder':
        (inside / 'coreg_img').write_bytes(b'x')
    elif what == 'folder for a file':
        (inside / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz').mkdir(parents=True)
    else:
        (inside / 'coreg_img').mkdir()
        (inside / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz').symlink_to('gone')
    before = hostile.tree(root / 'MR-RATE')
    done = Run(root)
    assert (done.code, done.counts()) == (3, [2, 0, 1])
    after = hostile.tree(root / 'MR-RATE')
    assert before.items() <= after.items()


# What is not sound is not carried on.


def cut_image(root, victim):
    path = victim.folder_of(root, COREG) / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'
    path.write_bytes(path.read_bytes()[:-9])


def half_extracted(root, victim):
    hostile.write_zip(victim.zip_of(root, COREG), victim.files[COREG], prefix=f'{VICTIM}/')
    (victim.folder_of(root, COREG) / f'transform/M_coreg_{MOVING}.mat').unlink()


def foreign_zip(root, victim):
    shutil.rmtree(victim.folder_of(root, COREG))
    hostile.write_zip(victim.zip_of(root, COREG), {'x.txt': b'x'}, prefix='other/')


def empty_zip(root, victim):
    shutil.rmtree(victim.folder_of(root, COREG))
    victim.zip_of(root, COREG).write_bytes(b'PK\x05\x06' + bytes(18))


def empty_folder(root, victim):
    shutil.rmtree(victim.folder_of(root, COREG))
    shutil.rmtree(victim.folder_of(root))
    victim.folder_of(root, COREG).mkdir()


UNSOUND = {
    f.__name__: f for f in (cut_image, half_extracted, foreign_zip, empty_zip, empty_folder)
}


@pytest.mark.parametrize('name', sorted(UNSOUND))
def test_unsound_study_is_set_aside(root, victim, name):
    UNSOUND[name](root, victim)
    before = native(root)
    done = Run(root)
    assert (done.code, done.counts()) == (3, [2, 0, 1])
    after = native(root)
    assert {p for p in after.keys() - before.keys() if VICTIM in p} == set()


# What lies elsewhere, or cannot be written.


def move_away(root, elsewhere):
    shutil.move(root / COREG, elsewhere / COREG)
    (root / COREG).symlink_to(elsewhere / COREG, target_is_directory=True)


def test_hard_link_across_filesystems_is_refused_before_anything_is_done(root, elsewhere):
    move_away(root, elsewhere)
    before = hostile.tree(root)
    for options in ([], ['--dry-run', '--plan-file', root.parent / 'plan.tsv']):
        done = Run(root, *options)
        assert done.code == 2
        assert 'lie on different filesystems' in done.errors
        assert '--link copy' in done.errors
    assert not [p for p in without_journal(root).keys() - before.keys() if 'coreg' in p]


@pytest.mark.parametrize('link', ['copy', 'move'])
def test_merge_and_undo_across_filesystems(root, elsewhere, merged, link):
    move_away(root, elsewhere)
    before, there = hostile.tree(root), hostile.tree(elsewhere)
    assert Run(root, '--link', link).code == 0
    assert native(root) == native(merged)
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before
    assert hostile.tree(elsewhere) == there


@pytest.mark.parametrize('link', LINKS)
def test_tree_that_cannot_be_written(root, victim, link, unprivileged):
    Run(root, '--dry-run', '--plan-file', root.parent / 'plan.tsv')  # imports what it needs
    with unprivileged(root.parent):
        (root / 'MR-RATE/mri/batch00' / VICTIM).chmod(0o555)
        done = Run(root, '--link', link)
        (root / 'MR-RATE/mri/batch00' / VICTIM).chmod(0o755)
    assert done.code == 3
    assert 'cannot be made (Permission denied)' in done.errors
    assert len(done.errors.strip().splitlines()[-2:]) == 2


def test_threads_end_with_a_merge_that_ends_early(root):
    """Even while the error is held on to, and with it all that was going on."""

    def fail(*progress):
        raise OSError('the terminal is gone')

    with pytest.raises(OSError, match='the terminal is gone') as held_on_to:
        Merge(root, link='copy').execute(['batch00'], watch=fail)
    assert held_on_to.tb
    assert not [one for one in threading.enumerate() if one.name.startswith('merge')]


def test_folder_that_cannot_take_a_journal(root, unprivileged):
    Run(root, '--dry-run', '--plan-file', root.parent / 'plan.tsv')
    before = hostile.tree(root)
    with unprivileged(root.parent):
        root.chmod(0o555)
        done = Run(root)
        root.chmod(0o755)
    assert done.code == 3
    assert 'cannot be written' in done.errors
    assert hostile.tree(root) == before


def test_links_are_merged_as_what_they_point_to(root, victim, merged):
    """An older client of the Hub keeps files in a store and puts links in their place."""
    path = victim.folder_of(root, COREG) / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'
    store = root / 'store'
    shutil.move(path, store)
    path.symlink_to(store)
    assert Run(root, '--link', 'move').counts() == [2, 0, 1]
    assert path.is_symlink()
    assert Run(root).code == 0
    target = victim.folder_of(root) / path.relative_to(victim.folder_of(root, COREG))
    assert not target.is_symlink()
    assert native(root) == native(merged)
    Run(root, '--undo')
    assert path.is_symlink()


@pytest.mark.parametrize('what', ['empty', 'gone', 'native only', 'no native', 'one repository'])
def test_nothing_to_merge(root, tmp_path, what):
    if what == 'empty':
        root = tmp_path / 'empty'
        root.mkdir()
    elif what == 'gone':
        root = tmp_path / 'gone'
    elif what == 'native only':
        for name in (COREG, ATLAS, SEG):
            shutil.rmtree(root / name)
    elif what == 'no native':
        shutil.rmtree(root / 'MR-RATE')
    else:
        root = root / COREG
    done = Run(root)
    assert done.code == 2
    assert len(done.errors.splitlines()) == 2
    assert str(root) in done.errors


def test_unknown_repository_is_left_alone(root):
    shutil.copytree(root / COREG, root / 'backup')
    before = hostile.tree(root / 'backup')
    assert Run(root).code == 0
    assert hostile.tree(root / 'backup') == before


# Undoing what was changed since.


def test_undo_keeps_the_only_copy(root, victim):
    Run(root)
    source = victim.folder_of(root, COREG) / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'
    target = victim.folder_of(root) / source.relative_to(victim.folder_of(root, COREG))
    source.unlink()
    done = Run(root, '--undo')
    assert done.code == 3
    assert 'is the only one left' in done.text
    assert target.exists()
    assert len(read_tsv(root / JOURNAL)) == 1
    shutil.copy(target, source)
    assert Run(root, '--undo').code == 3  # another file now: nobody but the user can tell
    target.unlink()
    assert Run(root, '--undo').code == 0


@pytest.mark.parametrize('link', ['copy', 'hardlink'])
def test_undo_keeps_what_was_edited(root, victim, link):
    Run(root, '--link', link)
    target = victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat'
    target.unlink()
    target.write_bytes(b'edited')
    done = Run(root, '--undo')
    assert done.code == 3
    assert 'is no longer what was merged' in done.text
    assert target.read_bytes() == b'edited'


def test_undo_of_a_move_overwrites_nothing(root, victim):
    Run(root, '--link', 'move')
    source = victim.folder_of(root, COREG) / f'transform/M_coreg_{MOVING}.mat'
    hostile.write_files(
        victim.folder_of(root, COREG), {source.relative_to(victim.folder_of(root, COREG)): b'new'}
    )
    done = Run(root, '--undo')
    assert done.code == 3
    assert source.read_bytes() == b'new'
    assert (victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat').exists()


@pytest.mark.parametrize('dry', [(), ('--dry-run',)])
def test_undo_of_a_move_names_what_was_removed_or_changed(root, victim, dry):
    before = hostile.tree(root)
    Run(root, '--link', 'move')
    removed = victim.folder_of(root) / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'
    changed = victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat'
    image = removed.read_bytes()
    removed.unlink()
    changed.write_bytes(b'X' * changed.stat().st_size)
    done = Run(root, '--undo', *dry)
    assert done.code == 3
    assert f'{removed} was removed' in done.text
    assert f'{changed} was changed since it was merged' in done.text
    assert ('2 would not be;' if dry else '2 were not;') in done.text
    assert changed.read_bytes().startswith(b'XXX')
    if dry:
        return
    assert {row['target'] for row in read_tsv(root / JOURNAL)} == {
        str(path.relative_to(root)) for path in (removed, changed)
    }
    source = victim.folder_of(root, COREG)
    hostile.write_files(source, {removed.relative_to(victim.folder_of(root)): image})
    (source / 'transform').mkdir(exist_ok=True)
    changed.rename(source / 'transform' / changed.name)
    assert Run(root, '--undo').code == 0
    after = without_journal(root)
    assert {path for path in before if path.endswith(('.gz', '.mat'))} <= after.keys()
    assert not any(path.startswith('MR-RATE/') and path.endswith('.mat') for path in after)


@pytest.mark.parametrize('link', ['copy', 'hardlink'])
def test_undo_names_what_is_nowhere(root, victim, link):
    Run(root, '--link', link)
    source = victim.folder_of(root, COREG) / f'coreg_img/{VICTIM}_{CENTRE}.nii.gz'
    target = victim.folder_of(root) / source.relative_to(victim.folder_of(root, COREG))
    source.unlink()
    target.unlink()
    done = Run(root, '--undo')
    assert done.code == 3
    assert f'{target} was removed, and {source} is not there' in done.text
    assert len(read_tsv(root / JOURNAL)) == 1


def test_journal_of_an_earlier_version_goes_on(root, victim):
    before = hostile.tree(root)
    Run(root, '--link', 'move', '--repository', COREG)
    lines = (root / JOURNAL).read_text().splitlines()
    (root / JOURNAL).write_text(''.join('\t'.join(x.split('\t')[:3]) + '\n' for x in lines))
    (victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat').touch()  # nothing tells of it
    assert Run(root, '--link', 'move').code == 0
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before


def test_file_whose_move_and_link_are_written_is_named_once(root, victim):
    Run(root)
    Run(root, '--link', 'move')
    target = victim.folder_of(root) / f'transform/M_coreg_{MOVING}.mat'
    target.unlink()
    done = Run(root, '--undo')
    assert done.text.count(f'{target} was removed') == 1
    assert '1 were not;' in done.text


def test_journal_that_is_none(root):
    Run(root)
    (root / JOURNAL).write_bytes(b'\xff\xfe oops\n')
    done = Run(root, '--undo')
    assert done.code == 3
    assert 'the journal cannot be read' in done.errors


def test_folder_may_be_moved_before_undoing(root, tmp_path):
    before = hostile.tree(root)
    Run(root, '--link', 'move')
    root = root.rename(tmp_path / 'moved')
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before


# Kills.

KILL = """
import os, sys
from pathlib import Path
from mrrate_bids.cli import main
from mrrate_bids.merging import merge, place
name, count = sys.argv[1], int(sys.argv[2])

def dying(call):
    def wrapped(*arguments, **options):
        global count
        count -= 1
        if count < 0:
            os.kill(os.getpid(), 9)
        return call(*arguments, **options)
    return wrapped

if name == 'unlink':
    Path.unlink = dying(Path.unlink)
elif name == 'take_back':
    merge.take_back = dying(merge.take_back)
else:
    merge.bring = dying(merge.bring)
main(sys.argv[3:])
"""


def kill(name, count, *arguments):
    """Run the command and kill it before a call, the *count*-th from 0."""
    done = subprocess.run(
        [sys.executable, '-c', KILL, name, str(count), 'merge', *map(str, arguments)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize('count', [0, 5, 13])
@pytest.mark.parametrize('link', LINKS)
@pytest.mark.parametrize('after', ['go on', 'undo'])
def test_kill(root, merged, link, count, after):
    before = hostile.tree(root)
    kill('unlink' if link == 'move' and count else 'bring', count, root, '--link', link)
    if after == 'go on':
        assert Run(root, '--link', link).code == 0
        assert native(root) == native(merged)
        if link == 'move':
            assert not [p for p in hostile.tree(root) if VICTIM in p and p.startswith(COREG)]
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before


@pytest.mark.parametrize('link', LINKS)
def test_undo_that_was_killed_goes_on(root, link):
    before = hostile.tree(root)
    Run(root, '--link', link)
    kill('take_back', 7, root, '--undo')
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before


def test_line_that_was_cut_off_is_no_change(root, merged):
    before = hostile.tree(root)
    Run(root)
    with (root / JOURNAL).open('ab') as file:
        file.write(b'hardlink\tMR-RATE-co')
    Run(root)
    assert native(root) == native(merged)
    assert Run(root, '--undo').code == 0
    assert without_journal(root) == before


def test_two_merges_at_once(root):
    with held(root / '.mrrate-bids/merge.lock'):
        done = Run(root)
    assert done.code == 2
    assert f'another merge is at work (process {os.getpid()} on ' in done.errors


@pytest.mark.parametrize('more', [(), ('--dry-run',)])
def test_merge_that_is_at_work_is_not_undone(root, more):
    """The line that it is writing stays."""
    Run(root)
    with (root / JOURNAL).open('ab') as file:
        file.write(b'hardlink\tMR-RATE-co')
    before = (root / JOURNAL).read_bytes()
    with held(root / '.mrrate-bids/merge.lock'):
        done = Run(root, '--undo', *more)
    assert done.code == 2
    assert 'another merge is at work' in done.errors
    assert (root / JOURNAL).read_bytes() == before


def test_move_after_hard_links(root, merged):
    before = hostile.tree(root)
    Run(root)
    assert Run(root, '--link', 'move').code == 0
    assert native(root) == native(merged)
    assert not (root / f'{COREG}/mri/batch00/{VICTIM}').exists()
    Run(root, '--undo')
    assert without_journal(root) == before


def test_disk_that_is_full(root, disk):
    """A tmpfs of one page more than the native tree needs."""
    small = disk('size=300k')
    (small / 'MR-RATE/mri').mkdir(parents=True)
    for name in (COREG, ATLAS, SEG):
        (small / name).symlink_to(root / name, target_is_directory=True)
    done = Run(small, '--link', 'copy')
    assert done.code == 3
    assert re.search('No space left|is full', done.errors)
    assert not list(small.rglob('*.part'))
    assert Run(small, '--undo').code == 0
    assert not list((small / 'MR-RATE').rglob('*.gz'))


def test_undo_leaves_no_empty_folder_beside_a_zip(root, sound):
    """The files that were in it may have become a zip since the merge."""
    assert Run(root).code == 0
    study = sound[0]
    folder = root / 'MR-RATE/mri' / study.batch / study.uid
    for name in study.files['MR-RATE']:
        (folder / name).unlink()
    for inside in sorted(folder.rglob('*'), reverse=True):
        if inside.is_dir() and not any(inside.iterdir()):
            inside.rmdir()
    hostile.write_zip(study.zip_of(root), study.files['MR-RATE'], prefix=f'{study.uid}/')
    assert Run(root, '--undo').code == 0
    assert not folder.exists()


def test_plan_takes_the_place_of_no_other_file(root):
    splits = root / 'MR-RATE/splits.csv'
    before = splits.read_bytes()
    assert Run(root, '--dry-run', '--plan-file', splits).code == 3
    assert splits.read_bytes() == before
