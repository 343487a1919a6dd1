"""What a dataset says of itself."""

import json
import re

import jsonschema
import pytest
from bidsschematools.schema import load_schema

from mrrate_bids import __version__
from mrrate_bids.descriptions import About, describe_dataset, format_json
from mrrate_bids.naming import KINDS
from mrrate_bids.sidecars import link_name

SCHEMA = load_schema()
DATASETS = sorted({kind.dataset for kind in KINDS.values()})
DERIVATIVES = [name for name in DATASETS if name]


def _describe(folder, dataset='', *, about=None, kinds=(), siblings=DERIVATIVES):
    about = about or About()
    describe_dataset(folder, dataset, about=about, siblings=siblings, kinds=set(kinds))
    return json.loads((folder / 'dataset_description.json').read_text(encoding='utf-8'))


@pytest.mark.parametrize('dataset', DATASETS)
def test_description_is_what_bids_wants(tmp_path, dataset):
    content = _describe(tmp_path, dataset)
    for key, value in content.items():
        jsonschema.validate(value, SCHEMA.objects.metadata[key].to_dict())
    required = {'Name', 'BIDSVersion', 'GeneratedBy', 'DatasetLinks'}
    assert required | {'DatasetType', 'License', 'Authors', 'SourceDatasets'} <= content.keys()
    assert content['DatasetType'] == ('derivative' if dataset else 'raw')


@pytest.mark.parametrize('dataset', DATASETS)
def test_first_generator_is_the_name_that_readers_know_a_dataset_by(tmp_path, dataset):
    names = [tool['Name'] for tool in _describe(tmp_path, dataset)['GeneratedBy']]
    assert names[0] == (dataset or 'mrrate-bids')
    assert names.count('mrrate-bids') == 1
    assert len(set(names)) == len(names)


def test_no_address_that_does_not_exist_is_given(tmp_path):
    (tool,) = _describe(tmp_path)['GeneratedBy']
    assert tool == {'Name': 'mrrate-bids', 'Version': __version__}


@pytest.mark.parametrize('dataset', DATASETS)
def test_links_lead_to_the_other_datasets(tmp_path, dataset):
    folder = tmp_path / 'derivatives' / dataset if dataset else tmp_path
    links = _describe(folder, dataset)['DatasetLinks']
    homes = {name: tmp_path / 'derivatives' / name for name in DERIVATIVES} | {'': tmp_path}
    assert {name: (folder / link).resolve() for name, link in links.items()} == {
        link_name(name): home for name, home in homes.items() if name != dataset
    }
    assert all(re.fullmatch('[A-Za-z0-9]+', name) for name in links)


@pytest.mark.parametrize('dataset', DATASETS)
def test_files_at_the_root(tmp_path, dataset):
    _describe(tmp_path, dataset)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'dataset_description.json', 'README.md', 'CHANGES', '.bidsignore'}
    ignored = (tmp_path / '.bidsignore').read_text().splitlines()
    assert ignored == (['*_xfm.*'] if dataset else ['sessions.json'])
    assert __version__ in (tmp_path / 'CHANGES').read_text()
    readme = (tmp_path / 'README.md').read_text(encoding='utf-8')
    assert 'CC BY-NC-SA 4.0' in readme
    assert '{' not in readme


ABOUT = About('My data', 'CC0', 'https://example.org', ('A. B.', 'Ç. D.'))


@pytest.mark.parametrize('dataset', ['', 'mrrate-coreg'])
def test_what_the_caller_knows_better(tmp_path, dataset):
    content = _describe(tmp_path, dataset, about=ABOUT)
    assert (content['Name'] == 'My data') == (not dataset)
    assert content['License'] == 'CC0'
    assert content['Authors'] == ['A. B.', 'Ç. D.']
    assert content['SourceDatasets'] == [{'URL': 'https://example.org'}]
    text = ''.join(path.read_text(encoding='utf-8') for path in tmp_path.iterdir())
    assert 'Forithmus' not in text
    assert 'CC BY-NC-SA' not in text
    assert 'cite the MR-RATE dataset' not in text


def test_inherited_files_and_label_tables(tmp_path):
    kinds = [('nvseg-body', 'T1w'), ('nvseg-body', 'FLAIR'), ('coreg-image', 'T2w')]
    _describe(tmp_path, 'mrrate-nvsegctmr', kinds=kinds)
    names = {path.name for path in tmp_path.iterdir() if '_' in path.name}
    assert names == {
        'dataset_description.json',
        'seg-nvsegctmrbody_dseg.json',
        'seg-nvsegctmrbody_dseg.tsv',
        'space-T1w_T2w.json',
    }
    body = json.loads((tmp_path / 'seg-nvsegctmrbody_dseg.json').read_text(encoding='utf-8'))
    assert body['Manual'] is False
    assert body.keys().isdisjoint({'file', 'labels'})


def test_same_description_is_not_written_again(tmp_path):
    _describe(tmp_path, 'mrrate-coreg', kinds=[('coreg-image', 'T1w')])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    _describe(tmp_path, 'mrrate-coreg', kinds=[('coreg-image', 'T1w')])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_json_is_readable_text():
    assert format_json({'b': 'İ', 'a': [1]}) == '{\n  "b": "İ",\n  "a": [\n    1\n  ]\n}\n'
