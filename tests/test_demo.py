import ast
import csv
import gzip
import hashlib
import io
import re
from zipfile import ZIP_STORED, ZipFile

import nibabel as nib
import numpy as np
import pytest

from mrrate_bids.demo import build_release

FIRST, SECOND, OLD = 'K5QZ7MWB2D', 'V3NHT6RYPC', '2END5JBWVA'
BATCH = {FIRST: 'batch00', SECOND: 'batch01', OLD: 'batch00'}
SUFFIX = {
    'MR-RATE': '',
    'MR-RATE-coreg': '_coreg',
    'MR-RATE-atlas': '_atlas',
    'MR-RATE-nvseg-ctmr': '_nvseg-ctmr',
}


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp('release')
    build_release(root, voxel=3.0)
    return root


@pytest.fixture(scope='module')
def files(release):
    """Content by path inside the study, by study, all repositories merged."""
    merged = {}
    for path in release.rglob('*.zip'):
        with ZipFile(path) as archive:
            uid = path.stem.split('_')[0]
            for info in archive.infolist():
                assert info.compress_type == ZIP_STORED
                root, _, name = info.filename.partition('/')
                assert root == uid
                repository = path.relative_to(release).parts[0]
                merged.setdefault((uid, repository), {})[name] = archive.read(info)
    return merged


@pytest.fixture(scope='module')
def rows(release):
    tables = sorted((release / 'MR-RATE' / 'metadata').glob('*.csv'))
    texts = [table.read_text(encoding='utf-8') for table in tables]
    return [row for text in texts for row in csv.DictReader(io.StringIO(text, newline=''))]


def image(data):
    return nib.Nifti1Image.from_bytes(gzip.decompress(data))


def series_of(rows, uid):
    return [row['series_id'] for row in rows if row['study_uid'] == uid]


def matrix(data):
    """4x4 RAS+ matrix from fixed points to moving points of an ITK MatlabV4 file."""
    from scipy.io import loadmat

    content = loadmat(io.BytesIO(data))
    parameters = content['AffineTransform_double_3_3'].ravel()
    centre = content['fixed'].ravel()
    turn = parameters[:9].reshape(3, 3)
    lps = np.eye(4)
    lps[:3, :3] = turn
    lps[:3, 3] = parameters[9:] + centre - turn @ centre
    flip = np.diag([-1, -1, 1, 1])
    return flip @ lps @ flip


def test_zips_are_where_the_guide_says(release):
    found = {str(p.relative_to(release)) for p in release.rglob('*.zip')}
    expected = {
        f'{repository}/mri/{BATCH[uid]}/{uid}{suffix}.zip'
        for repository, suffix in SUFFIX.items()
        for uid in BATCH
    }
    assert found == expected - {f'MR-RATE-nvseg-ctmr/mri/batch01/{SECOND}_nvseg-ctmr.zip'}
    assert all(re.fullmatch('[A-Z2-7]{10}', uid) for uid in BATCH)


def test_members_are_named_as_the_guide_says(files, rows):
    for uid in BATCH:
        centre, *moving = series_of(rows, uid)
        every = [centre, *moving]
        assert set(files[uid, 'MR-RATE']) == {
            name
            for s in every
            for name in (
                f'img/{uid}_{s}.nii.gz',
                f'seg/{uid}_{s}_brain-mask.nii.gz',
                f'seg/{uid}_{s}_defacing-mask.nii.gz',
            )
        }
        assert set(files[uid, 'MR-RATE-coreg']) == {
            f'coreg_img/{uid}_{centre}.nii.gz',
            f'coreg_seg/{uid}_{centre}_brain-mask.nii.gz',
            f'coreg_seg/{uid}_{centre}_defacing-mask.nii.gz',
            *(f'coreg_img/{uid}_coreg_{s}.nii.gz' for s in moving),
            *(f'transform/M_coreg_{s}.mat' for s in moving),
        }
        assert set(files[uid, 'MR-RATE-atlas']) == {
            *(f'atlas_img/{uid}_atlas_{s}.nii.gz' for s in every),
            f'atlas_seg/{uid}_atlas_{centre}_brain-mask.nii.gz',
            f'atlas_seg/{uid}_atlas_{centre}_defacing-mask.nii.gz',
            f'transform/M_atlas_{centre}.mat',
        }
        if uid != SECOND:
            assert set(files[uid, 'MR-RATE-nvseg-ctmr']) == {
                f'seg/{uid}_{centre}_nvseg-ctmr-brain.nii.gz',
                *(f'seg/{uid}_{s}_nvseg-ctmr-wb.nii.gz' for s in every),
            }


