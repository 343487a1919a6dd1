"""A run that is killed, repeated, shared out or split up ends in the same dataset."""

import json
import random
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import hostile
import pytest
from hostile import CENTRE, COMMAND, MOVING, VICTIM, Study, export

RECEIPTS = 'sourcedata/mrrate/receipts'


@pytest.fixture(scope='module')
def many(tmp_path_factory):
    """Return a release whose export takes some hundred milliseconds, and its dataset."""
    studies = [
        Study(f'STUDY{n:05d}', str(n // 2), f'batch{n % 3:02d}', seed=n % 5, date=f'2020{n:04d}')
        for n in range(30)
    ]
    root = tmp_path_factory.mktemp('many')
    source = hostile.write_release(root / 'release', studies)
    assert export(source, root / 'bids').code == 0
    return source, root / 'bids'


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    """Return a release of three studies and its dataset; copy what is to be changed."""
    root = tmp_path_factory.mktemp('clean')
    source = hostile.write_release(root / 'release', hostile.three_studies())
    assert export(source, root / 'bids').code == 0
    return source, root / 'bids'


@pytest.fixture
def few(clean, tmp_path):
    """Return a copy of the release of three studies, with times and all, and its dataset."""
    for path in clean:
        shutil.copytree(path, tmp_path / path.name, symlinks=True)
    for where in hostile.links(clean[1]):
        first, *others = sorted(where)
        for other in others:
            (tmp_path / 'bids' / other).unlink()
            (tmp_path / 'bids' / other).hardlink_to(tmp_path / 'bids' / first)
    return tmp_path / 'release', tmp_path / 'bids'


def start(source: Path, target: Path, *options: str) -> subprocess.Popen[bytes]:
    arguments = [COMMAND, 'export', source, target, *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], *, code: int = 0) -> str:
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == code, output
    assert 'Traceback' not in output
    return output


def assert_same(one: Path, other: Path) -> None:
    """Make sure that two datasets have the same paths, bytes and hard links."""
    first, second = hostile.tree(one), hostile.tree(other)
    assert {w: d for w, d in first.items() if second.get(w) != d} == {}
    assert second.keys() - first.keys() == set()
    assert hostile.links(one) == hostile.links(other)


def without_receipts(root: Path) -> dict[str, str]:
    return {w: d for w, d in hostile.tree(root).items() if RECEIPTS not in w}


# Killed.


@pytest.mark.parametrize('seed', range(6))
def test_killed_run_goes_on(seed, many, tmp_path):
    """Each is killed four times, at any moment between its first file and its last."""
    source, expected = many
    target = tmp_path / 'bids'
    moments = random.Random(seed)
    killed = 0
    while killed < 4:
        process = start(source, target, '--jobs', str(1 + seed % 3))
        begun = set(target.glob(f'{RECEIPTS}/*/*'))
        while process.poll() is None and set(target.glob(f'{RECEIPTS}/*/*')) == begun:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break  # it was done first
        killed += 1
        assert_only_finished_files(target, expected)
    assert killed > 2
    finish(start(source, target))
    assert_same(target, expected)


@pytest.mark.parametrize('seed', range(4))
def test_killed_while_it_finalises(seed, many, tmp_path):
    source, expected = many
    target = tmp_path / 'bids'
    shutil.copytree(expected, target)
    for path in [*target.glob('*.tsv'), *target.glob('phenotype/*'), *target.glob('sub-*/*.tsv')]:
        path.unlink()
    process = start(source, target)
    while process.poll() is None and not (target / 'participants.tsv').exists():
        if list(target.glob('sub-*/*_sessions.tsv')):
            break
    time.sleep(random.Random(seed).uniform(0, 0.006))
    process.kill()
    process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}  # it may have been quicker than we
    finish(start(source, target))
    assert hostile.tree(target) == hostile.tree(expected)


def assert_only_finished_files(target: Path, expected: Path) -> None:
    """Make sure that a file that has its name has its bytes."""
    whole = hostile.tree(expected)
    for where, digest in hostile.tree(target).items():
        shared = where.startswith(('sourcedata', 'participants', 'phenotype'))
        if not where.endswith('.part') and not shared and not where.endswith('_sessions.tsv'):
            assert whole[where] == digest, where


