"""A small MR-RATE release of simulated heads, to try every command on."""

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mrrate_bids.atlas_grid import ATLAS_ORIGIN, ATLAS_SHAPE
from mrrate_bids.demo_release import Subject, prepare, scan_study, study_files
from mrrate_bids.demo_studies import Patient, patients, studies
from mrrate_bids.demo_tables import metadata_row, write_tables
from mrrate_bids.naming import NATIVE, REPOSITORIES
from mrrate_bids.phantom import build_head
from mrrate_bids.phantom_scan import Volume
from mrrate_bids.zips import write_study_zip

__all__ = ['build_release']


def build_release(root: Path, *, seed: int = 2026, voxel: float = 1.0) -> None:
    """Write a release of two patients with three studies.

    The same arguments give the same bytes.

    Parameters
    ----------
    root
        Folder that will hold ``MR-RATE``, ``MR-RATE-coreg``, ``MR-RATE-atlas`` and
        ``MR-RATE-nvseg-ctmr``.
    seed
        Which heads, motions and noise.
    voxel
        1 for the resolution of clinical scans; larger is coarser and faster. Above 1 the atlas
        grid is coarser, too.
    """
    atlas = _atlas_grid(voxel)
    rows = []
    # The work is in scipy and zlib, which let go of the interpreter; two threads halve the time.
    with ThreadPoolExecutor(2) as pool:
        subjects = _subjects(pool, seed=seed, voxel=voxel)
        for study in studies():
            subject = subjects[study.patient]
            scans = scan_study(study, subject, seed=seed, voxel=voxel, pool=pool)
            files = study_files(study, scans, subject, atlas=atlas, pool=pool)
            for repository, members in files.items():
                name = REPOSITORIES[repository].format(study=study.uid)
                target = root / repository / 'mri' / study.batch / name
                write_study_zip(target, study.uid, members)
            rows += [
                metadata_row(study, scan.series, scan.volume, centre=scan is scans[0])
                for scan in scans
            ]
    write_tables(root / NATIVE, rows)


def _subjects(pool: Executor, *, seed: int, voxel: float) -> dict[str, Subject]:
    """Return the head of every patient by ``patient_uid``."""

    def build(patient: Patient) -> Subject:
        head = build_head(
            voxel=max(1.0, min(voxel, 2.0)),
            seed=seed + int(patient.uid),
            atrophy=patient.atrophy,
            lesions=patient.lesions,
        )
        return prepare(patient, head)

    uids = [patient.uid for patient in patients()]
    return dict(zip(uids, pool.map(build, patients()), strict=True))


def _atlas_grid(voxel: float) -> Volume:
    """Return the grid of the atlas, or a coarser one that covers the same box."""
    step = max(voxel, 1.0)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = ATLAS_ORIGIN
    i, j, k = (int(np.ceil(n / step)) for n in ATLAS_SHAPE)
    return Volume((i, j, k), affine)