def test_all_modalities_planes_and_orientations_occur(files, rows):
    assert {row['classified_modality'] for row in rows} == {'T1w', 'T2w', 'FLAIR', 'SWI', 'MRA'}
    planes = {'AXIAL': 'S', 'SAGITTAL': 'R', 'CORONAL': 'A'}
    assert {row['acquisition_plane'] for row in rows} == {*planes, 'OBLIQUE'}
    codes = set()
    for row in rows:
        name = f'img/{row["study_uid"]}_{row["series_id"]}.nii.gz'
        native = image(files[row['study_uid'], 'MR-RATE'][name])
        codes.add(''.join(nib.aff2axcodes(native.affine)))
        slices = np.argmax(native.header.get_zooms())
        normal = native.affine[:3, slices] / native.header.get_zooms()[slices]
        # The rule of the release: oblique when no component of the normal reaches 0.9.
        oblique = np.abs(normal).max() < 0.9
        if native.header.get_zooms()[slices] > 4:
            assert oblique == (row['acquisition_plane'] == 'OBLIQUE')
        if not oblique and native.header.get_zooms()[slices] > 4:
            axis = nib.aff2axcodes(native.affine)[slices]
            assert {'L': 'R', 'P': 'A', 'I': 'S'}.get(axis, axis) == planes[
                row['acquisition_plane']
            ]
    assert codes >= {'RAS', 'LAS', 'PSR', 'LIA', 'SLA'}
    assert 't1w-raw-axi-2' in series_of(rows, FIRST)


def test_images_and_masks_obey_the_release_rules(files, rows):
    dtypes = set()
    for row in rows:
        uid, series = row['study_uid'], row['series_id']
        study = files[uid, 'MR-RATE']
        native = image(study[f'img/{uid}_{series}.nii.gz'])
        brain = image(study[f'seg/{uid}_{series}_brain-mask.nii.gz'])
        kept = image(study[f'seg/{uid}_{series}_defacing-mask.nii.gz'])
        dtypes.add(str(native.get_data_dtype()))
        assert min(native.shape) >= 16
        fov = np.array(native.shape) * native.header.get_zooms()
        assert 139.99 < fov.min() < fov.max() <= 350
        assert native.header['qform_code'] == native.header['sform_code'] == 1
        assert np.allclose(native.get_qform(), native.get_sform(), atol=1e-3)
        assert np.allclose(ast.literal_eval(row['array_shape']), native.shape)
        assert np.allclose(
            ast.literal_eval(row['array_spacing_mm']), native.header.get_zooms(), atol=1e-3
        )
        data, b, k = (np.asanyarray(x.dataobj) for x in (native, brain, kept))
        assert b.dtype == k.dtype == np.uint8
        assert set(np.unique(b)) == set(np.unique(k)) == {0, 1}
        assert not b[k == 0].any(), 'brain was cut'
        assert not data[k == 0].any(), 'face was left'
        assert data[b == 1].mean() > 3 * data[(b == 0) & (k == 1)].min()
    assert dtypes == {'uint16', 'float32'}


def test_defacing_removes_the_face_and_nothing_above_it(files):
    study = files[FIRST, 'MR-RATE']
    kept = image(study[f'seg/{FIRST}_t1w-raw-sag_defacing-mask.nii.gz'])
    to_atlas = matrix(files[FIRST, 'MR-RATE-atlas']['transform/M_atlas_t1w-raw-sag.mat'])
    voxel = np.linalg.inv(kept.affine) @ to_atlas
    data = np.asanyarray(kept.dataobj)

    def at(point):
        return data[tuple(np.rint(voxel @ [*point, 1]).astype(int)[:3])]

    assert [at(p) for p in ((32, 64, -36), (-32, 64, -36), (0, 98, -58), (0, 80, -110))] == [0] * 4
    assert [at(p) for p in ((0, 0, 0), (0, 72, 30), (0, -45, -68), (0, -100, -60))] == [1] * 4


