"""A plan follows from the tables and the listing alone."""

import random

import pytest
from makers import COLUMNS, make_release, make_zip, series_row, study_members

from mrrate_bids.archives import Listing, Member, Place, list_place
from mrrate_bids.catalog import Study, open_release
from mrrate_bids.naming import INCLUDES, KINDS
from mrrate_bids.plan import plan_study
from mrrate_bids.tables import Record

SERIES = ['t1w-raw-sag', 't2w-raw-axi', 'flair-raw-axi-2']
CENTRE, MOVING = SERIES[0], SERIES[1:]
ALL = {(series, group) for series in SERIES for group in INCLUDES}


def _study(series=SERIES, *, centre=CENTRE, more=(), **cells):
    rows = [series_row('P', 'S', s, centre=s == centre, **cells) for s in series]
    rows += more
    header = list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    records = [
        Record(number, [row.get(name, '') for name in header]) for number, row in enumerate(rows)
    ]
    return Study('batch00', 'P', 'S', header, records)


def _row(series_id, **cells):
    return dict.fromkeys(COLUMNS, '') | {'study_uid': 'S', 'series_id': series_id} | cells


def _listing(tmp_path, series=SERIES, *, without=(), refused=(), centre=CENTRE):
    members = {}
    for repository, files in study_members('S', series, centre=centre).items():
        for name, data in files.items():
            if name not in without and repository != 'MR-RATE-vista-seg':
                number = len(members) * 10_000
                members[name] = Member(tmp_path / 'S.zip', name, len(data), number, hash(data))
    return Listing(list(members.values()), list(refused))


def _plan(tmp_path, study=None, *, listings=None, wanted=ALL, link='auto', **more):
    listings = [_listing(tmp_path, **more)] if listings is None else listings
    return plan_study(study or _study(), listings, wanted=wanted, link=link)


def _kinds(plan, series):
    return [row.kind.name for row in plan.rows if row.series == series]


def test_everything_of_a_whole_study(tmp_path):
    plan = _plan(tmp_path)
    assert not plan.problems
    assert not plan.set_aside
    assert plan.centre == CENTRE
    assert plan.here == {'MR-RATE', 'MR-RATE-coreg', 'MR-RATE-atlas', 'MR-RATE-nvseg-ctmr'}
    known = KINDS.keys() - {'vista-seg'}
    assert set(_kinds(plan, CENTRE)) == known - {'coreg-transform'}
    for series in MOVING:
        each = {name for name in known if KINDS[name].scope == 'each'}
        assert set(_kinds(plan, series)) == each | {'coreg-transform'}
    assert len(plan.targets) == len(plan.rows)
    assert {row.member.name for row in plan.rows} == {m.name for m in _listing(tmp_path).members}


def test_images_come_before_what_is_drawn_on_them_and_the_centre_first(tmp_path):
    order = [(row.kind.name, row.series) for row in _plan(tmp_path).rows]
    for kind, series in order:
        grid = KINDS[kind].grid
        if grid:
            reference = (grid, series if grid == 'image' else CENTRE)
            assert order.index(reference) <= order.index((kind, series))
    assert next(series for kind, series in order if kind == 'image') == CENTRE


def test_order_of_the_listing_does_not_matter(tmp_path):
    listing = _listing(tmp_path)
    shuffled = random.Random(1).sample(listing.members, len(listing.members))
    plan = _plan(tmp_path, listings=[Listing(shuffled, [])])
    assert plan.rows == _plan(tmp_path).rows


def test_first_listing_is_trusted_most(tmp_path):
    listing = _listing(tmp_path)
    other = [m._replace(path=tmp_path / 'other') for m in listing.members]
    plan = _plan(tmp_path, listings=[listing, Listing(other, [])])
    assert {row.member.path for row in plan.rows} == {tmp_path / 'S.zip'}
    half = len(other) // 2
    plan = _plan(tmp_path, listings=[Listing(listing.members[:half], []), Listing(other, [])])
    assert {row.member.path for row in plan.rows} == {tmp_path / 'S.zip', tmp_path / 'other'}
    assert not plan.problems


@pytest.mark.parametrize('group', INCLUDES)
def test_only_the_group_that_is_wanted(tmp_path, group):
    plan = _plan(tmp_path, wanted={(CENTRE, group)})
    assert {row.kind.include for row in plan.rows} == {group}
    assert {row.series for row in plan.rows} == {CENTRE}
    assert not plan.problems


