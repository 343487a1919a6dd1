"""The published parameters, and those of our own, in the form that ANTs takes."""

import pytest

from mrrate_bids.computing.presets import (
    PRESETS,
    Stage,
    coarse_spacing,
    coarse_stage,
    find_limits,
    find_preset,
    least_brain_ml,
    start_turns,
)
from mrrate_bids.errors import UsageError
from mrrate_bids.templates import read_toml


def test_reference_is_what_made_the_release():
    """Defaults of ``ants.registration(type_of_transform='Rigid')``, with 32 bins as there."""
    assert find_preset('reference', 'coreg') == (
        Stage(
            sampling=0.2,
            iterations=(2100, 1200, 1200, 10),
            shrink=(6, 4, 2, 1),
            smoothing=(3, 2, 1, 0),
            bins=32,
            spacing_mm=None,
            margin_mm=None,
        ),
    )


def test_every_preset_of_the_table_has_a_name_here():
    assert set(read_toml('registration.toml')['preset']) == set(PRESETS)


@pytest.mark.parametrize('step', ['coreg', 'atlas'])
@pytest.mark.parametrize('name', PRESETS)
def test_stages_are_what_ants_takes(name, step):
    preset = find_preset(name, step)
    assert isinstance(preset, tuple)
    for stage in preset:
        levels = stage.iterations, stage.shrink, stage.smoothing
        assert all(isinstance(level, tuple) for level in levels)
        assert len({len(level) for level in levels}) == 1
        assert 0 < stage.sampling <= 1
        assert list(stage.shrink) == sorted(stage.shrink, reverse=True)
        assert stage.spacing_mm is None or stage.margin_mm is None
    assert preset[-1].shrink[-1] == 1
    assert preset[-1].spacing_mm is None


def test_coarse_stage_comes_first_but_where_the_centres_of_mass_did():
    coarse = coarse_stage()
    assert coarse.spacing_mm == coarse_spacing()
    before = {(n, s): find_preset(n, s)[0] == coarse for n in PRESETS for s in ('coreg', 'atlas')}
    assert [key for key, first in before.items() if not first] == [('reference', 'coreg')]
    assert find_preset('reference', 'atlas')[1:] == find_preset('reference', 'coreg')


@pytest.mark.parametrize('name', ['', 'Reference', 'slow', 'fast '])
def test_unknown_preset(name):
    with pytest.raises(UsageError, match=f'no registration preset {name!r}') as caught:
        find_preset(name, 'coreg')
    assert all(known in caught.value.hint for known in PRESETS)


def test_description_leaves_out_what_does_not_hold():
    (reference,) = find_preset('reference', 'coreg')
    assert reference.describe() == {
        'Transform': 'Rigid[0.25]',
        'Metric': 'Mattes',
        'Bins': 32,
        'SamplingStrategy': 'regular',
        'SamplingFraction': 0.2,
        'Iterations': [2100, 1200, 1200, 10],
        'ShrinkFactors': [6, 4, 2, 1],
        'SmoothingSigmasVoxels': [3, 2, 1, 0],
    }
    coarse, fine = find_preset('fast', 'coreg')
    assert 'SpacingMm' in coarse.describe()
    assert 'BrainMarginMm' in fine.describe()


def test_limits():
    """Two heads fit less well than one and itself."""
    same, other = find_limits('coreg'), find_limits('atlas')
    assert same.sharpness > other.sharpness > 1
    assert 1 > same.dice > other.dice > 0
    assert 100 < least_brain_ml() < 700
    with pytest.raises(KeyError):
        find_limits('deface')


def test_first_start_is_not_turned():
    turns = start_turns()
    assert turns[0] == (0, 0, 0)
    assert len(set(turns)) == len(turns) > 4
    assert all(isinstance(turn, tuple) and len(turn) == 3 for turn in turns)
