"""All checks of one subject."""

from mrrate_bids.checks.files import check_images, check_masks, check_receipts, check_transforms
from mrrate_bids.checks.relations import check_centre, check_grids, check_references
from mrrate_bids.checks.study import Study
from mrrate_bids.checks.tables import Participants, check_scans, check_sessions
from mrrate_bids.checks.tally import Tally
from mrrate_bids.checks.tree import Tree
from mrrate_bids.errors import NamingError
from mrrate_bids.naming import StudyName
from mrrate_bids.problems import Problem
from mrrate_bids.receipts import FOLDER

__all__ = ['check_receipt_alone', 'check_subject']


def check_subject(tree: Tree, subject: str, participants: Participants, *, deep: bool) -> Tally:
    """Check a subject in every dataset.

    Parameters
    ----------
    tree
        The datasets.
    subject
        The name of its folders.
    participants
        What participants.tsv says.
    deep
        Whether to unpack every image.
    """
    tally = Tally()
    check_sessions(Study(tree, subject, '', {}, tally), participants)
    for session, files in tree.studies(subject).items():
        study = Study(tree, subject, session, files, tally)
        _load_receipts(study)
        _check_study(study, deep=deep)
        tally.studies.add(session)
    return tally


def _check_study(study: Study, *, deep: bool) -> None:
    check_receipts(study)
    check_images(study, deep=deep)
    if deep:
        check_masks(study)
    check_transforms(study)
    check_grids(study)
    check_references(study)
    check_centre(study)
    check_scans(study)


def check_receipt_alone(tree: Tree, session: str) -> Tally:
    """Check the receipts of a study that has no folder in any dataset."""
    tally = Tally()
    study = Study(tree, '', session, {}, tally)
    _load_receipts(study)
    for receipt in study.receipts:
        study.subject = StudyName(receipt.patient, receipt.study).folder.partition('/')[0]
    if any(receipt.outputs for receipt in study.receipts):
        check_receipts(study)
    return tally


def _load_receipts(study: Study) -> None:
    for batch in study.tree.receipts.get(study.session, []):
        try:
            receipt = study.tree.load_receipt(batch, study.session)
        except (NamingError, ValueError):
            receipt = None
        if receipt:
            study.receipts.append(receipt)
        else:
            name = f'{FOLDER}/receipts/{batch}/{study.session}.json'
            message = f'{name}: is damaged, or of another version of mrrate-bids'
            remedy = 'Run the export again; the study is done anew.'
            problem = Problem('error', message, remedy, batch, study.session, file=name)
            study.tally.add('receipts', '', problem)
