"""A server that misbehaves: the files are the same as ever, or are not there and are named."""

import threading
from pathlib import Path

import hostile
import pytest
from bad_server import served
from fetches import (
    assert_nothing_half_written,
    fetch,
    images,
    large,
    published,
)
from hostile import FAR, GOOD, VICTIM

from mrrate_bids.fetching import client
from mrrate_bids.tables import read_tsv

NATIVE = ('image', 'brain-mask', 'defacing-mask')
LAYOUTS = ((), ('--whole-zips',), ('--to-bids',))


@pytest.fixture
def studies(studies):
    for number, study in enumerate(studies):
        for index, series in enumerate(study.series):
            name = study.image(series)
            study.files['MR-RATE'][name] = large(10 * number + index, side=48)
            for kind in ('brain-mask', 'defacing-mask'):  # a mask is on the grid of its image
                mask = f'seg/{study.uid}_{series}_{kind}.nii.gz'
                study.files['MR-RATE'][mask] = large(7, side=48)
        study.files = {'MR-RATE': study.files['MR-RATE']}
    return studies


@pytest.fixture
def server(source):
    yield from served(source)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Wait hundredths of a second where a user would wait for seconds."""
    fast = client.HttpSettings.__init__.__defaults__
    monkeypatch.setattr(client.HttpSettings.__init__, '__defaults__', (*fast[:-1], 0.01))
    from mrrate_bids.fetching import remote

    defaults = remote.RemoteFile.__init__.__kwdefaults__ | {'pause': 0.01}
    monkeypatch.setattr(remote.RemoteFile.__init__, '__kwdefaults__', defaults)


def _fetch(server, tmp_path, layout=(), *options):
    more = [*layout, tmp_path / 'bids'] if layout == ('--to-bids',) else layout
    return fetch(server.url, tmp_path / 'part', *more, *options)


def _assert_right(tmp_path, source, studies, layout):
    if layout == ('--to-bids',):
        assert hostile.export(source, tmp_path / 'peer').code == 0
        ours, theirs = (hostile.tree(tmp_path / name) for name in ('bids', 'peer'))
        assert {k: v for k, v in ours.items() if 'receipts/' not in k} == {
            k: v for k, v in theirs.items() if 'receipts/' not in k
        }
    elif layout:
        for study in studies:
            here = study.zip_of(tmp_path / 'part').read_bytes()
            assert here == study.zip_of(source).read_bytes()
    else:
        assert images(tmp_path / 'part') == published(studies, kinds=NATIVE)
    assert_nothing_half_written(tmp_path / 'part')


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize(
    ('fault', 'times'),
    [
        ('busy', 1),
        ('busy, no date', 2),
        ('error', 4),
        ('cut', 5),
        ('short', 4),
        ('long', 3),
        ('other-range', 3),
        ('corrupt', 1),
        ('slow', 3),
    ],
)
def test_fault_that_passes(fault, times, layout, server, source, studies, tmp_path):
    server.order(fault, times=times)
    done = _fetch(server, tmp_path, layout)
    assert done.code == 0, done.output
    _assert_right(tmp_path, source, studies, layout)
    assert not any(order.times for order in server.orders)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_no_range_support(layout, server, source, studies, tmp_path):
    server.order('no-range', times=-1)
    done = _fetch(server, tmp_path, layout)
    assert done.code == 0, done.output
    _assert_right(tmp_path, source, studies, layout)


def test_no_range_support_and_a_cut(server, source, studies, tmp_path):
    server.order('no-range', times=2)
    server.order('cut', times=2)
    server.order('no-range', times=-1)
    assert _fetch(server, tmp_path).code == 0
    _assert_right(tmp_path, source, studies, ())


@pytest.mark.parametrize('fault', ['busy', 'cut', 'slow', 'error'])
def test_fault_at_a_table_or_a_listing(fault, server, source, studies, tmp_path):
    for ending in ('_metadata.csv', '/metadata/', 'splits.csv', '/batch00/'):
        server.order(fault, ending, times=1)
    done = _fetch(server, tmp_path)
    assert done.code == 0, done.output
    _assert_right(tmp_path, source, studies, ())


def test_retry_after_is_obeyed(server, studies, tmp_path):
    import time

    server.order('busy', times=2)
    begun = time.monotonic()
    assert _fetch(server, tmp_path, (), '--jobs', 1).code == 0
    assert time.monotonic() - begun > 2


def test_stalled_connection_is_given_up(server, source, studies, tmp_path):
    server.order('stall', times=1)
    done = _fetch(server, tmp_path, (), '--timeout', '0.5')
    assert done.code == 0, done.output
    _assert_right(tmp_path, source, studies, ())


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('cuts', [0, 1])
def test_zip_that_is_replaced_while_it_is_read(cuts, layout, server, source, studies, tmp_path):
    """The study starts again, and is of one state of the zip."""
    study, whole = studies[1], layout == ('--whole-zips',)

    def replace() -> None:
        for series in study.series:
            study.files['MR-RATE'][study.image(series)] = large(77, side=48)
        hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')

    after = 0 if whole else 1  # a whole zip comes with one request, unless it is cut
    server.order('cut', f'{VICTIM}.zip', times=cuts + whole, after=after)
    server.order('replace', f'{VICTIM}.zip', after=after, then=replace)
    done = _fetch(server, tmp_path, layout, '--jobs', 1)
    assert not any(order.times for order in server.orders)
    assert done.code == 0, done.output
    _assert_right(tmp_path, source, studies, layout)


def test_zip_that_is_replaced_all_the_time(server, source, studies, tmp_path):
    study, numbers = studies[1], iter(range(100, 200))

    def replace() -> None:
        study.files['MR-RATE'][study.image()] = large(next(numbers), side=48)
        hostile.write_zip(study.zip_of(source), study.files['MR-RATE'], prefix=f'{study.uid}/')

    server.order('replace', f'{VICTIM}.zip', times=-1, then=replace)
    done = _fetch(server, tmp_path, (), '--jobs', 1)
    assert done.code == 3
    assert 'was replaced at the server while it was read' in done.output
    server.orders.clear()
    assert _fetch(server, tmp_path).code == 0
    _assert_right(tmp_path, source, studies, ())


@pytest.mark.parametrize('layout', LAYOUTS)
def test_what_stays_corrupt_never_gets_its_name(layout, server, source, studies, tmp_path):
    after = 0 if layout == ('--whole-zips',) else 1  # the directory is sound
    server.order('corrupt', f'{VICTIM}.zip', times=-1, after=after)
    done = _fetch(server, tmp_path, layout)
    assert done.code == 3
    assert VICTIM in done.output
    for path in [*(tmp_path / 'part').rglob('*.nii.gz'), *(tmp_path / 'bids').rglob('*.nii.gz')]:
        published_here = [data for s in studies for data in s.files['MR-RATE'].values()]
        assert path.read_bytes() in published_here, path
    for path in (tmp_path / 'part').rglob('*.zip'):
        (study,) = [study for study in studies if path.name == f'{study.uid}.zip']
        assert path.read_bytes() == study.zip_of(source).read_bytes()
    server.orders.clear()
    if layout != ('--to-bids',):
        assert _fetch(server, tmp_path, layout).code == 0
        _assert_right(tmp_path, source, studies, layout)


@pytest.fixture
def spoilt(source, studies):
    """Damage an image of the victim in its zip."""
    (study,) = [study for study in studies if study.uid == VICTIM]
    path = study.zip_of(source)
    content = bytearray(path.read_bytes())
    at = content.find(study.files['MR-RATE'][study.image()])
    content[at + 1000] ^= 1
    path.write_bytes(content)


def test_repetition_asks_again_for_what_is_damaged_and_nothing_else(server, spoilt, tmp_path):
    layout = ('--to-bids',)
    assert _fetch(server, tmp_path, layout).code == 3
    before = hostile.stamps(tmp_path / 'bids')
    server.log.clear()
    done = _fetch(server, tmp_path, layout)
    assert done.code == 3
    assert VICTIM in done.output
    read = [request for request in server.asked() if request.method == 'GET']
    assert {request.path.rpartition('/')[2] for request in read} == {f'{VICTIM}.zip'}
    assert len(read) == 3  # the directory, and twice what may have suffered on the way
    now = hostile.stamps(tmp_path / 'bids')
    written = [path for path in now.keys() | before.keys() if now.get(path) != before.get(path)]
    assert written == [f'sourcedata/mrrate/receipts/batch00/{VICTIM}.json']


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize(
    ('fault', 'said'),
    [('error', '500'), ('cut', 'times'), ('gone', '404'), ('refuse', '403')],
)
def test_study_that_cannot_be_had_leaves_the_others(
    fault, said, layout, server, source, studies, tmp_path
):
    server.order(fault, f'{VICTIM}.zip', times=-1)
    done = _fetch(server, tmp_path, layout)
    assert done.code == 3
    assert said in done.output
    assert VICTIM in done.output
    found = list((tmp_path / ('bids' if layout == ('--to-bids',) else 'part')).rglob('*'))
    assert any(path.name.startswith((GOOD, f'sub-11_ses-{GOOD}')) for path in found)
    server.orders.clear()
    assert _fetch(server, tmp_path, layout).code == 0
    _assert_right(tmp_path, source, studies, layout)


def test_failures_are_in_the_table(server, studies, tmp_path):
    server.order('error', f'{VICTIM}.zip', times=-1)
    _fetch(server, tmp_path)
    home = tmp_path / 'part/.mrrate-bids/fetch'
    rows = read_tsv(home / 'studies.tsv')
    assert {row['study_uid']: row['state'] for row in rows}[VICTIM] == 'failed'
    (problem,) = read_tsv(home / 'problems.tsv')
    assert problem['study'] == VICTIM
    assert 'Run the same command again' in problem['remedy']


@pytest.mark.parametrize('layout', LAYOUTS)
def test_refusal_ends_the_run_and_says_what_to_do(layout, server, studies, tmp_path):
    server.order('unknown', '.zip', times=-1)
    done = _fetch(server, tmp_path, layout)
    assert done.code == 2
    assert 'the server answers 401' in done.output
    assert '--token' in done.output


@pytest.mark.parametrize(('fault', 'status', 'code'), [('error', 500, 3), ('refuse', 403, 2)])
def test_outage_ends_the_run(fault, status, code, server, studies, source, tmp_path):
    for number in range(20):
        study = hostile.Study(f'MORE{"ABCDEFGHIJKLMNOPQRST"[number]}AAAAA', f'9{number}')
        study.files = {'MR-RATE': study.files['MR-RATE']}
        studies.append(study)
    hostile.write_release(source, studies)
    server.order(fault, '.zip', times=-1)
    done = _fetch(server, tmp_path)
    assert done.code == code
    assert f'the server answers {status}' in done.output
    assert len({request.path for request in server.asked()}) < 16


@pytest.mark.parametrize(('fault', 'status'), [('error', 500), ('refuse', 403), ('gone', 404)])
def test_dry_run_names_what_cannot_be_had(fault, status, server, studies, tmp_path):
    server.order(fault, f'{VICTIM}.zip', times=-1)
    plan = tmp_path / 'plan.tsv'
    done = _fetch(server, tmp_path, (), '--dry-run', '--plan-file', plan)
    assert done.code == 3
    assert f'the server answers {status}' in done.output
    assert {row['study_uid'] for row in read_tsv(plan)} == {s.uid for s in studies} - {VICTIM}


def test_nobody_at_the_address(tmp_path):
    done = fetch('http://127.0.0.1:9/release', tmp_path / 'part')
    assert done.code == 3
    assert 'no answer' in done.output
    assert '0x' not in done.output


@pytest.mark.parametrize('where', ['/nothing', '/MR-RATE/mri'])
def test_no_release_at_the_address(where, server, studies, tmp_path):
    done = fetch(server.url + where, tmp_path / 'part')
    assert done.code == 2
    assert 'holds no MR-RATE repository' in done.output


ADDRESSES = {
    '': 'SOURCE is empty',
    'https://': 'is no address of a web server',
    'http://[::1': 'is no address of a web server',
    'http://exa mple/x': 'is no address of a web server',
    'zip://x': 'zip://x: ',
    'abc://x': 'Protocol not known',
    'github://a/b': 'missing',
    '/nowhere': 'holds no MR-RATE repository',
    'hf://datasets/a': 'is no dataset of the Hub',
}


@pytest.mark.parametrize('address', sorted(ADDRESSES))
def test_address_that_cannot_be(address, tmp_path):
    done = fetch(address, tmp_path / 'part')
    assert done.code == 2
    assert ADDRESSES[address] in done.output
    assert not (tmp_path / 'part').exists()


CLOSED = ['.', 'MR-RATE', 'MR-RATE/metadata', 'MR-RATE/mri', 'MR-RATE/mri/batch00']


@pytest.mark.parametrize('closed', CLOSED)
def test_source_that_is_closed(closed, source, tmp_path, unprivileged):
    assert fetch(source, tmp_path / 'imports').code == 0
    with unprivileged(tmp_path):
        (source / closed).chmod(0)
        done = fetch(source, tmp_path / 'part')
        (source / closed).chmod(0o755)
    assert done.code == 2
    assert f'{source / closed}' in done.output
    assert 'cannot be read (Permission denied)' in done.output
    assert 'Ask its owner for access' in done.output


def test_table_that_is_closed(source, tmp_path, unprivileged):
    table = source / 'MR-RATE/metadata/batch00_metadata.csv'
    assert fetch(source, tmp_path / 'imports').code == 0
    with unprivileged(tmp_path):
        table.chmod(0)
        done = fetch(source, tmp_path / 'part')
        table.chmod(0o644)
    assert done.code == 3
    assert f'{table}: cannot be read (Permission denied)' in done.output


def test_destination_that_is_closed(source, tmp_path, unprivileged):
    assert fetch(source, tmp_path / 'imports').code == 0
    (tmp_path / 'closed').mkdir()
    with unprivileged(tmp_path):
        (tmp_path / 'closed').chmod(0)
        done = fetch(source, tmp_path / 'closed/part')
        (tmp_path / 'closed').chmod(0o755)
    assert done.code == 3
    assert f'{tmp_path}/closed/part: cannot be written (Permission denied)' in done.output


def test_repository_that_is_not_there(server, studies, tmp_path):
    done = fetch(server.url, tmp_path / 'part', '--what', 'atlas')
    assert done.code == 2
    assert 'MR-RATE-atlas: there is none beside' in done.output


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (('--batch', '07'), 'there is no batch 07'),
        (('--study', 'NOBODYAAAA'), 'there is no study_uid NOBODYAAAA'),
        (('--where', 'nothing > 3'), 'nothing'),
        (('--revision', 'v1'), '--revision is for repositories of the Hub'),
        (('--whole-zips', '--to-bids', 'bids'), 'Leave one of them out'),
        (('--token', '@/nowhere'), '/nowhere'),
        (('--what', 'tables', '--to-bids', 'bids'), '--to-bids needs images'),
    ],
)
def test_command_that_makes_no_sense(options, said, server, studies, tmp_path):
    done = fetch(server.url, tmp_path / 'part', *options)
    assert done.code == 2
    assert said in done.output
    assert not list(tmp_path.rglob('*.nii.gz'))


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [
        ('--shard', '3/2', 'Write I/N with I from 1 to N'),
        ('--shard', 'a/b', 'Write I/N with I from 1 to N'),
        ('--where', "modality = 'FLAIR'", 'is no condition, it is a statement'),
        ('--where', 'age >', 'cannot be evaluated'),
        ('--timeout', 'nan', 'not a finite number'),
        ('--timeout', 'inf', 'not in the range'),
        ('--timeout', '1e300', 'not in the range'),
        ('--limit-rate', 'nan', 'not a finite number'),
        ('--limit-rate', 'inf', 'not a finite number'),
        ('--limit-rate', '1e-300', 'not in the range'),
        ('--token', '@binary', 'binary is no text in UTF-8'),
        ('--token', '@empty', '@empty is no token'),
        ('--token', 'é', 'is no token'),
        ('--study', '@binary', 'binary is no text in UTF-8'),
    ],
)
def test_value_that_cannot_be_is_told_before_anything_is_asked(
    option, value, said, server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'binary').write_bytes(b'\xff\xfe\x00')
    (tmp_path / 'empty').write_text('\n')
    done = fetch(server.url, tmp_path / 'part', option, value)
    assert done.code == 2
    assert said in ' '.join(done.output.split())
    assert not server.log
    assert not (tmp_path / 'part').exists()


@pytest.mark.parametrize('what', ['native', 'tables'])
def test_destination_that_cannot_be_made(what, source, tmp_path):
    done = fetch(source, '/proc/nothing', '--what', what)
    assert done.code == 3
    assert '/proc/nothing' in done.output


def test_token_is_for_its_server_alone(server, source, studies, tmp_path):
    assert _fetch(server, tmp_path, (), '--token', 'secret').code == 0
    assert {request.token for request in server.log} == {'Bearer secret'}
    for other in served(source):
        from mrrate_bids.fetching.rate import Rate

        settings = client.HttpSettings('secret')
        asking = client.HttpClient(server.url, Rate(), jobs=1, settings=settings)
        asking.get(f'{other.url}/MR-RATE/')
        assert {request.token for request in other.log} == {''}


def test_threads_stop_when_the_client_does(server, studies, tmp_path):
    from mrrate_bids.errors import OutageError
    from mrrate_bids.fetching.rate import Rate

    asking = client.HttpClient(server.url, Rate(), jobs=1, settings=client.HttpSettings())
    answer = asking.ask(f'{server.url}/MR-RATE/mri/batch00/{VICTIM}.zip', 0, None)
    assert answer.read(10)
    threading.Timer(0.05, asking.stop).start()
    with pytest.raises(OutageError):
        while answer.read(1):
            pass
    answer.close()
    with pytest.raises(OutageError):
        asking.look(server.url)


def test_refusals_here_and_there_are_not_in_a_row(server, studies, source, tmp_path):
    """A second run asks for the states of files only, and those are counted alike."""
    for number in range(27):
        study = hostile.Study(f'MORE{number:02d}AAAA', f'9{number}')
        study.files = {'MR-RATE': study.files['MR-RATE']}
        studies.append(study)
        if number % 3 == 0:
            server.order('refuse', f'{study.uid}.zip', times=-1, methods=('GET', 'HEAD'))
    hostile.write_release(source, studies)
    for _ in range(2):
        done = _fetch(server, tmp_path, (), '--jobs', 1)
        assert done.code == 3, done.output
        rows = read_tsv(tmp_path / 'part/.mrrate-bids/fetch/studies.tsv')
        assert sum(row['state'] == 'complete' for row in rows) == 21


def test_study_that_is_here_stays_so_when_it_cannot_be_asked_for(server, studies, tmp_path):
    assert _fetch(server, tmp_path).code == 0
    server.order('refuse', f'{VICTIM}.zip', times=-1, methods=('HEAD',))
    done = _fetch(server, tmp_path)
    assert done.code == 3
    assert VICTIM in done.output
    assert _fetch(server, tmp_path, (), '--offline', '--verify').code == 0
    server.orders.clear()
    assert _fetch(server, tmp_path).code == 0


@pytest.mark.skipif(not Path('/proc/self/fd').exists(), reason='reads /proc')
@pytest.mark.parametrize('layout', [(), ('--to-bids',)])
def test_plan_keeps_no_file_of_a_server_that_sends_whole_ones(
    layout, server, studies, tmp_path, monkeypatch
):
    server.order('no-range', times=-1)
    kept = []

    def count(table, plan, **more):
        kept.append(sum(map(_is_deleted, Path('/proc/self/fd').iterdir())))
        return ()

    monkeypatch.setattr('mrrate_bids.plan_table.PlanTable.add', count)
    words = ('--dry-run', '--plan-file', tmp_path / 'plan.tsv')
    assert _fetch(server, tmp_path, layout, *words).code == 0
    assert len(kept) == len(studies)
    assert set(kept) == {0}


def _is_deleted(descriptor):
    try:
        return 'spool' in str(descriptor.readlink())
    except OSError:
        return False


def test_study_that_failed_is_missed(server, studies, tmp_path):
    server.order('error', f'{VICTIM}.zip', times=-1)
    assert _fetch(server, tmp_path).code == 3
    table = tmp_path / 'status.tsv'
    told = hostile.command('status', tmp_path / 'part', '--tsv', table)
    assert 'was stopped' not in told.output
    states = {row['study_uid']: row['state'] for row in read_tsv(table)}
    assert states == {GOOD: 'whole', VICTIM: 'absent', FAR: 'whole'}


def test_what_could_not_be_had_later_is_missed(server, source, tmp_path):
    """What was here before stays so, and is still what less asks for."""
    hostile.write_release(source, hostile.three_studies())
    assert _fetch(server, tmp_path, (), '--what', 'native').code == 0
    server.order('error', f'{VICTIM}_coreg.zip', times=-1)
    both = ('--what', 'native,coreg')
    assert _fetch(server, tmp_path, (), *both).code == 3
    home = tmp_path / 'part/.mrrate-bids/fetch'
    (problem,) = read_tsv(home / 'problems.tsv')
    assert (problem['study'], problem['message'][:6]) == (VICTIM, 'coreg:')
    table = tmp_path / 'status.tsv'
    hostile.command('status', tmp_path / 'part', '--tsv', table)
    states = {(row['study_uid'], row['repository']): row['state'] for row in read_tsv(table)}
    assert states[VICTIM, 'MR-RATE-coreg'] == 'absent'
    assert _fetch(server, tmp_path, (), '--what', 'native').code == 0
    assert _fetch(server, tmp_path, (), *both, '--offline').code == 3
    server.orders.clear()
    assert _fetch(server, tmp_path, (), *both).code == 0
    assert read_tsv(home / 'problems.tsv') == []
    assert _fetch(server, tmp_path, (), *both, '--offline').code == 0


def test_wider_wish_that_failed_does_not_widen_the_next(server, studies, tmp_path):
    server.order('error', f'{VICTIM}.zip', times=-1)
    assert _fetch(server, tmp_path, (), '--what', 'native').code == 3
    server.orders.clear()
    narrow = ('--what', 'native', '--study', VICTIM, '--modality', 'FLAIR')
    assert _fetch(server, tmp_path, (), *narrow).code == 0
    of_victim = [path for path in images(tmp_path / 'part') if VICTIM in path]
    assert len(of_victim) == 1
    assert 'flair' in of_victim[0]


@pytest.mark.parametrize('later', ['masks', 'native'])
def test_what_came_in_part_is_missed_whatever_comes_later(later, server, source, tmp_path):
    hostile.write_release(source, hostile.three_studies())
    cut = hostile.three_studies()[1].zip_of(source, 'MR-RATE-coreg')
    cut.write_bytes(cut.read_bytes()[:100])
    both = ('--what', 'native,coreg')
    assert _fetch(server, tmp_path, (), *both).code == 3
    assert _fetch(server, tmp_path, (), *both, '--offline').code == 3
    assert _fetch(server, tmp_path, (), '--what', 'native', '--offline').code == 0
    assert _fetch(server, tmp_path, (), '--what', later).code == 0
    assert _fetch(server, tmp_path, (), *both, '--offline').code == 3
    rows = read_tsv(tmp_path / 'part/.mrrate-bids/fetch/studies.tsv')
    assert {row['study_uid']: row['state'] for row in rows}[VICTIM] == 'partial'


def test_one_image_that_is_damaged_is_not_here(server, spoilt, tmp_path):
    assert _fetch(server, tmp_path, (), '--what', 'native').code == 3
    assert _fetch(server, tmp_path, (), '--what', 'native', '--offline').code == 3
    others = ('--what', 'native', '--study', GOOD)
    assert _fetch(server, tmp_path, (), *others, '--offline').code == 0


def test_zip_that_failed_leaves_no_wish_for_what_nobody_asked_for(server, studies, tmp_path):
    server.order('error', f'{VICTIM}.zip', times=-1)
    assert _fetch(server, tmp_path, ('--whole-zips',), '--what', 'native').code == 3
    server.orders.clear()
    assert _fetch(server, tmp_path, (), '--what', 'native').code == 0
    rows = read_tsv(tmp_path / 'part/.mrrate-bids/fetch/studies.tsv')
    assert {row['state'] for row in rows} == {'complete'}
