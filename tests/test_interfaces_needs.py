"""What the interfaces import when they run is known before they do."""

import pytest

pytest.importorskip('nipype')

from mrrate_bids.interfaces import brain, convert, deface, register, segment, store
from mrrate_bids.interfaces.base import Step
from mrrate_bids.interfaces.needs import modules_of

MODULES = (brain, convert, deface, register, segment, store)
INTERFACES = sorted(
    (
        getattr(module, name)
        for module in MODULES
        for name in module.__all__
        if issubclass(getattr(module, name), Step)
    ),
    key=lambda each: each.__name__,
)
WITH_ANTS = {'CarryMask', 'Coregister', 'MakeReference', 'RegisterToAtlas', 'Resample'}


@pytest.mark.parametrize('interface', INTERFACES)
def test_who_needs_ants(interface):
    assert ('ants' in modules_of({interface}, 'derivatives')) == (interface.__name__ in WITH_ANTS)


@pytest.mark.parametrize(
    ('extractor', 'modules'),
    [
        ('hd-bet', {'torch', 'nnunetv2'}),
        ('deepbet', {'torch', 'deepbet'}),
        ('derivatives', set()),
    ],
)
def test_extractors(extractor, modules):
    assert modules_of({brain.ExtractBrain}, extractor) == modules
    assert modules_of({deface.Deface}, extractor) == set()


def test_segmentation_needs_its_own():
    assert modules_of({segment.Segment}, 'derivatives') == {'torch', 'monai', 'einops'}