def test_half_written_files_are_swept_away(few):
    source, target = few
    expected = hostile.tree(target)
    folders = [
        *('.', 'phenotype', 'sub-22', 'derivatives/mrrate-coreg', 'sourcedata/mrrate'),
        *('sourcedata/mrrate/problems', 'sourcedata/mrrate/tables/metadata'),
        *(f'{RECEIPTS}/batch00', f'sub-22/ses-{VICTIM}/anat'),
    ]
    for folder in folders:
        (target / folder / '.a_T1w.nii.gz.0123456789ab.part').write_bytes(b'half')
    (target / RECEIPTS / f'batch00/{VICTIM}.json').unlink()
    assert export(source, target).code == 0
    assert hostile.tree(target) == expected


# Repeated.


def test_second_run_writes_nothing(few):
    source, target = few
    before = hostile.stamps(target)
    done = export(source, target)
    assert done.code == 0
    assert hostile.stamps(target) == before
    assert '│ 0 │ 3 │ 0 │ 0 │ 0 │' in ' '.join(done.output.split())


@pytest.mark.parametrize('shards', [3, 5])
def test_shards_at_the_same_time(shards, many, tmp_path):
    source, expected = many
    target = tmp_path / 'bids'
    running = [start(source, target, '--shard', f'{n + 1}/{shards}') for n in range(shards)]
    for process in running:
        finish(process)
    assert_same(target, expected)


def test_shards_one_after_the_other(many, tmp_path):
    source, expected = many
    for number in (3, 1, 2):
        done = export(source, tmp_path / 'bids', '--shard', f'{number}/3')
        assert done.code == 0
        assert done.output.count('Exporting') > 2
    assert_same(tmp_path / 'bids', expected)


def test_shards_of_a_release_with_defects(tmp_path):
    """Each names what all of them found, and the last one has everything."""
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    studies[1].zip_of(source).write_bytes(b'')
    long = Study('A' * 215, '4', seed=4)
    hostile.write_tables(source, [*studies, long])
    (long.folder_of(source) / 'img').mkdir(parents=True)
    for series in (CENTRE, MOVING):
        (long.folder_of(source) / long.image(series)).write_bytes(hostile.volume(1))
    whole = export(source, tmp_path / 'whole')
    assert whole.code == 3
    for number in (2, 3, 1):
        assert export(source, tmp_path / 'bids', '--shard', f'{number}/3').code == 3 or number == 3
    expected = hostile.problems(tmp_path / 'whole')
    for problem in expected:
        problem['message'] = problem['message'].replace('/whole/', '/bids/')
    assert hostile.problems(tmp_path / 'bids') == expected
    assert {problem['study'] for problem in expected} == {VICTIM, long.uid}


@pytest.mark.parametrize('jobs', [('1', '4'), ('2', '2')])
def test_two_equal_runs_at_the_same_time(jobs, many, tmp_path):
    source, expected = many
    target = tmp_path / 'bids'
    running = [start(source, target, '--jobs', number) for number in jobs]
    for process in running:
        finish(process)
    assert hostile.tree(target) == hostile.tree(expected)
    hostile.assert_sound(target)
    before = hostile.stamps(target)
    assert export(source, target).code == 0
    assert hostile.stamps(target) == before


# In parts.


@pytest.mark.parametrize(
    'parts',
    [
        ['--include raw', ''],
        ['--include seg,atlas', '--include coreg,defaced', '--include raw'],
        ['--modality FLAIR', ''],
        ['--modality SWI --include coreg', '--modality T1w --include raw', ''],
        ['--plane sag', '--batch 01', '--study GOODAAAAAA --include raw', ''],
        ['--patient 22', '--patient 11,33'],
        ['--where "SeriesNumber < 2"', '--split train,test', '--split val'],
    ],
    ids=str,
)
def test_parts_make_the_whole(parts, clean, tmp_path):
    source, expected = clean
    target = tmp_path / 'bids'
    for part in parts:
        options = [text.replace('_', ' ') for text in part.replace('" ', '"').split()]
        if '--where' in part:
            options = ['--where', 'SeriesNumber < 2']
        done = export(source, target, *options)
        assert done.code == 0, done.output
        hostile.assert_sound(target)
    assert_same(target, expected)


def test_part_stays_when_another_is_asked_for(clean, tmp_path):
    source, target = clean[0], tmp_path / 'bids'
    assert export(source, target, '--study', VICTIM, '--include', 'raw').code == 0
    before = hostile.data_of(target, '22')
    assert export(source, target, '--patient', '11').code == 0
    assert hostile.data_of(target, '22') == before
    assert len((target / 'participants.tsv').read_text().splitlines()) == 3


# Something changed.


