"""Small folders of results: receipts and sidecars as a run leaves them, without images."""

from pathlib import Path

from mrrate_bids.app.ledger import HOME
from mrrate_bids.descriptions import format_json
from mrrate_bids.files import write_text
from mrrate_bids.naming import KINDS, derived_name
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import Output, Receipt, Receipts
from mrrate_bids.sidecars import sidecar_path
from mrrate_bids.tables import format_tsv

REGISTERED = {'Sharpness': 4.5, 'BrainCovered': 0.99, 'Start': 'centres of mass'}


def image_of(study, name='T1w'):
    return f'{study}/anat/{study.replace("/", "_")}_{name}.nii.gz'


def write_result(out, image, kind, quality=None, **more):
    """Write the sidecar of a result; return its line in the receipt."""
    folder, _, name = image.rpartition('/')
    stem, _, suffix = name.removesuffix('.nii.gz').rpartition('_')
    inside = f'{KINDS[kind].dataset}/{folder}/{derived_name(KINDS[kind], stem, suffix)}'
    content = more | ({} if quality is None else {'QualityControl': quality})
    write_text(out / sidecar_path(inside), format_json(content))
    return Output(inside, 1, None, kind, image)


def write_receipt(out, study, outputs, state='complete', problems=()):
    told = [Problem('error', text, study=study).to_dict() for text in problems]
    patient = study.partition('/')[0]
    receipt = Receipt(patient, study, 'run', state, outputs=list(outputs), problems=told)
    Receipts(out, out / HOME).save(receipt)


def write_study(out, study, sharpness=4.5, *, suffix='T2w', **more):
    """Write a study of one image that is registered."""
    image = image_of(study, suffix)
    result = write_result(out, image, 'coreg-transform', REGISTERED | {'Sharpness': sharpness})
    write_receipt(out, study, [result], **more)
    return image


def write_problems(out, *problems):
    """Write what a run says of studies that it sets aside before anything is computed."""
    rows = [Problem('error', text, study=study).row() for study, text in problems]
    write_text(out / HOME / 'problems.tsv', format_tsv(Problem.columns(), rows))


def write_raw(bids: Path, *, scanner=None, **images):
    """Write a raw dataset: what holds for all images, and sidecars by path of the image."""
    write_text(bids / 'dataset_description.json', format_json({'Name': 'Raw'}))
    if scanner is not None:
        write_text(bids / 'T2w.json', format_json(scanner))
    for image, content in images.items():
        write_text(bids / sidecar_path(image), format_json(content))
    return bids
