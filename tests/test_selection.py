"""Which studies and series are asked for."""

import pytest
from makers import make_release

from mrrate_bids.catalog import open_release
from mrrate_bids.errors import SelectionError
from mrrate_bids.selection import Selection, Shard, check_where, select

STUDIES = [
    {
        'batch': 'batch00',
        'patient': '007',
        'study': 'A',
        'series': ['t1w-raw-sag', 't2w-raw-axi', 'flair-raw-cor-2'],
        'split': 'train',
        'labels': {'Gliosis': '1', 'Edema': '0'},
        'report': 'normal',
        'cells': {
            'TE_ms': '15.5',
            'Flag': 'True',
            'SeriesDescription': 'ax T2',
            'dB/dt': '3',
            '[WindowWidth]': '100',
            'Mixed': '1',
            'is_odd': '',
        },
    },
    {
        'batch': 'batch00',
        'patient': '8',
        'study': 'B',
        'series': ['t1w-raw-axi', 'swi-raw-axi'],
        'split': 'val',
        'labels': {'Gliosis': '0', 'Edema': '0'},
        'report': 'Türkçe "İ"',
        'cells': {
            'TE_ms': '',
            "Patient'sAge": '006M',
            "Patient'sSex": 'M',
            'Flag': 'False',
            'SeriesDescription': '',
            'dB/dt': '5',
            '[WindowWidth]': '',
            'Mixed': 'x',
        },
    },
    {
        'batch': 'batch12',
        'patient': '9',
        'study': 'C',
        'series': ['t1w-raw-obl', 'mra-raw-axi'],
        'cells': {"Patient'sAge": '', 'classified_modality': 'T2-FLAIR', 'New': '7'},
    },
]
EVERYTHING = [
    f'{study["study"]}:{series_id}' for study in STUDIES for series_id in study['series']
]


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    return open_release(make_release(tmp_path_factory.mktemp('release'), STUDIES))


def _chosen(release, **options):
    selection = Selection(**options)
    return [
        f'{study.study}:{series_id}'
        for name in release.batches
        if selection.has_batch(name)
        for study, series in select(release.read_batch(name), selection)
        for series_id in series
    ]


def _of(*studies):
    return [name for name in EVERYTHING if name.startswith(studies)]


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        ({}, EVERYTHING),
        ({'batches': ('batch00',)}, _of('A', 'B')),
        ({'batches': ('00', '12')}, EVERYTHING),
        ({'batches': ('0',)}, _of('A', 'B')),
        ({'batches': ('12',)}, _of('C')),
        ({'batches': ('1',)}, []),
        ({'patients': ('007',)}, _of('A')),
        ({'patients': ('7',)}, []),
        ({'patients': ('007', '9')}, _of('A', 'C')),
        ({'studies': ('B',)}, _of('B')),
        ({'studies': ('b',)}, []),
        ({'splits': ('train',)}, _of('A')),
        ({'splits': ('val', 'test')}, _of('B')),
        ({'modalities': ('T1w',)}, ['A:t1w-raw-sag', 'B:t1w-raw-axi', 'C:t1w-raw-obl']),
        ({'modalities': ('FLAIR',)}, ['A:flair-raw-cor-2']),
        ({'modalities': ('T2-FLAIR',)}, ['A:flair-raw-cor-2']),
        ({'modalities': ('SWI', 'MRA')}, ['B:swi-raw-axi', 'C:mra-raw-axi']),
        ({'planes': ('sag',)}, ['A:t1w-raw-sag']),
        ({'planes': ('OBLIQUE', 'coronal')}, ['A:flair-raw-cor-2', 'C:t1w-raw-obl']),
        ({'modalities': ('T1w',), 'planes': ('axi',)}, ['B:t1w-raw-axi']),
        ({'splits': ('train',), 'patients': ('8',)}, []),
        ({'splits': ('train',), 'modalities': ('T2w',)}, ['A:t2w-raw-axi']),
        ({'planes': ('axi',), 'where': "sex == 'F'"}, ['A:t2w-raw-axi', 'C:mra-raw-axi']),
    ],
)
def test_selection(release, options, expected):
    assert _chosen(release, **options) == expected


