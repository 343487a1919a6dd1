"""What is not installed is told with the extra that brings it, and nothing is imported."""

import subprocess
import sys

import pytest

from mrrate_bids.computing.packages import require_packages
from mrrate_bids.errors import ResourceError


@pytest.mark.parametrize(
    ('module', 'name', 'extra'),
    [
        ('ants', 'antspyx', 'compute'),
        ('deepbet', 'deepbet', 'compute'),
        ('einops', 'einops', 'seg'),
        ('monai', 'MONAI', 'seg'),
        ('nnunetv2', 'HD-BET', 'brain'),
        ('torch', 'torch', 'compute'),
    ],
)
def test_package_that_is_missing(module, name, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match=f'^{name} is not installed$') as caught:
        require_packages([module])
    assert caught.value.hint == f"pip install 'mrrate-bids[{extra}]'"
    assert caught.value.exit_code == 2


def test_all_that_are_missing_are_named_at_once(monkeypatch):
    for module in ('ants', 'nnunetv2'):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ResourceError, match=r'^HD-BET and antspyx are not installed$') as caught:
        require_packages(['nnunetv2', 'ants'])
    assert caught.value.hint == "pip install 'mrrate-bids[brain,compute]'"


def test_packages_are_not_imported():
    code = (
        'import sys; from mrrate_bids.computing.packages import _EXTRAS, require_packages;'
        'require_packages(_EXTRAS); print({*_EXTRAS} & {*sys.modules})'
    )
    done = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert done.stdout == 'set()\n'
