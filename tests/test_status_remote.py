"""What a listing of another copy says of the release."""

import pytest

from mrrate_bids.errors import SourceError
from mrrate_bids.status.remote import Entry, Remote, is_local
from mrrate_bids.tables import format_tsv


def listed(tmp_path, rows, header=('path', 'size', 'sha256')):
    (tmp_path / 'index.tsv').write_text(format_tsv(header, rows))
    remote = Remote()
    remote.add(str(tmp_path / 'index.tsv'))
    return remote


def test_zips_and_tables(tmp_path):
    rows = [
        ('MR-RATE/mri/batch00/A.zip', '10', 'ab'),
        ('MR-RATE-coreg/mri/batch00/A_coreg.zip', '20', ''),
        ('MR-RATE/metadata/batch00_metadata.csv', '30', ''),
        ('MR-RATE/splits.csv', '40', ''),
        ('MR-RATE/readme.md', '50', ''),
    ]
    remote = listed(tmp_path, rows)
    assert remote.repositories == {'MR-RATE', 'MR-RATE-coreg'}
    assert remote.batches == {'batch00'}
    assert remote.studies('MR-RATE', 'batch00') == {'A': Entry(10, 'ab')}
    assert remote.studies('MR-RATE', 'batch07') == {}
    assert remote.studies('MR-RATE-atlas', 'batch00') is None
    assert remote.table('metadata/batch00_metadata.csv') == Entry(30)
    assert remote.table('splits.csv') == Entry(40)
    assert remote.table('reports/batch00_reports.csv') is None


@pytest.mark.parametrize('form', ['table', 'folder', 'repository'])
def test_other_batches_are_passed_over(form, tmp_path):
    """A repository without any batch that is asked for was listed nevertheless."""
    root = tmp_path / 'copy'
    names = ['mri/batch00/A_coreg.zip', 'metadata/batch00_metadata.csv', 'splits.csv']
    paths = [root / 'MR-RATE-coreg' / name for name in names]
    for path in [*paths, root / 'MR-RATE/mri/batch01/B.zip']:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'12345')
    source = root / 'MR-RATE-coreg' if form == 'repository' else root
    if form == 'table':
        source = tmp_path / 'index.tsv'
        files = [path for path in root.rglob('*') if path.is_file()]
        rows = [(path.relative_to(root).as_posix(), '5') for path in files]
        source.write_text(format_tsv(('path', 'size'), rows))
    remote = Remote(lambda batch: batch == 'batch01')
    remote.add(str(source))
    assert remote.batches == (set() if form == 'repository' else {'batch01'})
    assert 'MR-RATE-coreg' in remote.repositories
    assert remote.studies('MR-RATE-coreg', 'batch01') == {}
    assert remote.studies('MR-RATE-atlas', 'batch01') is None
    assert remote.table('metadata/batch00_metadata.csv') is None
    assert remote.table('splits.csv').size == 5
    only = Remote(lambda batch: batch == 'batch07')
    only.add(str(root / 'MR-RATE'))
    assert only.studies('MR-RATE', 'batch07') == {}


@pytest.mark.parametrize('zip_first', [True, False])
def test_zip_says_more_than_a_folder(zip_first, tmp_path):
    zipped = ('mri/batch00/A.zip', '10', '')
    extracted = ('mri/batch00/A/img/A_t1w-raw-axi.nii.gz', '3', '')
    rows = [zipped, extracted] if zip_first else [extracted, zipped]
    assert listed(tmp_path, rows).studies('MR-RATE', 'batch00') == {'A': Entry(10)}


@pytest.mark.parametrize(
    'path', ['readme.md', 'mri/batch00/notes.txt', 'mri/batch00/A/odd.txt', 'mri', 'zip/A.zip']
)
def test_files_of_no_release(path, tmp_path):
    with pytest.raises(SourceError, match='lists no file of a release'):
        listed(tmp_path, [(path, '1', '')])


def test_table_without_sizes(tmp_path):
    with pytest.raises(SourceError, match='cannot be read as a table'):
        listed(tmp_path, [('a', 'b')], header=('path', 'md5'))
    with pytest.raises(SourceError, match='cannot be read as a table'):
        listed(tmp_path, [('mri/batch00/A.zip', 'many', '')])


def test_what_needs_no_network():
    assert is_local('/data')
    assert is_local('file:///data')
    assert not is_local('https://h/index.tsv')
    assert not is_local('hf://datasets/a/b')
