"""Graphs: what the builders promise, what they leave out, where the results go; nothing runs."""

import itertools
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip('nipype')

from nipype.interfaces.utility import Merge
from nipype.pipeline.engine.utils import _remove_nonjoin_identity_nodes

from mrrate_bids.app.options import EXTRACTORS, STEPS, Options
from mrrate_bids.app.places import Places
from mrrate_bids.app.study import Series, Study, kind_of
from mrrate_bids.computing.atlas import Atlas
from mrrate_bids.computing.brain import Choice
from mrrate_bids.errors import UsageError
from mrrate_bids.interfaces.brain import CarryMask, ExtractBrain, TakeMask
from mrrate_bids.interfaces.register import Resample
from mrrate_bids.interfaces.store import Store
from mrrate_bids.naming import COMPUTED, KINDS
from mrrate_bids.workflows.anatref import init_anatref_wf
from mrrate_bids.workflows.atlas import init_atlas_wf
from mrrate_bids.workflows.brain_mask import MASK_SOURCES, init_brain_mask_wf
from mrrate_bids.workflows.coreg import init_coreg_wf
from mrrate_bids.workflows.deface import init_deface_wf
from mrrate_bids.workflows.outputs import Outputs
from mrrate_bids.workflows.resample import init_resample_wf
from mrrate_bids.workflows.segment import init_segment_wf
from mrrate_bids.workflows.study import Graph, init_study_wf

