"""The methods of a study in sentences, from what its results say of themselves."""

from functools import cache
from typing import Any, NamedTuple

from mrrate_bids.app.options import Options
from mrrate_bids.reports.facts import COMPUTED_NOW, EARLIER, OUTDATED, Result, StudyFacts
from mrrate_bids.reports.measures import is_number
from mrrate_bids.templates import read_toml

__all__ = ['Methods', 'describe_methods']

_OURS = {COMPUTED_NOW, EARLIER, OUTDATED}


class Methods(NamedTuple):
    """Sentences, and what they cite."""

    paragraphs: list[str]
    references: list[str]


@cache
def _texts() -> Any:
    return read_toml('report_methods.toml')


def describe_methods(facts: StudyFacts, options: Options) -> Methods:
    """Return how the results of a study were made.

    Parameters
    ----------
    facts
        The study.
    options
        Of the run: what the results do not say themselves.
    """
    steps = {
        'mask': _masks(facts),
        'deface': _deface(facts),
        'coreg': _coreg(facts),
        'atlas': _atlas(facts, options),
        'seg': _segmentation(facts),
        'anatref': _anatref(facts),
    }
    used = [step for step, sentences in steps.items() if sentences]
    tools = [tool.name for dataset in facts.tools.values() for tool in dataset]
    cited = [name for name in _texts()['references'] if name in {*tools, *used, 'run'}]
    return Methods(
        [' '.join(steps[step]) for step in used],
        [_texts()['references'][name] for name in cited if used],
    )


def _say(step: str, sentence: str = 'text', **words: Any) -> str:
    return str(_texts()['steps'][step][sentence]).format(**words)


def _found(facts: StudyFacts, kind: str) -> list[Result]:
    return [result for _, result in facts.results if result.kind == kind]


def _ours(facts: StudyFacts, *kinds: str) -> list[Result]:
    return [one for kind in kinds for one in _found(facts, kind) if one.origin in _OURS]


def _count(results: list[Result], noun: str = 'series') -> str:
    return f'{len(results)} {noun}'


def _masks(facts: StudyFacts) -> list[str]:
    ours = _ours(facts, 'brain-mask')
    carried = [mask for mask in ours if mask.is_carried]
    tools = _tools(facts, 'mrrate-defaced', 'Brain masks')
    drawn = [mask for mask in ours if not mask.is_carried] if tools else []
    given = [mask for mask in _found(facts, 'brain-mask') if mask not in [*carried, *drawn]]
    groups = {'found': drawn, 'carried': carried, 'given': given}
    counts = {name: _count(masks) for name, masks in groups.items()}
    return [_say('mask', name, tools=tools, **counts) for name, masks in groups.items() if masks]


def _tools(facts: StudyFacts, dataset: str, description: str = '') -> str:
    """Return the tools of a dataset with their versions, those with a description where asked."""
    tools = facts.tools.get(dataset, ())
    names = [str(t) for t in tools if not description or t.description == description]
    return ', '.join(names)


def _deface(facts: StudyFacts) -> list[str]:
    for result in _ours(facts, 'defacing-mask'):
        parameters = result.sidecar.get('Parameters')
        buffer = parameters.get('BufferMm') if isinstance(parameters, dict) else None
        if is_number(buffer):
            return [_say('deface', buffer=f'{buffer:g}')]
    return []


def _registration(results: list[Result]) -> dict[str, Any]:
    """Return what the first of some transforms says of itself."""
    said = results[0].sidecar
    words = {'software': 'Software', 'preset': 'Preset', 'seed': 'RandomSeed'}
    found = {word: said.get(key) for word, key in words.items()}
    return {w: f if isinstance(f, str | int) else 'unknown' for w, f in found.items()}


def _coreg(facts: StudyFacts) -> list[str]:
    if not (made := _ours(facts, 'coreg-transform')):
        return []
    count = f'{_count(made)} {"was" if len(made) == 1 else "were"}'
    return [_say('coreg', count=count, **_registration(made))]


def _atlas(facts: StudyFacts, options: Options) -> list[str]:
    if not (made := _ours(facts, 'atlas-transform')):
        return []
    return [_say('atlas', template=options.template, **_registration(made))]


def _segmentation(facts: StudyFacts) -> list[str]:
    if not _ours(facts, 'nvseg-brain', 'nvseg-body'):
        return []
    tools = _tools(facts, 'mrrate-nvsegctmr', 'Segmentation') or 'NV-Segment-CTMR'
    return [_say('seg', tools=tools)]


def _anatref(facts: StudyFacts) -> list[str]:
    return [_say('anatref')] if _ours(facts, 'anatref-image') else []
