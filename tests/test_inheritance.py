"""Sidecars of any dataset are merged from the root down."""

import json

import pytest

from mrrate_bids.errors import TableError
from mrrate_bids.inheritance import Sidecars, read_json_object

IMAGE = 'sub-01/ses-1/anat/sub-01_ses-1_acq-axi_run-1_T1w.nii.gz'


def write(root, place, content):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_nearest_sidecar_has_the_last_word(tmp_path):
    write(tmp_path, 'T1w.json', {'EchoTime': 1, 'Manufacturer': 'A', 'FlipAngle': 8})
    write(tmp_path, 'acq-axi_T1w.json', {'Manufacturer': 'B'})
    write(tmp_path, 'sub-01/sub-01_T1w.json', {'EchoTime': 2})
    write(tmp_path, IMAGE.replace('.nii.gz', '.json'), {'EchoTime': 3})
    found = Sidecars(tmp_path).read(IMAGE)
    assert found == {'EchoTime': 3, 'Manufacturer': 'B', 'FlipAngle': 8}


def test_sidecars_of_other_files_do_not_apply(tmp_path):
    write(tmp_path, 'T2w.json', {'EchoTime': 1})
    write(tmp_path, 'acq-sag_T1w.json', {'EchoTime': 2})
    write(tmp_path, 'participants.json', {'age': {}})
    write(tmp_path, 'sub-02/sub-02_T1w.json', {'EchoTime': 3})
    assert Sidecars(tmp_path).read(IMAGE) == {}


@pytest.mark.parametrize('content', [b'{"EchoTime": ', b'[1, 2]', b'\xff\xfe'])
def test_sidecar_that_is_no_object_is_named(tmp_path, content):
    path = tmp_path / 'T1w.json'
    path.write_bytes(content)
    with pytest.raises(TableError, match=r'T1w\.json'):
        read_json_object(path)
    with pytest.raises(TableError, match=r'T1w\.json'):
        Sidecars(tmp_path).read(IMAGE)