@pytest.mark.parametrize('group', ['coreg', 'atlas'])
def test_a_space_comes_with_the_series_that_defines_it(tmp_path, group):
    plan = _plan(tmp_path, wanted={(MOVING[0], group)})
    assert {row.series for row in plan.rows} == {CENTRE, MOVING[0]}
    plan = _plan(tmp_path, wanted={(MOVING[0], 'raw')})
    assert {row.series for row in plan.rows} == {MOVING[0]}


def test_nothing_wanted(tmp_path):
    assert not _plan(tmp_path, wanted=set()).rows


@pytest.mark.parametrize(
    ('link', 'offset', 'packed', 'action'),
    [
        ('auto', 0, -1, 'copy'),
        ('symlink', 0, -1, 'copy'),
        ('auto', 0, 99, 'inflate'),
        ('auto', -1, -1, 'link'),
        ('copy', -1, -1, 'copy'),
        ('hardlink', -1, -1, 'hardlink'),
        ('symlink', -1, -1, 'symlink'),
    ],
)
def test_action(tmp_path, link, offset, packed, action):
    member = Member(tmp_path, f'img/S_{CENTRE}.nii.gz', 9, offset, None, packed)
    plan = _plan(tmp_path, listings=[Listing([member], [])], wanted={(CENTRE, 'raw')}, link=link)
    assert [row.action for row in plan.rows] == [action]


def test_centre_shares_the_bytes_that_the_release_holds_twice(tmp_path):
    twins = {row.kind.name: row.twin for row in _plan(tmp_path).rows if row.twin}
    plan = _plan(tmp_path)
    assert twins == {
        f'coreg-{name}': plan.path(name, CENTRE)
        for name in ('image', 'brain-mask', 'defacing-mask')
    }
    assert not any(row.twin for row in _plan(tmp_path, link='copy').rows)
    assert not any(row.twin for row in _plan(tmp_path, wanted={(CENTRE, 'coreg')}).rows)


@pytest.mark.parametrize('change', [{'crc': 1}, {'size': 1}])
def test_other_bytes_are_not_shared(tmp_path, change):
    listing = _listing(tmp_path)
    name = f'coreg_img/S_{CENTRE}.nii.gz'
    members = [m._replace(**change) if m.name == name else m for m in listing.members]
    plan = _plan(tmp_path, listings=[Listing(members, [])])
    assert 'coreg-image' not in {row.kind.name for row in plan.rows if row.twin}


def _complaints(plan):
    return [(p.severity, p.series, p.file) for p in plan.problems]


@pytest.mark.parametrize(
    'name',
    [
        f'img/S_{MOVING[0]}.nii.gz',
        f'seg/S_{MOVING[0]}_brain-mask.nii.gz',
        f'coreg_img/S_coreg_{MOVING[0]}.nii.gz',
        f'transform/M_coreg_{MOVING[0]}.mat',
        f'atlas_img/S_atlas_{MOVING[0]}.nii.gz',
    ],
)
def test_missing_file_is_named(tmp_path, name):
    plan = _plan(tmp_path, without={name})
    assert _complaints(plan) == [('error', MOVING[0], name)]
    assert 'is missing' in plan.problems[0].message
    assert name not in {row.member.name for row in plan.rows}


def test_missing_segmentation_is_no_defect(tmp_path):
    name = f'seg/S_{CENTRE}_nvseg-ctmr-brain.nii.gz'
    assert not _plan(tmp_path, without={name}).problems


def test_repository_that_is_not_here_is_no_defect(tmp_path):
    keep = [m for m in _listing(tmp_path).members if m.name.startswith(('img', 'seg'))]
    keep = [m for m in keep if 'nvseg' not in m.name]
    plan = _plan(tmp_path, listings=[Listing(keep, [])])
    assert not plan.problems
    assert plan.here == {'MR-RATE'}


@pytest.mark.parametrize(
    ('name', 'severity', 'message'),
    [
        ('img/S_mra-raw-axi.nii.gz', 'error', 'has no row in the metadata'),
        ('img/T_t1w-raw-sag.nii.gz', 'warning', 'is no file of a release'),
        ('img/notes.txt', 'warning', 'is no file of a release'),
        (f'transform/M_coreg_{CENTRE}.mat', 'error', 'is a moving series'),
        (f'transform/M_atlas_{MOVING[0]}.mat', 'error', 'is the centre'),
        (f'coreg_img/S_{MOVING[0]}.nii.gz', 'error', 'is the centre'),
    ],
)
def test_file_that_no_row_stands_for_is_named(tmp_path, name, severity, message):
    listing = _listing(tmp_path)
    extra = Member(tmp_path / 'S.zip', name, 9, 10**6, 0)
    plan = _plan(tmp_path, listings=[Listing([*listing.members, extra], [])])
    ((problem),) = plan.problems
    assert (problem.severity, problem.file) == (severity, name)
    assert message in problem.message
    assert problem.remedy


