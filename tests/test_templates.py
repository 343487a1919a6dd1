"""The data files that the package ships."""

import csv
import json
import re
import tomllib
from importlib.resources import files

import pytest

from mrrate_bids import templates
from mrrate_bids.templates import read_json, read_text, read_toml

NAMES = sorted(f.name for f in files(templates).iterdir() if not f.name.startswith(('__', '.')))


@pytest.mark.parametrize('name', NAMES)
def test_template_is_utf8_text(name):
    text = read_text(name)
    assert text.endswith('\n')
    assert '\r' not in text
    assert not text.startswith('\ufeff')


@pytest.mark.parametrize('name', [n for n in NAMES if n.endswith('.toml')])
def test_toml(name):
    assert read_toml(name) == tomllib.loads(read_text(name))


@pytest.mark.parametrize('name', [n for n in NAMES if n.endswith('.json')])
def test_json(name):
    assert read_json(name) == json.loads(read_text(name))


@pytest.mark.parametrize('name', [n for n in NAMES if n.endswith('_labels.tsv')])
def test_label_table(name):
    rows = list(csv.reader(read_text(name).splitlines(), delimiter='\t'))
    assert rows[0][:2] == ['index', 'name']
    assert all(len(row) == len(rows[0]) and all(row) for row in rows)
    indices = [int(row[0]) for row in rows[1:]]
    assert indices == sorted(set(indices))
    assert indices[0] == 0


@pytest.mark.parametrize('name', [n for n in NAMES if n.endswith('.md')])
def test_text_with_fields(name):
    fields = {'name': 'NAME', 'license': 'LICENCE', 'source': 'SOURCE', 'dataset': 'DATASET'}
    asked = set(re.findall(r'{(\w+)}', read_text(name)))
    text = read_text(name).format(**fields)
    assert 'name' in asked
    assert all(fields[field] in text for field in asked)
    assert '{' not in text


def test_missing_template():
    with pytest.raises(FileNotFoundError):
        read_text('gone.toml')
