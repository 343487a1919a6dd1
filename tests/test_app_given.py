"""What the user gives: derivatives of ours and of other pipelines."""

import pytest
from app_studies import MASK, make_study, place

pytest.importorskip('bids')
pytest.importorskip('nipype')


from mrrate_bids.app.given import Given, parse_derivatives
from mrrate_bids.app.options import Options
from mrrate_bids.app.places import Places
from mrrate_bids.errors import UsageError
from mrrate_bids.naming import COMPUTED, KINDS


def kinds_of(study):
    return [set(one.given) for one in study.series]


def test_our_datasets_are_found_by_their_name(tmp_path):
    inside = 'sub-01/ses-1/anat/sub-01_ses-1'
    place(tmp_path, f'{inside}{MASK.format("T1w")}')
    study = make_study('T1w', 'T2w')
    there = Given({'mrrate-defaced': tmp_path}).add_to(study)
    assert kinds_of(there) == [{'brain-mask'}, set()]
    assert there.centre is there.series[0]
    assert kinds_of(Given({'masks': tmp_path}).add_to(study)) == [set(), set()]


def test_every_kind_is_found_again(tmp_path):
    """What a run writes is what a later one looks for."""
    places = Places(tmp_path, Options())
    study = make_study('T1w', 'T2w')
    kinds = {*KINDS, *COMPUTED} - {'image', 'vista-seg', 'coreg-transform'}
    for kind in kinds:
        place(tmp_path, str(places.target(study, study.centre, kind).relative_to(tmp_path)))
    roots = {path.name: path for path in tmp_path.iterdir()}
    assert set(Given(roots).add_to(study).centre.given) == kinds


@pytest.mark.parametrize('space', [('MNI152NLin2009cSym', 1), ('MNI152NLin6Asym', 2)])
def test_atlas_files_of_another_template_are_not_taken(space, tmp_path):
    template, resolution = space
    options = Options(template=template, resolution=resolution)
    study = make_study('T1w')
    places = Places(tmp_path, options)
    path = places.target(study, study.centre, 'atlas-transform')
    place(path.parent, path.name)
    roots = {'mrrate-atlas': tmp_path / 'mrrate-atlas'}
    assert set(Given(roots, space=space).add_to(study).centre.given) == {'atlas-transform'}
    assert not Given(roots, space=('MNIOther', 1)).add_to(study).centre.given
    trusted = Given({}, lambda _: frozenset([path]), space=space)
    assert set(trusted.add_to(study).centre.given) == {'atlas-transform'}


def test_files_of_an_earlier_run(tmp_path):
    study = make_study('T1w')
    name = f'mrrate-defaced/sub-01/ses-1/anat/sub-01_ses-1{MASK.format("T1w")}'
    path = place(tmp_path, name)
    assert Given({}, lambda _: frozenset([path])).add_to(study).centre.given == {
        'brain-mask': path
    }
    wrong = place(tmp_path, name.replace('mrrate-defaced', 'other'))
    assert not Given({}, lambda _: frozenset([wrong])).add_to(study).centre.given


@pytest.mark.parametrize('foreign', [True, False])
def test_masks_of_other_pipelines(foreign, tmp_path):
    """The mask of the T1w, as fMRIPrep has it; not one in another space."""
    folder = tmp_path / 'sub-01/ses-1/anat'
    mask = place(folder, 'sub-01_ses-1_desc-brain_mask.nii.gz')
    place(folder, 'sub-01_ses-1_acq-x_space-MNI_desc-brain_mask.nii.gz')
    study = make_study('acq-a_T1w', 'acq-a_T2w')
    given = Given({'fmriprep': tmp_path}, foreign=foreign).add_to(study)
    assert given.series[0].given == ({'foreign-mask': mask} if foreign else {})
    assert not given.series[1].given
    mask.unlink()
    assert not Given({'fmriprep': tmp_path}, foreign=foreign).add_to(study).centre.given


@pytest.mark.parametrize(
    ('sidecar', 'carried'), [('{"Carried": true}', True), ('{}', False), ('', False), ('{', False)]
)
def test_mask_that_was_carried_over(sidecar, carried, tmp_path):
    name = f'sub-01/ses-1/anat/sub-01_ses-1{MASK.format("T1w")}'
    place(tmp_path, name)
    if sidecar:
        place(tmp_path, name.replace('.nii.gz', '.json'), sidecar)
    study = Given({'mrrate-defaced': tmp_path}).add_to(make_study('T1w'))
    assert study.centre.carried is carried


def test_derivatives_are_datasets_or_folders_of_them(tmp_path, monkeypatch):
    for name in ('all/mrrate-coreg', 'all/fmriprep/sub-01', 'all/logs', 'one', 'none'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'one/dataset_description.json').write_text('{}')
    place(tmp_path, 'all/file')
    one, several = tmp_path / 'one', tmp_path / 'all'
    assert parse_derivatives((f'mrrate-defaced={one}',)) == {'mrrate-defaced': one}
    assert parse_derivatives((str(one), str(one))) == {'one': one}
    assert parse_derivatives((str(several),)) == {
        'fmriprep': several / 'fmriprep',
        'mrrate-coreg': several / 'mrrate-coreg',
    }
    monkeypatch.chdir(tmp_path)
    assert parse_derivatives(('one', 'a=one')) == {'one': one, 'a': one}  # absolute
    assert parse_derivatives(('none',)) == {'none': tmp_path / 'none'}  # and is named as unused


@pytest.mark.parametrize('name', ['with space', 'a=b', 'é;$x'])
def test_derivatives_in_folders_of_any_name(name, tmp_path):
    (tmp_path / name / 'sub-01').mkdir(parents=True)
    path = tmp_path / name
    assert parse_derivatives((str(path), f'mine={path}')) == {name: path, 'mine': path}


def test_two_derivatives_of_one_name(tmp_path):
    for name in ('all/mrrate-coreg', 'more/mrrate-coreg'):
        (tmp_path / name).mkdir(parents=True)
    one, two = tmp_path / 'all/mrrate-coreg', tmp_path / 'more/mrrate-coreg'
    values = tuple(map(str, (tmp_path / 'all', two, one)))
    assert parse_derivatives(values) == {'mrrate-coreg': one, 'mrrate-coreg+2': two}


def test_first_of_two_derivatives_is_asked_first(tmp_path):
    inside = f'sub-01/ses-1/anat/sub-01_ses-1{MASK}'
    t1w, t2w = inside.format('T1w'), inside.format('T2w')
    one = place(tmp_path / 'one/mrrate-defaced', t1w)
    both = [place(tmp_path / 'two/mrrate-defaced', name) for name in (t1w, t2w)]
    roots = parse_derivatives((str(tmp_path / 'one'), str(tmp_path / 'two')))
    study = Given(roots).add_to(make_study('T1w', 'T2w'))
    assert [series.given['brain-mask'] for series in study.series] == [one, both[1]]


def test_derivatives_that_are_not_there(tmp_path):
    with pytest.raises(UsageError, match='there is no folder'):
        parse_derivatives((f'mrrate-defaced={tmp_path}/none',))