def test_zip_that_was_replaced_is_exported_again(few, tmp_path):
    """The new one has other bytes and lacks a series; nothing of the old one stays."""
    source, target = few
    fixed = Study(VICTIM, '22', series=(CENTRE, MOVING), seed=9, split='val')
    good, old, far = hostile.three_studies()
    for repository in old.files:
        old.zip_of(source, repository).unlink()
    hostile.write_release(source, [fixed])
    hostile.write_tables(source, [good, fixed, far])
    before = hostile.stamps(target)
    done = export(source, target)
    assert done.code == 0, done.output
    export(source, tmp_path / 'fresh')
    fresh = without_receipts(tmp_path / 'fresh')
    now = without_receipts(target)
    assert now.keys() >= fresh.keys()
    assert {w: d for w, d in now.items() if fresh.get(w) != d} == {
        w: d for w, d in now.items() if 'T2starw' in w and '/sub-' not in w and w not in fresh
    }
    assert not [where for where in now if 'sub-22' in where and 'SWI' in where]
    after = hostile.stamps(target)
    kept = hostile.data_of(target, '11').keys() & before.keys()
    assert kept
    for where in kept:
        assert after[where] == before[where]


def test_broken_zip_is_replaced_by_a_whole_one(clean, tmp_path):
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    path = studies[1].zip_of(source)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert export(source, tmp_path / 'bids').code == 3
    assert not list((tmp_path / 'bids').glob('sub-22/ses-*/anat/*'))
    path.write_bytes(whole)
    done = export(source, tmp_path / 'bids')
    assert done.code == 0
    assert not hostile.problems(tmp_path / 'bids')
    assert without_receipts(tmp_path / 'bids') == without_receipts(clean[1])
    assert hostile.links(tmp_path / 'bids') == hostile.links(clean[1])


def test_broken_zip_that_is_removed_is_no_longer_complained_about(tmp_path):
    studies = hostile.three_studies()
    studies[1].files = {'MR-RATE': studies[1].files['MR-RATE']}
    source = hostile.write_release(tmp_path / 'release', studies)
    studies[1].zip_of(source).write_bytes(b'')
    assert export(source, tmp_path / 'bids').code == 3
    studies[1].zip_of(source).unlink()
    assert export(source, tmp_path / 'bids').code == 0
    assert not hostile.problems(tmp_path / 'bids')


def test_study_that_breaks_leaves_no_trace_in_the_tables(few):
    source, target = few
    for path in source.glob(f'*/mri/batch00/{VICTIM}*'):
        path.write_bytes(b'')
    assert export(source, target).code == 3
    assert 'sub-22' in (target / 'participants.tsv').read_text()  # what was exported was sound
    assert (target / f'sub-22/ses-{VICTIM}/anat').exists()
    hostile.assert_sound(target)


def test_changed_metadata_reach_the_sidecars(few):
    source, target = few
    path = source / 'MR-RATE/metadata/batch00_metadata.csv'
    path.write_text(path.read_text().replace('15.97', '20.5'))
    assert export(source, target).code == 0
    name = f'sub-22_ses-{VICTIM}_acq-axi_run-01_T1w.json'
    sidecar = json.loads((target / f'sub-22/ses-{VICTIM}/anat/{name}').read_text())
    assert sidecar['EchoTime'] == 0.0205


@pytest.mark.parametrize('gone', ['*/mri/*/*.zip', 'MR-RATE/mri/*/*.zip', 'MR-RATE-*/mri/*/*.zip'])
def test_zips_deleted_after_the_export_are_not_missed(gone, few):
    source, target = few
    expected = without_receipts(target)
    for path in source.glob(gone):
        path.unlink()
    for _ in range(2):
        done = export(source, target)
        assert done.code == 0, done.output
        assert without_receipts(target) == expected
    before = hostile.stamps(target)
    assert export(source, target).code == 0
    assert hostile.stamps(target) == before


OUTPUTS = [
    f'sub-22/ses-{VICTIM}/anat/sub-22_ses-{VICTIM}_acq-axi_run-01_T1w.nii.gz',
    f'sub-22/ses-{VICTIM}/anat/sub-22_ses-{VICTIM}_acq-axi_run-01_FLAIR.json',
    f'sub-22/ses-{VICTIM}/sub-22_ses-{VICTIM}_scans.tsv',
    f'derivatives/mrrate-coreg/sub-22/ses-{VICTIM}/anat/'
    f'sub-22_ses-{VICTIM}_acq-axi_run-01_from-FLAIR_to-T1w_mode-image_xfm.mat',
    'sub-22/sub-22_sessions.tsv',
    'participants.tsv',
    'participants.json',
    'dataset_description.json',
    'derivatives/mrrate-nvsegctmr/seg-nvsegctmrbody_dseg.tsv',
    'phenotype/radiology_report_visit-01.tsv',
    'sourcedata/mrrate/tables/splits.json',
    'sourcedata/mrrate/problems/batch00.json',
    'sourcedata/mrrate/studies.tsv',
]