BUILDERS = (
    init_anatref_wf,
    init_atlas_wf,
    init_brain_mask_wf,
    init_coreg_wf,
    init_deface_wf,
    init_resample_wf,
    init_segment_wf,
)
SUBSETS = [s for n in range(1, 7) for s in itertools.combinations(STEPS, n)]
NEVER = {'image', 'vista-seg'}
ALL = {*KINDS, *COMPUTED} - NEVER
MOVING = {'coreg-transform'}
EACH = {'brain-mask', 'defacing-mask', 'defaced-image', 'coreg-image', 'atlas-image', 'nvseg-body'}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Return a folder of empty files that traits take for images."""
    root = tmp_path_factory.mktemp('files')
    for name in ('T1w', 'T2w', 'FLAIR', 'template', 'template_mask', 'given'):
        (root / f'sub-01_{name}.nii.gz').touch()
    return root


@pytest.fixture(scope='module')
def atlas(files):
    names = ('template', 'template_mask')
    return Atlas(*(files / f'sub-01_{name}.nii.gz' for name in names))


def belongs(kind, suffix):
    """Tell whether a series of that suffix has a file of that kind."""
    return kind in EACH or (kind in MOVING) == (suffix != 'T1w')


def make_study(files, given=(), suffixes=('T1w', 'T2w'), handed=()):
    """Return a study in which files of some kinds are there."""
    there = files / 'sub-01_given.nii.gz'
    series = tuple(
        Series(
            files / f'sub-01_{suffix}.nii.gz',
            f'sub-01/anat/sub-01_{suffix}.nii.gz',
            {kind: there for kind in given if kind == 'foreign-mask' or belongs(kind, suffix)},
            frozenset(handed),
        )
        for suffix in suffixes
    )
    return Study('sub-01', '', series, series[0])


def build(files, atlas, *, given=(), suffixes=('T1w', 'T2w'), **options):
    return build_of(make_study(files, given, suffixes), files, atlas, **options)


def build_of(study, files, atlas, **options):
    places = Places(files / 'out', Options(**options))
    workflow, targets = init_study_wf(study, places, atlas=atlas)
    graph = _remove_nonjoin_identity_nodes(workflow._create_flat_graph())
    return SimpleNamespace(graph=graph, targets=targets, study=study)


def working(graph):
    """Return the nodes that compute or write, by name without that of the study."""
    return {
        node.fullname.partition('.')[2]: node
        for node in graph.nodes()
        if not isinstance(node.interface, Merge)
    }


def expected(steps, given, *, defaced):
    """Return what a run must write, as pairs of kind and suffix."""
    wanted = {
        'mask': ('brain-mask',),
        'deface': ('defacing-mask', 'defaced-image'),
        'coreg': ('coreg-transform', 'coreg-image', 'coreg-brain-mask', 'coreg-defacing-mask'),
        'atlas': ('atlas-transform', 'atlas-image', 'atlas-brain-mask', 'atlas-defacing-mask'),
        'seg': ('nvseg-brain', 'nvseg-body'),
        'anatref': ('anatref-image', 'anatref-mask'),
    }
    kinds = {kind for step in steps for kind in wanted[step]}
    if not defaced:
        kinds -= {'coreg-defacing-mask', 'atlas-defacing-mask'}
    return {(k, x) for k in kinds - set(given) for x in ('T1w', 'T2w') if belongs(k, x)}


def sections(builder):
    """Return the names under each heading of a docstring."""
    parts = re.split(r'\n    (\w[\w ]*)\n    -+\n', builder.__doc__)
    return {
        head: re.findall(r'^    (\w[\w, ]*)$', body, re.MULTILINE)
        for head, body in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize('builder', BUILDERS, ids=lambda builder: builder.__name__)
def test_docstring_names_inputs_and_outputs(builder):
    said, workflow = sections(builder), builder()
    for head, name in (('Inputs', 'inputnode'), ('Outputs', 'outputnode')):
        fields = workflow.get_node(name).outputs.copyable_trait_names()
        assert sorted(said[head]) == sorted(fields)
    names = builder.__code__.co_varnames[: builder.__code__.co_kwonlyargcount]
    assert said['Parameters'] == list(names)
    assert workflow.name == builder.__name__.removeprefix('init_')


@pytest.mark.parametrize('builder', BUILDERS, ids=lambda builder: builder.__name__)
def test_outputs_are_all_connected(builder):
    workflow = builder()
    outputs = set(workflow.get_node('outputnode').outputs.copyable_trait_names())
    fed = {
        field
        for _, node, data in workflow._graph.edges(data=True)
        for _, field in data['connect']
        if node.name == 'outputnode'
    }
    assert fed == outputs


@pytest.mark.parametrize('source', MASK_SOURCES)
def test_sources_of_a_mask(source):
    workflow = init_brain_mask_wf(source=source, choice=Choice('deepbet', 'w', 'cuda:0', 3))
    node = workflow.get_node('mask')
    kinds = {'found': ExtractBrain, 'carried': CarryMask, 'given': TakeMask}
    assert isinstance(node.interface, kinds[source])
    if source == 'found':
        asked = node.inputs
        assert (asked.extractor, asked.weights, asked.device) == ('deepbet', 'w', 'cuda:0')
        assert (asked.threads, node.n_procs, node.inputs.use_gpu) == (3, 3, True)


@pytest.mark.parametrize('extractor', EXTRACTORS)
@pytest.mark.parametrize('steps', SUBSETS, ids='-'.join)
def test_every_set_of_steps_builds(steps, extractor, files, atlas):
    given = ['foreign-mask'] if extractor == 'derivatives' else []
    made = build(files, atlas, given=given, steps=steps, extractor=extractor)
    check(made, steps, given)


KNOWN = [
    [],
    *([kind] for kind in sorted(ALL)),
    sorted(ALL),
    ['brain-mask', 'defacing-mask'],
    ['brain-mask', 'defacing-mask', 'defaced-image'],
    ['brain-mask', 'coreg-transform', 'atlas-transform'],
    *(sorted(ALL - {kind}) for kind in sorted(ALL)),
    *(sorted(random.Random(n).sample(sorted(ALL), 7)) for n in range(20)),
]


@pytest.mark.parametrize('given', KNOWN, ids=lambda given: str(len(given)))
def test_what_is_given_is_not_computed(given, files, atlas):
    for steps in (STEPS, *[(step,) for step in STEPS]):
        check(build(files, atlas, given=given, steps=steps), steps, given)


def check(made, steps, given):
    """Compare a graph with what it should hold."""
    nodes = working(made.graph)
    stores = [node for node in nodes.values() if isinstance(node.interface, Store)]
    defaced = 'deface' in steps or 'defacing-mask' in given
    assert set(made.targets.values()) == expected(steps, given, defaced=defaced)
    assert {node.inputs.target for node in stores} == set(map(str, made.targets))
    assert len(stores) == len(made.targets)
    assert not list(_cycles(made.graph))
    useless = [n for n, node in nodes.items() if not _leads_to_store(made.graph, node)]
    assert useless == []
    names = ' '.join(nodes)
    for kind, part in (
        ('brain-mask', r'\.mask_\w+\.mask'),
        ('coreg-transform', r'coreg_\w+\.register'),
        ('atlas-transform', r'atlas\.register'),
        ('coreg-image', 'resample_coreg'),
        ('atlas-image', r'resample_atlas|atlas\.resample\b'),
        ('atlas-brain-mask', r'atlas\.resample_mask'),
        ('atlas-defacing-mask', r'atlas\.resample_keep'),
        ('nvseg-brain', 'segment_brain'),
        ('nvseg-body', 'segment_body'),
    ):
        assert not (kind in given and re.search(part, names)), (kind, names)
    if {'defacing-mask', 'defaced-image'} <= set(given):
        assert 'deface_' not in names
    if {'anatref-image', 'anatref-mask'} <= set(given):
        assert 'anatref' not in names


def _cycles(graph):
    import networkx

    return networkx.simple_cycles(graph)


def _leads_to_store(graph, node):
    import networkx

    reached = {node, *networkx.descendants(graph, node)}
    return any(isinstance(one.interface, Store) for one in reached)


def test_everything_given_is_an_empty_graph(files, atlas):
    made = build(files, atlas, given=ALL, steps=STEPS)
    assert (list(made.graph.nodes()), made.targets) == ([], {})


def test_nodes_of_a_whole_study(files, atlas):
    """One mask, one defacing, one registration each; the centre is registered to the atlas."""
    made = build(files, atlas, steps=STEPS, suffixes=('T1w', 'T2w', 'FLAIR'))
    kinds = [type(node.interface).__name__ for node in working(made.graph).values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        'ExtractBrain': 3,
        'Deface': 3,
        'Coregister': 2,
        'RegisterToAtlas': 1,
        'Resample': 2 + 2 + 3,
        'Segment': 4,
        'MakeReference': 1,
        'Store': len(made.targets),
    }


def test_moving_image_is_resampled_to_the_atlas_once_with_both_transforms(files, atlas):
    graph = build(files, atlas, steps=('mask', 'atlas')).graph
    nodes = working(graph)
    (store,) = [n for n in nodes if n.endswith('store_T2w_atlas_image')]
    ((resample, _),) = graph.in_edges(nodes[store])
    assert isinstance(resample.interface, Resample)
    assert resample.inputs.image.endswith('sub-01_T2w.nii.gz')
    assert resample.inputs.like == str(atlas.image)
    ((chain, _),) = [e for e in graph.in_edges(resample) if isinstance(e[0].interface, Merge)]
    fed = {
        field: source.name + '.' + source.fullname.split('.')[1]
        for source, _, data in graph.in_edges(chain, data=True)
        for _, field in data['connect']
    }
    assert fed == {'in1': 'register.atlas', 'in2': 'register.coreg_T2w'}


def test_given_transforms_are_chained_in_the_same_order(files, atlas):
    given = ['coreg-transform', 'atlas-transform', 'brain-mask']
    graph = build(files, atlas, given=given, steps=('atlas',)).graph
    (chain,) = [node for node in graph.nodes() if isinstance(node.interface, Merge)]
    assert chain.inputs.in1 == chain.inputs.in2 == str(files / 'sub-01_given.nii.gz')
    merged = init_resample_wf(to_atlas=True)._graph.edges(data=True)
    (links,) = [d['connect'] for _, node, d in merged if node.name == 'chain']
    assert links == [('atlas_transform', 'in1'), ('coreg_transform', 'in2')]


@pytest.mark.parametrize('also', [(), ('defaced-image',)])
def test_defacing_mask_of_the_user_is_looked_at_before_it_is_used(also, files, atlas):
    """Nothing that hangs on it takes the file itself."""
    study = make_study(files, ['defacing-mask', *also], handed=['defacing-mask'])
    graph = build_of(study, files, atlas, steps=STEPS).graph
    checks = [n for n in graph.nodes() if type(n.interface).__name__ == 'CheckDefacing']
    assert (
        sorted(n.name for n in checks) == (['check_keep_T1w', 'check_keep_T2w'][: 2 - len(also)])
    )
    assert all({s.name for s, _ in graph.in_edges(node)} == {'mask'} for node in checks)
    there = str(files / 'sub-01_given.nii.gz')
    for node in graph.nodes():
        names = node.inputs.copyable_trait_names()
        users = [n for n in names if getattr(node.inputs, n) == there and n != 'image']
        assert not users or node in checks or also, (node.fullname, users)


def test_transforms_of_the_user_are_looked_at_before_they_are_used(files, atlas):
    kinds = ['coreg-transform', 'atlas-transform']
    graph = build_of(make_study(files, kinds, handed=kinds), files, atlas, steps=STEPS).graph
    checks = {n.name: n for n in graph.nodes() if n.name.startswith('check_')}
    assert sorted(checks) == ['check_atlas_T1w', 'check_coreg_T2w']
    assert all({s.name for s, _ in graph.in_edges(node)} == {'mask'} for node in checks.values())
    assert checks['check_atlas_T1w'].inputs.template == str(atlas.image)
    there = str(files / 'sub-01_given.nii.gz')
    for node in graph.nodes():
        names = node.inputs.copyable_trait_names()
        users = [name for name in names if there in str(getattr(node.inputs, name))]
        assert not users or node in checks.values(), (node.fullname, users)
    chains = [node for node in graph.nodes() if isinstance(node.interface, Merge)]
    sources = [{source.name for source, _ in graph.in_edges(chain)} for chain in chains]
    assert set(checks) in sources


@pytest.mark.parametrize('also', [(), ('defacing-mask',)])
def test_no_mask_is_invented_for_a_defaced_image_of_the_user(also, files, atlas):
    """It is looked at before it is used, and tells its defacing mask where none is given."""
    given = ['defaced-image', *also]
    graph = build_of(make_study(files, given, handed=given), files, atlas, steps=STEPS).graph
    nodes = working(graph)
    assert not [name for name in nodes if 'deface_' in name]
    stores = [node for name, node in nodes.items() if name.endswith('_defacing_mask')]
    assert {node.name for node in stores} >= {'store_T1w_coreg_defacing_mask'}
    sources = {s.name for node in stores for s, _ in graph.in_edges(node)} - {'resample_keep'}
    assert sources == ({'check_keep_T1w'} if also else {'check_defaced_T1w', 'check_defaced_T2w'})
    (image,) = [node for node in nodes.values() if node.name == 'store_T1w_coreg_image']
    assert [s.name for s, _ in graph.in_edges(image)] == ['check_defaced_T1w']


def test_what_may_be_published_has_no_face(files, atlas):
    """Registration sees the image as it is, every image that is written is defaced."""
    graph = build(files, atlas, steps=STEPS).graph
    for node in working(graph).values():
        kind = type(node.interface).__name__
        if kind in {'Resample', 'Segment', 'MakeReference'} and 'mask' not in node.name:
            if node.name == 'resample_keep':
                continue
            sources = [s.name for s, _, d in graph.in_edges(node, data=True) if _feeds_image(d)]
            assert sources == ['deface'], node.fullname
        if kind in {'Coregister', 'RegisterToAtlas'}:
            assert 'deface' not in [s.name for s, _ in graph.in_edges(node)]


def _feeds_image(data):
    return any(field == 'image' for _, field in data['connect'])


def test_without_defacing_the_images_are_as_they_were(files, atlas):
    graph = build(files, atlas, steps=('coreg', 'atlas', 'anatref')).graph
    names = ' '.join(working(graph))
    assert 'deface' not in names
    assert 'defacing' not in names


def test_deepbet_sees_the_centre_only(files, atlas):
    """Other series get its mask, which cannot judge the registration it came by."""
    made = build(files, atlas, steps=('mask', 'coreg'), extractor='deepbet')
    nodes = {n.partition('.')[2] or n: node for n, node in working(made.graph).items()}
    by_series = {n: type(node.interface).__name__ for n, node in nodes.items() if '.mask' in n}
    assert set(by_series.values()) <= {'ExtractBrain', 'CarryMask'}
    kinds = [type(node.interface).__name__ for node in working(made.graph).values()]
    assert (kinds.count('ExtractBrain'), kinds.count('CarryMask')) == (1, 1)
    (register,) = [n for n in made.graph.nodes() if type(n.interface).__name__ == 'Coregister']
    fed = [f for *_, d in made.graph.in_edges(register, data=True) for _, f in d['connect']]
    assert fed == ['centre_mask']


def test_own_mask_judges_the_registration(files, atlas):
    graph = build(files, atlas, steps=('coreg',)).graph
    (register,) = [n for n in graph.nodes() if type(n.interface).__name__ == 'Coregister']
    fed = [f for *_, d in graph.in_edges(register, data=True) for _, f in d['connect']]
    assert sorted(fed) == ['centre_mask', 'moving_mask']


def test_options_reach_the_nodes(files, atlas):
    chosen = {'seed': 7, 'threads': 3, 'device': 'cuda:1', 'buffer_mm': 3.5, 'preset': 'fast'}
    weights = {'hdbet_weights': 'h', 'nvseg_weights': 'n'}
    graph = build(files, atlas, steps=STEPS, **chosen, **weights).graph
    for node in working(graph).values():
        for field, name in (('seed', 'seed'), ('threads', 'threads'), ('preset', 'preset')):
            if hasattr(node.inputs, field):
                assert getattr(node.inputs, field) == chosen[name], node.fullname
        if hasattr(node.inputs, 'device'):
            assert (node.inputs.device, node.inputs.use_gpu) == ('cuda:1', True)
            assert node.inputs.weights in 'hn'
        if hasattr(node.inputs, 'buffer_mm'):
            assert node.inputs.buffer_mm == 3.5
        if hasattr(node.inputs, 'threads'):
            assert node.n_procs == 3


@pytest.mark.parametrize('there', [True, False])
def test_device_auto_counts_for_a_gpu_where_there_is_one(there, files, atlas, monkeypatch):
    monkeypatch.setattr('mrrate_bids.computing.devices._finds_gpu', lambda: there)
    graph = build(files, atlas, steps=('mask', 'seg')).graph
    networks = [n for n in working(graph).values() if hasattr(n.inputs, 'device')]
    assert len(networks) == 5
    assert {node.is_gpu_node() for node in networks} == {there}


def test_graphs_without_networks_do_not_ask_for_gpus(files, atlas, monkeypatch):
    monkeypatch.setattr('mrrate_bids.computing.devices._finds_gpu', lambda: pytest.fail('asked'))
    given = ('brain-mask', 'nvseg-brain', 'nvseg-body')
    assert working(build(files, atlas, steps=STEPS, given=given).graph)
    build(files, atlas, steps=('mask', 'seg'), device='cuda:1')


def test_files_of_the_weights_are_inputs(files, atlas, tmp_path):
    hdbet, nvseg = tmp_path / 'hdbet', tmp_path / 'nvseg'
    for path in (hdbet / 'dataset.json', hdbet / 'plans.json', nvseg / 'model.pt'):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (hdbet / 'fold_all').mkdir()
    (hdbet / 'fold_all/checkpoint_final.pth').touch()
    options = {'hdbet_weights': str(hdbet), 'nvseg_weights': str(nvseg), 'device': 'cpu'}
    graph = build(files, atlas, steps=('mask', 'seg'), **options).graph
    networks = [n for n in working(graph).values() if hasattr(n.inputs, 'device')]
    assert {len(node.inputs.weight_files) for node in networks} == {3, 1}


def test_atlas_without_a_template(files):
    with pytest.raises(UsageError, match='needs a template'):
        build(files, None, steps=('atlas',))


def names_of(made, files):
    return sorted(path.relative_to(files / 'out').as_posix() for path in made.targets)


def test_names_of_results(files, atlas):
    made = build(files, atlas, steps=STEPS)
    at, tpl = 'sub-01/anat/sub-01_', 'MNI152NLin2009cSym'
    assert names_of(made, files) == sorted(
        [
            *(f'mrrate-defaced/{at}space-orig_label-brain_desc-{x}_mask.nii.gz' for x in XS),
            *(f'mrrate-defaced/{at}mod-{x}_space-orig_defacemask.nii.gz' for x in XS),
            *(f'mrrate-defaced/{at}desc-defaced_{x}.nii.gz' for x in XS),
            *(f'mrrate-coreg/{at}space-T1w_{x}.nii.gz' for x in XS),
            f'mrrate-coreg/{at}from-T2w_to-T1w_mode-image_xfm.mat',
            f'mrrate-coreg/{at}space-T1w_label-brain_desc-T1w_mask.nii.gz',
            f'mrrate-coreg/{at}mod-T1w_space-T1w_defacemask.nii.gz',
            *(f'mrrate-atlas/{at}space-{tpl}_res-1_{x}.nii.gz' for x in XS),
            f'mrrate-atlas/{at}from-T1w_to-{tpl}_mode-image_xfm.mat',
            f'mrrate-atlas/{at}space-{tpl}_res-1_label-brain_desc-T1w_mask.nii.gz',
            f'mrrate-atlas/{at}mod-T1w_space-{tpl}_res-1_defacemask.nii.gz',
            f'mrrate-nvsegctmr/{at}space-orig_seg-nvsegctmrbrain_desc-T1w_dseg.nii.gz',
            *(
                f'mrrate-nvsegctmr/{at}space-orig_seg-nvsegctmrbody_desc-{x}_dseg.nii.gz'
                for x in XS
            ),
            f'mrrate-anatref/{at}desc-preproc_T1w.nii.gz',
            f'mrrate-anatref/{at}desc-brain_mask.nii.gz',
        ]
    )


XS = ('T1w', 'T2w')


def test_names_in_another_template(files, atlas):
    made = build(files, atlas, steps=('atlas',), template='MNI152NLin6Asym', resolution=2)
    assert all('MNI152NLin6Asym' in name for name in names_of(made, files))
    assert 'mrrate-atlas/sub-01/anat/sub-01_space-MNI152NLin6Asym_res-2_T1w.nii.gz' in names_of(
        made, files
    )
    assert not [name for name in names_of(made, files) if '2009' in name]


def test_quality_goes_to_the_file_it_judges(files, atlas):
    graph = build(files, atlas, steps=STEPS).graph
    judged = {
        node.name
        for node in working(graph).values()
        if isinstance(node.interface, Store)
        and any(
            f == 'quality' for *_, d in graph.in_edges(node, data=True) for _, f in d['connect']
        )
    }
    assert judged == {
        *(f'store_{x}_brain_mask' for x in XS),
        *(f'store_{x}_defacing_mask' for x in XS),
        'store_T2w_coreg_transform',
        'store_T1w_atlas_transform',
        'store_T1w_nvseg_brain',
        *(f'store_{x}_nvseg_body' for x in XS),
    }


def test_sources_name_only_what_is_written(files, atlas):
    """A file that is neither written nor there would dangle."""
    graph = build(files, atlas, steps=('coreg',)).graph
    stores = [n for n in graph.nodes() if isinstance(n.interface, Store)]
    sources = {uri for node in stores for uri in node.inputs.sidecar.get('Sources', [])}
    assert {uri.split(':')[1] for uri in sources} == {'raw', ''}
    assert not [uri for uri in sources if 'mask' in uri]


def test_outputs_collects_before_it_connects(files):
    study = make_study(files)
    outputs = Outputs(None, study, Places(files / 'out', Options()))
    outputs.add(study.centre, 'brain-mask', (None, 'x'))
    assert outputs._rows[0][:3] == (study.centre, 'brain-mask', (None, 'x'))


def test_parts_are_made_once(files, atlas):
    from nipype.pipeline import engine as pe

    study = make_study(files)
    graph = Graph(pe.Workflow(name='w'), study, Places(files / 'out', Options()), atlas)
    first, second = graph.mask(study.centre), graph.mask(study.centre)
    assert first[0] is second[0]
    assert Path(study.centre.image).exists()
    assert kind_of('brain-mask').dataset == 'mrrate-defaced'
