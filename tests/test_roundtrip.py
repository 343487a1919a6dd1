"""Export and import undo each other, whatever the release looks like and its tables say."""

import csv
import hashlib
import io
import shutil
import zipfile
from dataclasses import replace

import hostile
import pytest
from hostile import CENTRE, FAR, GOOD, MOVING, VICTIM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from round_trip import (
    assert_same_release,
    content,
    import_,
    rows,
    tables,
    there_and_back,
)

from mrrate_bids.naming import KINDS, REPOSITORIES

LAYOUTS = {'zip': (), 'extracted': ('--no-zip',), 'merged': ('--no-zip', '--merged')}
SUBSETS = {
    'full': (),
    'one study': ('--study', VICTIM),
    'one batch': ('--batch', '01'),
    'one split': ('--split', 'val'),
    'some groups': ('--include', 'raw,atlas'),
    'no images': ('--include', 'coreg,seg'),
    'one modality': ('--modality', 'T1w'),
}


def of_first_vintage(studies):
    """Give the studies the segmentations of the first release instead of the current ones."""
    for study in studies:
        files = study.files.pop('MR-RATE-nvseg-ctmr')
        brain = {n: d for n, d in files.items() if 'ctmr-brain' in n}
        study.files['MR-RATE-vista-seg'] = {
            name.replace('nvseg-ctmr-brain', 'vista-seg'): data for name, data in brain.items()
        }
        for row in study.rows:
            if row['classified_modality'] == 'FLAIR':
                row['classified_modality'] = 'T2-FLAIR'
    return studies


VINTAGES = {'current': list, 'first': of_first_vintage}


@pytest.mark.parametrize('vintage', VINTAGES)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_full_export_comes_back_byte_for_byte(layout, vintage, studies, tmp_path):
    studies = VINTAGES[vintage](studies)
    source = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    back = there_and_back(source, tmp_path, back=LAYOUTS[layout])
    assert_same_release(source, back)
    suffix = 'vista' if vintage == 'first' else 'nvseg'
    assert any(suffix in where for where in content(back))


@pytest.mark.parametrize('vintage', VINTAGES)
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('subset', [name for name in SUBSETS if name != 'full'])
def test_part_of_a_release_comes_back_with_its_rows_in_their_order(
    subset, layout, vintage, studies, tmp_path
):
    studies = VINTAGES[vintage](studies)
    source = hostile.write_release(tmp_path / 'release', studies, layout=layout)
    back = there_and_back(source, tmp_path, options=SUBSETS[subset], back=LAYOUTS[layout])
    whole, part = content(source), content(back)
    assert part.keys() < whole.keys()
    for where, data in part.items():
        if where.endswith('.csv'):
            assert_rows_in_order(data, whole[where])
            assert len(rows(data)) > 1
        else:
            assert data == whole[where], where
    exported = hostile.files(tmp_path / 'bids')
    members = [where for where in part if not where.endswith('.csv')]
    data_files = [w for w in exported if w.endswith(('.nii.gz', '.mat'))]
    assert len(members) == len(data_files)


def assert_rows_in_order(part, whole):
    """Make sure that the rows of a part are rows of the whole, one after the other."""
    kept = iter(rows(whole))
    assert all(row in kept for row in rows(part))


def test_zips_are_stored_sorted_rooted_and_the_same_every_time(source, tmp_path):
    back = there_and_back(source, tmp_path)
    again = import_(tmp_path / 'bids', tmp_path / 'again', '--jobs', '3')
    assert again.code == 0
    digests = [
        {p.relative_to(root): hashlib.sha256(p.read_bytes()).digest() for p in root.rglob('*.zip')}
        for root in (back, tmp_path / 'again')
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 12
    for path in back.rglob('*.zip'):
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        names = [info.filename for info in infos]
        study = path.stem.partition('_')[0]
        assert names == sorted(names)
        assert {name.split('/')[0] for name in names} == {study}
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}


def test_release_holds_nothing_that_names_the_dataset(source, tmp_path):
    back = there_and_back(source, tmp_path)
    names = {path.name for path in back.iterdir()}
    assert names == {name for name in REPOSITORIES if 'vista' not in name}
    assert (tmp_path / 'back-import' / 'studies.tsv').exists()


# Tables of any content.

NASTY = st.one_of(
    st.sampled_from(
        ['', 'NaN', 'NA', 'n/a', 'None', '0.0', '1e5', '007', ' ', '"', '""', ',', '\t', '\r\n']
    ),
    st.sampled_from(
        ['a"b', '\u00a0', 'İstanbul ığüşöç', '🧠', '\\u006e/a', '\\', "'", '=1+1', '#', '\ufeff']
    ),
    st.text(
        st.characters(codec='utf-8', exclude_characters='\x00'),
        max_size=12,
    ),
    st.text('",\r\n\t n/a\\', max_size=8),
)
NEWLINES = st.sampled_from(['\n', '\r\n'])