@pytest.mark.parametrize('output', OUTPUTS)
@pytest.mark.parametrize('damage', ['deleted', 'longer', 'cut'])
def test_output_is_restored(output, damage, few):
    source, target = few
    expected = hostile.tree(target), hostile.links(target)
    path = target / output
    data = path.read_bytes()
    path.unlink()
    if damage != 'deleted':
        path.write_bytes(data + b' ' if damage == 'longer' else data[:-1])
    done = export(source, target)
    assert done.code == 0, done.output
    assert (hostile.tree(target), hostile.links(target)) == expected


@pytest.mark.parametrize('gone', ['*', 'MR-RATE'])
def test_output_that_cannot_be_restored_is_named(gone, few):
    source, target = few
    for path in source.glob(f'{gone}/mri/batch00/{VICTIM}*'):
        path.unlink()
    (target / OUTPUTS[0]).write_bytes(b'?')
    for _ in range(2):
        done = export(source, target)
        assert done.code == 3
        assert 'missing or changed, and the release on disk no longer holds' in done.output
        assert any(problem['study'] == VICTIM for problem in hostile.problems(target))
        if gone == 'MR-RATE':
            break  # the rest of the study is done again without it


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: '',
        lambda text: text[: len(text) // 2],
        lambda text: 'null\n',
        lambda text: '[]\n',
        lambda text: '"text"\n',
        lambda text: '{}\n',
        lambda text: text.replace('"format": 2', '"format": 99'),
        lambda text: text.replace('"state": "complete"', '"state": "unheard of"'),
        lambda text: text.replace('"keys": [', '"keys": [7, '),
        lambda text: text.replace('"kind"', '"sort"').replace(
            '"series": {', '"series": 5, "x": {'
        ),
        lambda text: text.replace(f'sub-22/ses-{VICTIM}', '../precious'),
        lambda text: text.replace('"outputs": [', '"outputs": [["../precious", 8, 1, "", ""], '),
        lambda text: json.dumps(json.loads(text) | {'problems': [{'severity': 'error'}]}),
        lambda text: json.dumps(json.loads(text) | {'tables': None}),
    ],
)
def test_damaged_receipt_is_not_trusted(damage, few):
    source, target = few
    expected = hostile.tree(target)
    (target.parent / 'precious').write_text('precious')
    path = target / RECEIPTS / f'batch00/{VICTIM}.json'
    text = path.read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    done = export(source, target)
    assert done.code == 0, done.output
    assert hostile.tree(target) == expected
    assert (target.parent / 'precious').read_text() == 'precious'


@pytest.mark.parametrize('text', ['', 'null', '{', '[{"who": 1}]', '[3]'])
def test_damaged_list_of_problems(text, few):
    source, target = few
    expected = hostile.tree(target)
    path = target / 'sourcedata/mrrate/problems/batch00.json'
    path.write_text(text)
    done = export(source, target, '--batch', '01')
    assert done.code == 3
    assert 'batch00.json is damaged' in done.output
    assert export(source, target).code == 0
    assert hostile.tree(target) == expected


# Zipped, extracted, merged; linked and copied.


@pytest.mark.parametrize('layout', ['extracted', 'merged'])
@pytest.mark.parametrize('link', ['auto', 'hardlink', 'symlink', 'copy'])
def test_layout_and_links_do_not_change_the_bytes(layout, link, clean, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies(), layout=layout)
    before = hostile.tree(source)
    target = tmp_path / 'bids'
    done = export(source, target, '--link', link)
    assert done.code == 0, done.output
    paths = [path for path in target.rglob('sub-*') if path.name.endswith(('.nii.gz', '.mat'))]
    assert len(paths) == 26 + 2 * 12
    for path in paths:
        where = path.relative_to(target).as_posix()
        assert path.read_bytes() == (clean[1] / where).read_bytes(), where
        assert path.is_symlink() == (link == 'symlink')
        assert (path.lstat().st_nlink > 1) == (link in {'auto', 'hardlink'})
    others = {w: d for w, d in without_receipts(clean[1]).items() if not w.endswith(ENDINGS)}
    assert others == {w: d for w, d in without_receipts(target).items() if not w.endswith(ENDINGS)}
    stamps = hostile.stamps(target)
    assert export(source, target, '--link', link).code == 0
    assert hostile.stamps(target) == stamps
    (target / RECEIPTS / f'batch00/{VICTIM}.json').unlink()
    assert export(source, target, '--link', link).code == 0
    assert hostile.tree(target).keys() == hostile.tree(clean[1]).keys()
    assert hostile.tree(source) == before