def test_files_of_series_that_are_not_wanted_are_no_defect(tmp_path):
    assert not _plan(tmp_path, wanted={(CENTRE, 'raw')}).problems


def test_refused_members_are_named(tmp_path):
    plan = _plan(tmp_path, refused=[('../a', 'it leads out')])
    assert '../a was refused: it leads out' in plan.problems[0].message
    assert plan.problems[0].severity == 'error'


@pytest.mark.parametrize(
    ('marks', 'message'),
    [(['False', 'False', 'False'], 'no centre series'), (['True', 'TRUE', ''], '2 centre series')],
)
def test_without_one_centre_its_spaces_are_left_out(tmp_path, marks, message):
    study = _study()
    position = study.header.index('is_center_modality')
    for record, mark in zip(study.rows, marks, strict=True):
        record.cells[position] = mark
    plan = _plan(tmp_path, study)
    assert plan.centre == ''
    assert any(message in p.message and p.severity == 'error' for p in plan.problems)
    assert {row.kind.include for row in plan.rows} == {'raw', 'defaced', 'seg'}


@pytest.mark.parametrize('mark', ['True', 'true', ' TRUE ', '1'])
def test_spellings_of_the_centre(tmp_path, mark):
    study = _study()
    study.rows[0].cells[study.header.index('is_center_modality')] = mark
    assert _plan(tmp_path, study).centre == CENTRE


@pytest.mark.parametrize('series_id', ['dwi-raw-axi', 't1w-raw-axi-1', ''])
def test_series_outside_the_naming_table_is_set_aside(tmp_path, series_id):
    plan = _plan(tmp_path, _study(more=[_row(series_id)]))
    assert [record.number for record in plan.set_aside] == [3]
    assert [p.series for p in plan.problems] == [series_id]
    assert len(plan.series) == 3


def test_equal_rows_are_taken_once(tmp_path):
    more = [series_row('P', 'S', MOVING[0], centre=False)]
    plan = _plan(tmp_path, _study(more=more))
    assert [record.number for record in plan.set_aside] == [3]
    assert '2 equal rows' in plan.problems[0].message
    assert MOVING[0] in plan.series


@pytest.mark.parametrize('count', [1, 2])
def test_rows_that_differ_leave_the_series_out(tmp_path, count):
    more = [series_row('P', 'S', MOVING[0], centre=False, TE_ms=str(n)) for n in range(count)]
    plan = _plan(tmp_path, _study(more=more))
    assert sorted(record.number for record in plan.set_aside) == [1, *range(3, 3 + count)]
    assert any('differ' in p.message for p in plan.problems)
    assert MOVING[0] not in plan.series
    assert not _kinds(plan, MOVING[0])


@pytest.mark.parametrize('column', ['contrast_enhanced', 'is_contrast_enhanced'])
@pytest.mark.parametrize(('cell', 'inside'), [('True', True), ('False', False), ('', False)])
def test_contrast_is_part_of_the_name(tmp_path, column, cell, inside):
    plan = _plan(tmp_path, _study(**{column: cell}))
    assert all(('_ce-gadolinium' in row.target) == inside for row in plan.rows)


def test_plan_of_a_release_on_disk(tmp_path):
    make_release(tmp_path, [{'batch': 'batch00', 'patient': 'P', 'study': 'S', 'series': SERIES}])
    (study,) = open_release(tmp_path).read_batch('batch00').studies
    plan = plan_study(study, map(list_place, study.places), wanted=ALL, link='auto')
    assert not plan.problems
    each = sum(kind.scope == 'each' for kind in KINDS.values())
    centre = sum(kind.scope == 'centre' for kind in KINDS.values())
    assert len(plan.rows) == 3 * each + centre + 2


def test_place_with_nothing_in_it_is_a_defect(tmp_path):
    study = _study()
    study.places = [Place(make_zip(tmp_path / 'S.zip', {'S/': b''}), 'S', True)]
    plan = _plan(tmp_path, study, listings=map(list_place, study.places))
    assert not plan.rows
    ((problem),) = plan.problems
    assert (problem.severity, problem.file) == ('error', 'S.zip')
    assert 'no file of the study' in problem.message