def test_the_centre_is_copied_byte_for_byte(files, rows):
    for uid in BATCH:
        centre = series_of(rows, uid)[0]
        native, coreg = files[uid, 'MR-RATE'], files[uid, 'MR-RATE-coreg']
        assert coreg[f'coreg_img/{uid}_{centre}.nii.gz'] == native[f'img/{uid}_{centre}.nii.gz']
        for mask in ('brain', 'defacing'):
            name = f'seg/{uid}_{centre}_{mask}-mask.nii.gz'
            assert coreg[f'coreg_{name}'] == native[name]


def test_transforms_map_the_coreg_grid_to_the_native_image(files, rows):
    from scipy.ndimage import map_coordinates

    for uid in BATCH:
        for series in series_of(rows, uid)[1:]:
            native = image(files[uid, 'MR-RATE'][f'img/{uid}_{series}.nii.gz'])
            name = f'coreg_img/{uid}_coreg_{series}.nii.gz'
            coreg = image(files[uid, 'MR-RATE-coreg'][name])
            assert coreg.get_data_dtype() == np.float32
            move = matrix(files[uid, 'MR-RATE-coreg'][f'transform/M_coreg_{series}.mat'])
            assert 0.5 < np.linalg.norm((move - np.eye(4)) @ [0, 40, 40, 1]) < 15
            points = np.indices(coreg.shape)[:, ::5, ::5, ::5].reshape(3, -1)
            points = np.vstack([points, np.ones(points.shape[1])])
            there = np.linalg.inv(native.affine) @ move @ coreg.affine @ points
            expected = map_coordinates(native.get_fdata(), there[:3], order=1)
            found = coreg.get_fdata()[:, :, :][::5, ::5, ::5].ravel()
            assert np.abs(found - expected).max() <= 0.51
            assert np.count_nonzero(found) > 0.2 * found.size


def test_transforms_align_the_brains(files, rows):
    """The masks come from the head, not from the transforms, so this is an independent check."""
    from scipy.ndimage import map_coordinates

    for uid in BATCH:
        centre, *moving = series_of(rows, uid)
        fixed = image(files[uid, 'MR-RATE'][f'seg/{uid}_{centre}_brain-mask.nii.gz'])
        points = np.argwhere(fixed.get_fdata() > 0).T
        points = np.vstack([points, np.ones(points.shape[1])])
        for series in moving:
            name = f'seg/{uid}_{series}_brain-mask.nii.gz'
            mask = image(files[uid, 'MR-RATE'][name])
            move = matrix(files[uid, 'MR-RATE-coreg'][f'transform/M_coreg_{series}.mat'])
            there = (np.linalg.inv(mask.affine) @ move @ fixed.affine @ points)[:3]
            shape = np.array(mask.shape)[:, None]
            seen = ((there > 0.5) & (there < shape - 1.5)).all(0)
            hit = map_coordinates(mask.get_fdata(), there[:, seen], order=0)
            assert seen.mean() > 0.7
            assert hit.mean() > 0.95, (uid, series)


def test_atlas_files_share_its_grid_and_hold_the_brain(files, rows):
    for uid in BATCH:
        atlas = files[uid, 'MR-RATE-atlas']
        images = {name: image(data) for name, data in atlas.items() if name.endswith('.nii.gz')}
        for name, found in images.items():
            assert np.allclose(found.affine[:3, 3], (-96, -132, -78))
            assert found.get_data_dtype() == (np.float32 if 'img' in name else np.uint8)
        assert len({found.shape for found in images.values()}) == 1
        centre = series_of(rows, uid)[0]
        mask = images[f'atlas_seg/{uid}_atlas_{centre}_brain-mask.nii.gz']
        middle = mask.affine @ [*np.argwhere(mask.get_fdata() > 0).mean(0), 1]
        assert np.linalg.norm(middle[:3] - [0, -18, 8]) < 8


def test_the_atlas_grid_is_the_published_one():
    from mrrate_bids.demo import _atlas_grid

    assert _atlas_grid(1.0).shape == (193, 229, 193)
    assert _atlas_grid(1.0).affine.tolist() == [
        [1, 0, 0, -96],
        [0, 1, 0, -132],
        [0, 0, 1, -78],
        [0, 0, 0, 1],
    ]