@st.composite
def spelling(draw):
    """Return how a CSV is spelt: line end, quoting, byte order mark, end of the last line."""
    return {
        'lineterminator': draw(NEWLINES),
        'quoting': draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        'bom': draw(st.booleans()),
        'last': draw(st.booleans()),
    }


def write(path, table, spelt):
    """Write a CSV as *spelt* says."""
    lines = [_line(row, spelt['quoting']) + spelt['lineterminator'] for row in table]
    whole = ''.join(lines)
    whole = whole if spelt['last'] else whole.removesuffix(spelt['lineterminator'])
    data = whole.encode('utf-8-sig' if spelt['bom'] else 'utf-8')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _line(row, quoting):
    """Return a row with every cell quoted that must be; Python before 3.13 leaves a bare CR."""
    text = io.StringIO(newline='')
    csv.writer(text, lineterminator='\r\n', quoting=quoting).writerow(row)
    return text.getvalue().removesuffix('\r\n')


def _cells(count):
    return st.lists(NASTY, min_size=count, max_size=count)


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    """Return releases of three studies in every layout and vintage; their tables are rewritten."""
    releases = {}
    for vintage, change in VINTAGES.items():
        for layout in LAYOUTS:
            studies = change(hostile.three_studies())
            for study in studies:
                study.files = {n: f for n, f in study.files.items() if n not in {'MR-RATE-atlas'}}
            root = tmp_path_factory.mktemp('bare') / 'release'
            hostile.write_release(root, studies, layout=layout)
            releases[layout, vintage] = root, studies
    return releases


def write_tables(source, studies, data):
    """Write tables of any content, spelt in any way."""
    home = source / 'MR-RATE'
    series = [row for study in studies for row in study.rows if study.batch == 'batch00']
    known = [*series[0]]
    table = [[*known, 'free', 'second, "column"']]
    for row in series:
        cells = dict(row) | {'anon_study_date': data.draw(NASTY), "Patient'sAge": data.draw(NASTY)}
        cells['TE_ms'] = data.draw(NASTY)
        table.append([*(cells[name] for name in known), *data.draw(_cells(2))])
    write(home / 'metadata/batch00_metadata.csv', table, data.draw(spelling()))
    reports = [['study_uid', 'report', 'findings']]
    reports += [[uid, *data.draw(_cells(2))] for uid in (GOOD, VICTIM)]
    write(home / 'reports/batch00_reports.csv', reports, data.draw(spelling()))
    labels = [['study_uid', 'Gliosis', 'a/b'], *([u, *data.draw(_cells(2))] for u in (FAR, GOOD))]
    write(home / 'pathology_labels/mrrate_labels.csv', labels, data.draw(spelling()))
    splits = [['batch_id', 'patient_uid', 'study_uid', 'split']]
    splits += [[data.draw(NASTY), s.patient, s.uid, data.draw(NASTY)] for s in studies]
    write(home / 'splits.csv', splits, data.draw(spelling()))


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    layout=st.sampled_from(list(LAYOUTS)),
    vintage=st.sampled_from(list(VINTAGES)),
    subset=st.sampled_from([(), (), ('--study', VICTIM), ('--study', GOOD), ('--batch', '00')]),
)
def test_tables_of_any_content_come_back(data, layout, vintage, subset, bare, tmp_path_factory):
    (source, studies), work = bare[layout, vintage], tmp_path_factory.mktemp('any')
    write_tables(source, studies, data)
    hostile.export(source, work / 'bids', '--age-cap', 'none', *subset)
    import_(work / 'bids', work / 'back', *LAYOUTS[layout])
    if subset:
        for where, part in tables(work / 'back').items():
            assert_rows_in_order(part, tables(source)[where])
        assert 'MR-RATE/metadata/batch00_metadata.csv' in tables(work / 'back')
    else:
        assert_same_release(source, work / 'back')
    shutil.rmtree(work)


def test_rows_that_no_study_stands_for_come_back(source, tmp_path):
    """Ragged rows, second rows of a study, rows of unknown studies: a full export keeps them."""
    home = source / 'MR-RATE'
    for name, extra in {
        'metadata/batch00_metadata.csv': 'too,short\n',
        'reports/batch00_reports.csv': f'{GOOD},again\nUNKNOWN000,"whose?"\n\n',
        'pathology_labels/mrrate_labels.csv': 'UNKNOWN000,0\n',
        'splits.csv': 'batch09,9,UNKNOWN000,train\n',
    }.items():
        with (home / name).open('a', newline='') as file:
            file.write(extra)
    assert hostile.export(source, tmp_path / 'bids').code == 3
    import_(tmp_path / 'bids', tmp_path / 'back')
    assert tables(tmp_path / 'back') == tables(source)
    # A part has the rows of its studies and no others.
    hostile.export(source, tmp_path / 'part', '--study', GOOD)
    import_(tmp_path / 'part', tmp_path / 'back-of-part')
    for where, data in tables(tmp_path / 'back-of-part').items():
        uids = {row[rows(data)[0].index('study_uid')] for row in rows(data)[1:]}
        assert uids == {GOOD}, where