@pytest.mark.parametrize(
    ('where', 'expected'),
    [
        # numbers
        ('TE_ms > 15', _of('A', 'C')),
        ('TE_ms == 15.5', _of('A')),
        ('TE_ms != TE_ms', _of('B')),
        ('10 < TE_ms < 15.9', _of('A')),
        ('TE_ms in [15.5, 3]', _of('A')),
        ('age < 1', _of('B')),
        ('age >= 40', _of('A')),
        # text
        ("split == 'val'", _of('B')),
        ("split in ['train', 'val']", _of('A', 'B')),
        ('study == "C"', _of('C')),
        ("study_uid != 'C' and series == 't2w-raw-axi'", ['A:t2w-raw-axi']),
        ("not (study == 'A' or study == 'B')", _of('C')),
        ("report.str.contains('Türk')", _of('B')),
        ("SeriesDescription.str.startswith('ax')", _of('A')),
        ('SeriesDescription.str.len() == 0', _of('B', 'C')),
        ("SeriesNumber.str.startswith('1')", EVERYTHING),
        ("SeriesDescription == ''", _of('B')),
        # truth
        ('Flag', None),
        ('Flag == True', _of('A')),
        ('is_center_modality', ['A:t1w-raw-sag', 'B:t1w-raw-axi', 'C:t1w-raw-obl']),
        (
            'not is_center_modality and TE_ms > 0',
            ['A:t2w-raw-axi', 'A:flair-raw-cor-2', 'C:mra-raw-axi'],
        ),
        # short names
        ("modality == 'FLAIR'", ['A:flair-raw-cor-2', *_of('C')]),
        ("plane == 'CORONAL'", ['A:flair-raw-cor-2']),
        ("sex == 'M'", _of('B')),
        ("batch == 'batch12'", _of('C')),
        # names that are no identifiers, and columns of other tables
        ("`Patient'sSex` == 'M'", _of('B')),
        ('`dB/dt` > 4', _of('B')),
        ('`[WindowWidth]` >= 100', _of('A')),
        ('Gliosis == 1', _of('A')),
        ('Gliosis + Edema > 0', _of('A')),
        # a column that one batch lacks
        ('New == 7', _of('C')),
        ('New > 3', _of('C')),
        ("New.str.contains('7')", _of('C')),
        ("`SeriesDescription`.str.contains('T2')", _of('A')),
        # no column, only words that look like one
        ("split == 'age > 3 and TE_ms'", []),
        ("report == '`gone`' or study == 'C'", _of('C')),
        ("SeriesDescription.str.contains('t2', case=False)", _of('A')),
        ("SeriesDescription.str.contains('T2', regex=True) and abs(TE_ms) > 3", _of('A')),
        ('abs(TE_ms - 20) < 4.2', _of('C')),
        (' TE_ms == 15.5', _of('A')),
        ('"TE_ms" == 15.5', None),
        ('1 == 1', None),
        ("TE_ms == 15.5 & split == 'train'", _of('A')),
        ("(TE_ms == 15.5) & (split == 'train')", _of('A')),
    ],
)
def test_where(release, where, expected):
    if expected is None:
        with pytest.raises(SelectionError, match='no condition'):
            _chosen(release, where=where)
        return
    check_where(release, where)
    assert _chosen(release, where=where) == expected


@pytest.mark.parametrize(
    ('where', 'hint'),
    [
        ("modalty == 'FLAIR'", 'modality'),
        ('te_ms > 3', 'TE_ms'),
        ('Gliosi == 1', 'Gliosis'),
        ("`Patient'sAg` > '3'", "Patient'sAge"),
        ("repor.str.contains('x')", 'report'),
        ("report.str.contains('x', case=modalty)", 'modality'),
        ('abs(te_ms) > 3', 'TE_ms'),
        ('zzzzzzzzz > 3', 'header of the metadata'),
    ],
)
def test_unknown_column(release, where, hint):
    with pytest.raises(SelectionError, match='there is no column') as found:
        check_where(release, where)
    assert hint in found.value.hint


UNREADABLE = ['TE_ms >', 'TE_ms = 3 3', '(TE_ms > 3', '`TE_ms', 'TE_ms > @x', '\0']
UNREADABLE += ['TE_ms > 3\nsplit', '(' * 999, '-' * 99_999 + '1']


@pytest.mark.parametrize('where', UNREADABLE, ids=lambda where: where[:9])
def test_expression_that_cannot_be_read(release, where):
    with pytest.raises(SelectionError, match='cannot be evaluated') as found:
        _chosen(release, where=where)
    assert 'Example' in found.value.hint


@pytest.mark.parametrize('where', ['TE_ms >', '(TE_ms > 3', '`TE_ms', 'gone >', '\0', '(' * 999])
def test_unreadable_expression_is_told_before_the_columns(release, where):
    with pytest.raises(SelectionError, match='cannot be evaluated'):
        check_where(release, where)


@pytest.mark.parametrize('where', ['Mixed > 3', 'split.str.gone()', 'TE_ms.str.len().gone'])
def test_expression_that_fails(release, where):
    with pytest.raises(SelectionError, match='cannot be evaluated'):
        _chosen(release, where=where)


@pytest.mark.parametrize(
    'where', ['TE_ms', 'TE_ms + 1', 'TE_ms = 3', 'split', '3', 'True', 'age.mean()']
)
def test_expression_that_is_no_condition(release, where):
    with pytest.raises(SelectionError, match='is no condition'):
        _chosen(release, where=where)


def test_expression_cannot_reach_the_program(release):
    for where in ("__import__('os')", '@release', "open('x')"):
        with pytest.raises(SelectionError):
            check_where(release, where)
            _chosen(release, where=where)


@pytest.mark.parametrize(
    ('series_id', 'asked'), [('t1w-raw-axi', True), ('t1w-raw-sag', False), ('odd', False)]
)
def test_series_outside_the_naming_table_is_only_in_everything(series_id, asked):
    assert Selection(planes=('axi',)).has_series(series_id) is asked
    assert Selection().has_series(series_id)


@pytest.mark.parametrize('text', ['1/1', '2/4', '4/4', '10/10'])
def test_shard(text):
    index, count = map(int, text.split('/'))
    assert Shard.parse(text) == Shard(index, count)


@pytest.mark.parametrize(
    'text', ['', '1', '0/4', '5/4', '1/0', '-1/4', '1/4/2', 'a/b', ' 1/4', '1/4\n']
)
def test_shard_that_is_refused(text):
    with pytest.raises(SelectionError, match='is no shard') as found:
        Shard.parse(text)
    assert '1/4' in found.value.hint


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_shards_share_everything_and_nothing_twice(count):
    shards = [Shard(index, count) for index in range(1, count + 1)]
    for number in range(20):
        assert sum(shard.has(number) for shard in shards) == 1
    sizes = [sum(shard.has(n) for n in range(20)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