@pytest.mark.parametrize('only', ['seg/', 'transform/', 'coreg_seg/'])
def test_half_of_a_study_is_told_from_a_repository_that_is_not_here(tmp_path, only):
    members = [m for m in _listing(tmp_path).members if m.name.startswith(only)]
    plan = _plan(tmp_path, listings=[Listing(members, [])])
    missing = {p.file for p in plan.problems if 'is missing' in p.message}
    expected = {'seg/': 'img/S_', 'transform/': 'coreg_img/S_', 'coreg_seg/': 'coreg_img/S_'}
    assert any(name.startswith(expected[only]) for name in missing)
    assert {kind for kind, _ in plan.missing} >= {'image' if only == 'seg/' else 'coreg-image'}


def _without_masks(tmp_path, *, folder, starts=('img/',)):
    members = [m for m in _listing(tmp_path).members if m.name.startswith(starts)]
    if folder:
        members = [m._replace(path=tmp_path / m.name, offset=-1, crc=None) for m in members]
    return _plan(tmp_path, listings=[Listing(members, [])])


@pytest.mark.parametrize('folder', [True, False])
def test_study_published_without_masks_is_one_warning(tmp_path, folder):
    plan = _without_masks(tmp_path, folder=folder)
    ((problem),) = plan.problems
    assert (problem.severity, problem.check) == ('warning', 'files')
    assert 'has no brain masks' in problem.message
    assert problem.remedy
    assert {row.kind.name for row in plan.rows} == {'image'}
    assert not plan.missing


@pytest.mark.parametrize('folder', [True, False])
def test_masks_are_missing_when_one_is_there(tmp_path, folder):
    starts = ('img/', f'seg/S_{CENTRE}_defacing')
    plan = _without_masks(tmp_path, folder=folder, starts=starts)
    assert {severity for severity, _, _ in _complaints(plan)} == {'error'}
    assert len(plan.problems) == 2 * len(SERIES) - 1


@pytest.mark.parametrize('folder', [True, False])
def test_brain_mask_that_another_pipeline_drew_is_taken_and_the_others_are_no_defect(
    folder, tmp_path
):
    starts = ('img/', f'seg/S_{CENTRE}_brain')
    plan = _without_masks(tmp_path, folder=folder, starts=starts)
    ((problem),) = plan.problems
    assert problem.severity == 'warning'
    assert f'has 1 of {len(SERIES)} brain masks and no defacing masks' in problem.message
    assert [row.series for row in plan.rows if row.kind.name == 'brain-mask'] == [CENTRE]
    assert not plan.missing


def test_folder_without_masks_is_half_of_a_study_that_is_elsewhere_too(tmp_path):
    """The directory of a zip proves that there were none, a folder does not."""
    plan = _without_masks(tmp_path, folder=True, starts=('img/', 'coreg', 'transform/M_coreg'))
    assert {severity for severity, _, _ in _complaints(plan)} == {'error'}
    plan = _without_masks(tmp_path, folder=False, starts=('img/', 'coreg', 'transform/M_coreg'))
    assert [severity for severity, _, _ in _complaints(plan)] == ['warning']


def test_folder_without_masks_next_to_another_place_is_half_of_a_study(tmp_path):
    members = [m for m in _listing(tmp_path).members if m.name.startswith('img/')]
    members = [m._replace(path=tmp_path / m.name, offset=-1, crc=None) for m in members]
    study = _study()
    study.places = [Place(tmp_path / 'S', 'S', False), Place(tmp_path / 'S_coreg.zip', 'S', True)]
    plan = _plan(tmp_path, study, listings=[Listing(members, [])])
    assert {severity for severity, _, _ in _complaints(plan)} == {'error'}


def test_masks_that_were_refused_are_not_said_to_be_lacking(tmp_path):
    members = [m for m in _listing(tmp_path).members if m.name.startswith('img/')]
    refused = [(f'seg/S_{CENTRE}_brain-mask.nii.gz', 'it is encrypted')]
    plan = _plan(tmp_path, listings=[Listing(members, refused)])
    assert {severity for severity, _, _ in _complaints(plan)} == {'error'}


def test_masks_that_are_not_wanted_are_not_spoken_of(tmp_path):
    members = [m for m in _listing(tmp_path).members if m.name.startswith('img/')]
    assert not _plan(tmp_path, listings=[Listing(members, [])], wanted={(CENTRE, 'raw')}).problems
