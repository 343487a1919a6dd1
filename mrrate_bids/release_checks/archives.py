"""Checks of zips and folders as a whole: how they are packed and named, and whether they agree.

What cannot be listed, or must not be touched, was found when the place was listed.

Source: the MR-RATE dataset guide, "Why are files zipped?", "How are studies connected across
repositories?".
"""

from collections.abc import Iterable, Iterator

from mrrate_bids.archives import Listing, Member
from mrrate_bids.errors import NamingError
from mrrate_bids.naming import NATIVE, REPOSITORIES, parse_member
from mrrate_bids.problems import Problem
from mrrate_bids.release_checks.study import Checked
from mrrate_bids.sources import Location, name_of

__all__ = ['check_places']


def check_places(study: Checked, listings: Iterable[Listing]) -> None:
    """Check the zips and folders of a study; those that could not be listed are no longer here."""
    for place in study.plan.study.places:
        study.tally.count('archives', next(_named_for(study, place.path), NATIVE))
    zips: dict[Location, list[Member]] = {}
    folders: list[Member] = []
    for listing in listings:
        for member in listing.members:
            if member.offset >= 0:
                zips.setdefault(member.path, []).append(member)
            else:
                folders.append(member)
    for path, members in zips.items():
        homes = _homes(study, members)
        _check_packing(study, path, members)
        _check_name(study, path, set(homes.values()))
        _compare(study, path, homes, folders)


def _homes(study: Checked, members: Iterable[Member]) -> dict[Member, str]:
    """Return the repository of each member that the naming table knows."""
    uid, homes = study.plan.study.study, {}
    for member in members:
        try:
            homes[member] = parse_member(uid, member.name).kind.repository
        except NamingError:
            continue  # the plan names it
    return homes


def _find(
    study: Checked, path: Location, message: str, remedy: str, *, severity: str = 'error'
) -> None:
    where = {'batch': study.plan.study.batch, 'study': study.plan.study.study}
    problem = Problem(severity, f'{name_of(path)}: {message}', remedy, file=str(path), **where)
    home = next(_named_for(study, path), NATIVE)
    study.tally.add('archives', home, problem)


def _named_for(study: Checked, path: Location) -> Iterator[str]:
    """Yield the repository whose zips are called like this one."""
    for repository, pattern in REPOSITORIES.items():
        if name_of(path) == pattern.format(study=study.plan.study.study):
            yield repository


def _check_packing(study: Checked, path: Location, members: list[Member]) -> None:
    packed = [member.name for member in members if member.packed >= 0]
    if packed:
        message = f'{len(packed)} of {len(members)} members are deflated, as {packed[0]}'
        remedy = 'Zip the study again with the method STORED; images are packed already.'
        _find(study, path, message, remedy, severity='warning')


def _check_name(study: Checked, path: Location, homes: set[str]) -> None:
    uid = study.plan.study.study
    names = [REPOSITORIES[home].format(study=uid) for home in sorted(homes)]
    if names and name_of(path) not in names:
        message = f'holds files of {" and ".join(sorted(homes))}, whose zip is called {names[0]}'
        _find(study, path, message, f'Rename it to {names[0]}.', severity='warning')


def _compare(
    study: Checked, path: Location, homes: dict[Member, str], folders: list[Member]
) -> None:
    """Compare a zip with what was extracted of the same repository."""
    extracted = {member.name: member for member in folders}
    begun = {home for member, home in homes.items() if member.name in extracted}
    inside = [member for member, home in homes.items() if home in begun]
    missing = [member.name for member in inside if member.name not in extracted]
    others = [
        member.name
        for member in inside
        if member.name in extracted and extracted[member.name].size != member.size
    ]
    if not missing and not others:
        return
    reasons = [f'lacks {len(missing)} of its files, as {missing[0]}'] if missing else []
    reasons += [f'has another size of {len(others)}, as {others[0]}'] if others else []
    message = f'the extracted folder {" and ".join(reasons)}'
    _find(study, path, message, 'Delete the folder, or extract the zip again.')