ENDINGS = ('.nii.gz', '.mat')


@pytest.mark.parametrize('link', ['auto', 'copy'])
def test_twins_of_a_zip_are_linked_unless_copies_are_asked_for(link, clean, tmp_path):
    assert export(clean[0], tmp_path / 'bids', '--link', link).code == 0
    assert without_receipts(tmp_path / 'bids') == without_receipts(clean[1])
    # Per study: the centre and its two masks, which MR-RATE-coreg holds once more.
    assert len(hostile.links(tmp_path / 'bids')) == (9 if link == 'auto' else 0)


def test_change_of_links_is_a_change(few):
    source, target = few
    assert export(source, target, '--link', 'copy').code == 0
    assert not hostile.links(target)
    assert export(source, target).code == 0
    assert len(hostile.links(target)) == 9


def test_links_across_filesystems(disk, tmp_path):
    """auto copies; hardlink, which was asked for by name, says that it cannot."""
    other, studies = disk('size=8m'), hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies, layout='merged')
    assert export(source, other / 'auto').code == 0
    assert not [path for path in other.rglob('*.nii.gz') if path.is_symlink()]
    done = export(source, other / 'hard', '--link', 'hardlink')
    assert done.code == 3
    assert 'no hardlink to' in done.output
    assert 'Use --link auto' in done.output
    assert export(source, other / 'sym', '--link', 'symlink').code == 0
    hostile.assert_sound(other / 'auto')


def test_symlinks_whose_source_is_gone_are_named(tmp_path):
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies, layout='merged')
    assert export(source, tmp_path / 'bids', '--link', 'symlink').code == 0
    shutil.rmtree(studies[1].folder_of(source))
    done = export(source, tmp_path / 'bids', '--link', 'symlink')
    assert done.code == 3
    assert f'{VICTIM}: files of an earlier export are missing or changed' in done.output


# What is done is not done again, and what is there is not lost.


def images(root: Path) -> dict[str, tuple[int, int]]:
    return {where: stamp for where, stamp in hostile.stamps(root).items() if '.nii' in where}


def test_more_groups_copy_nothing_again(tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    export(source, tmp_path / 'bids', '--include', 'raw,defaced')
    before = images(tmp_path / 'bids')
    assert export(source, tmp_path / 'bids').code == 0
    after = images(tmp_path / 'bids')
    assert len(after) > len(before)
    assert {where: after[where] for where in before} == before


@pytest.mark.parametrize('gone', [False, True], ids=['zips there', 'zips gone'])
def test_corrected_tables_arrive_and_copy_nothing_again(gone, tmp_path):
    source = hostile.write_release(tmp_path / 'release', hostile.three_studies())
    export(source, tmp_path / 'bids')
    before = images(tmp_path / 'bids')
    for path in source.glob('*/mri/*/*.zip') if gone else []:
        path.unlink()
    splits = source / 'MR-RATE/splits.csv'
    splits.write_text(splits.read_text().replace(',val', ',train'))
    assert export(source, tmp_path / 'bids').code == 0
    assert images(tmp_path / 'bids') == before
    rows = hostile.read_tsv(tmp_path / 'bids/participants.tsv')
    assert 'val' not in {row['split'] for row in rows}
    hostile.assert_sound(tmp_path / 'bids')


def test_source_that_went_bad_costs_no_file_of_an_earlier_export(tmp_path):
    studies = hostile.three_studies()
    source = hostile.write_release(tmp_path / 'release', studies)
    export(source, tmp_path / 'bids', '--include', 'raw')
    before = images(tmp_path / 'bids')
    path = studies[1].zip_of(source)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if f'{CENTRE}.nii.gz' in i.filename)
    data[info.header_offset + 100] ^= 0xFF
    info_crc = info.CRC.to_bytes(4, 'little')
    data = bytearray(bytes(data).replace(info_crc, bytes(4)))  # as if the zip were made of it
    path.write_bytes(data)
    done = export(source, tmp_path / 'bids')
    assert done.code == 3
    assert 'the file of an earlier export was kept' in done.output
    assert images(tmp_path / 'bids').items() >= before.items()