def test_header_that_is_spelt_in_an_odd_way_comes_back(source, tmp_path):
    path = source / 'MR-RATE/reports/batch00_reports.csv'
    path.write_bytes(path.read_bytes().replace(b'study_uid,report', b'"study_uid",report', 1))
    assert tables(there_and_back(source, tmp_path)) == tables(source)


def test_rows_of_damaged_studies_come_back(source, studies, tmp_path):
    """A study whose zip is empty has rows and no files, before and after."""
    victim = studies[1]
    empty = zipfile.ZipFile(victim.zip_of(source), 'w')
    empty.close()
    for repository in list(victim.files)[1:]:
        victim.zip_of(source, repository).unlink()
    assert hostile.export(source, tmp_path / 'bids').code == 3
    import_(tmp_path / 'bids', tmp_path / 'back')
    assert tables(tmp_path / 'back') == tables(source)
    assert not any(VICTIM in where for where in content(tmp_path / 'back'))


def test_dataset_without_its_receipts_still_becomes_the_release(source, tmp_path):
    """What is shared is often the dataset alone; order and spelling of rows are lost then."""
    assert hostile.export(source, tmp_path / 'bids').code == 0
    shutil.rmtree(tmp_path / 'bids/sourcedata')
    done = import_(tmp_path / 'bids', tmp_path / 'back')
    assert done.code == 0, done.output
    assert 'sourcedata/mrrate/receipts is missing' in ' '.join(done.output.split())
    old, new = content(source), content(tmp_path / 'back')
    assert old.keys() == new.keys()
    for where in old:
        if where.endswith('.csv'):
            assert _dicts(old[where]) == _dicts(new[where]), where
        else:
            assert old[where] == new[where]


def test_dataset_that_lost_how_its_tables_were_spelt(source, tmp_path):
    assert hostile.export(source, tmp_path / 'bids').code == 0
    for path in (tmp_path / 'bids/sourcedata/mrrate/tables').rglob('*_metadata.json'):
        path.write_text('{}')
    done = import_(tmp_path / 'bids', tmp_path / 'back')
    assert done.code == 0, done.output
    told = ' '.join(done.output.split())
    assert 'how metadata/batch00_metadata.csv was spelt is not told' in told
    assert 'how splits.csv was spelt' not in told


def _dicts(data):
    header, *lines = rows(data)
    return sorted(sorted(zip(header, line, strict=True)) for line in lines)


def test_demo_comes_back(release, exported, tmp_path):
    done = import_(exported, tmp_path / 'back')
    assert done.code == 0
    assert_same_release(release, tmp_path / 'back')
    assert len(content(tmp_path / 'back')) > 90


def test_every_kind_of_file_is_among_those_that_come_back(studies, tmp_path):
    first = [
        replace(study, uid=f'{study.uid[:9]}2', patient=f'9{study.patient}')
        for study in hostile.three_studies()
    ]
    both = [*studies, *of_first_vintage(first)]
    source = hostile.write_release(tmp_path / 'release', both)
    back = there_and_back(source, tmp_path)
    assert_same_release(source, back)
    patterns = [kind.member for kind in KINDS.values()]
    names = ' '.join(content(back))
    for pattern in patterns:
        assert pattern.partition('{series}')[2] in names


def test_series_in_every_plane_and_repeat_comes_back(tmp_path):
    series = (
        CENTRE,
        MOVING,
        f'{MOVING}-2',
        f'{MOVING}-12',
        't2w-raw-obl',
        'mra-raw-cor',
        'swi-raw-sag',
        't1w-der-axi',
        'swi-der-axi-3',
    )
    study = hostile.Study('ALLKINDS22', '5', series=series)
    source = hostile.write_release(tmp_path / 'release', [study])
    assert_same_release(source, there_and_back(source, tmp_path))


def test_labels_of_other_alphabets_come_back(tmp_path):
    study = hostile.Study('a-b_ç', '00 7/é', seed=4)
    study = replace(study, uid='a-b.ç', patient='00 7é')
    source = hostile.write_release(tmp_path / 'release', [study])
    assert_same_release(source, there_and_back(source, tmp_path))