def test_nitransforms_reads_the_transforms(files, tmp_path):
    itk = pytest.importorskip('nitransforms.linear')
    data = files[FIRST, 'MR-RATE-coreg']['transform/M_coreg_t2w-raw-axi.mat']
    path = tmp_path / 'm.mat'
    path.write_bytes(data)
    assert np.allclose(itk.load(path, fmt='itk').matrix, matrix(data), atol=1e-5)


def test_segmentations_lie_on_their_image(files, rows):
    for uid in (FIRST, OLD):
        for series in series_of(rows, uid):
            body = image(
                files[uid, 'MR-RATE-nvseg-ctmr'][f'seg/{uid}_{series}_nvseg-ctmr-wb.nii.gz']
            )
            mask = image(files[uid, 'MR-RATE'][f'seg/{uid}_{series}_brain-mask.nii.gz'])
            assert np.allclose(body.affine, mask.affine)
            both = (body.get_fdata() == 22) & (mask.get_fdata() == 1)
            assert both.sum() > 0.9 * (mask.get_fdata() == 1).sum()
        centre = series_of(rows, uid)[0]
        name = f'seg/{uid}_{centre}_nvseg-ctmr-brain.nii.gz'
        labels = image(files[uid, 'MR-RATE-nvseg-ctmr'][name]).get_fdata()
        assert set(np.unique(labels)) - {0} <= set(range(214, 346))
        assert len(np.unique(labels)) > 40


def test_metadata_is_spelt_as_published(release, rows):
    text = (release / 'MR-RATE/metadata/batch00_metadata.csv').read_bytes()
    assert b'\r' not in text
    header = text.decode().split('\n')[0].split(',')
    assert header[:4] == ['patient_uid', 'study_uid', 'series_id', 'classified_modality']
    assert header[-1] == "Manufacturer'sModelName"
    more = (release / 'MR-RATE/metadata/batch01_metadata.csv').read_text().split('\n')[0]
    assert more.split(',')[: len(header)] == header
    extra = more.split(',')[len(header) :]
    assert extra == sorted(extra)
    assert len(extra) >= 4
    assert {row['is_derived'] for row in rows} == {'False'}
    for uid in BATCH:
        centres = [
            row for row in rows if row['study_uid'] == uid and row['is_center_modality'] == 'True'
        ]
        assert [row['series_id'] for row in centres] == series_of(rows, uid)[:1]
    assert {row["Patient'sAge"] for row in rows} == {'037Y', '038Y', '091Y'}
    assert {row['patient_uid'] for row in rows if row['study_uid'] in (FIRST, SECOND)} == {'10482'}


def test_the_tables_are_those_pandas_would_write(release):
    import pandas as pd

    tables = list((release / 'MR-RATE').rglob('*.csv'))
    assert len(tables) == 6
    for path in tables:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert frame.to_csv(index=False).encode() == path.read_bytes(), path.name


def test_reports_labels_and_splits(release):
    def read(name):
        with (release / 'MR-RATE' / name).open(encoding='utf-8', newline='') as file:
            return list(csv.DictReader(file))

    reports = read('reports/batch00_reports.csv') + read('reports/batch01_reports.csv')
    assert {row['study_uid'] for row in reports} == {FIRST, SECOND}
    text = reports[0]['report']
    assert '\n' in text
    assert '"' in text
    assert '—' in text
    assert '[date_1]' in text
    assert all(reports[0][part] in text for part in ('technique', 'findings', 'impression'))
    labels = read('pathology_labels/mrrate_labels.csv')
    assert {row['study_uid'] for row in labels} == {FIRST, SECOND}
    assert len(labels[0]) == 33
    assert sum(value == '1' for value in labels[0].values()) == 1
    splits = read('splits.csv')
    assert [row['batch_id'] for row in splits if row['patient_uid'] == '10482'] == ['batch00'] * 2
    assert {row['split'] for row in splits} == {'train', 'test'}


def test_the_same_arguments_give_the_same_bytes(release, tmp_path):
    build_release(tmp_path, voxel=3.0)

    def digest(root):
        return {
            str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in root.rglob('*')
            if p.is_file()
        }

    assert digest(tmp_path) == digest(release)


def test_gzip_headers_carry_no_time_and_no_name(files):
    for members in files.values():
        for name, data in members.items():
            if name.endswith('.nii.gz'):
                assert data[:4] == b'\x1f\x8b\x08\x00'
                assert data[4:8] == bytes(4)
