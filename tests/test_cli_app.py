"""``mrrate-bids-app`` as a BIDS-App: reports, logs, the group level, files of options."""

import csv
import json
import re
import shutil
import tomllib
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import small_bids
from click.testing import CliRunner
from small_bids import OWN, TEMPLATE, call

if not find_spec('ants'):  # an import here would fix its number of threads
    pytest.skip('antspyx is not installed', allow_module_level=True)
pytest.importorskip('bids')
pytest.importorskip('nipype')

from mrrate_bids.app.inputs import find_studies
from mrrate_bids.cli.app import main

FAST = ('--registration', 'fast', '--brain-extractor', 'derivatives', '--output-spaces', OWN)
STAMP = re.compile(r'\d{8}-\d{6}_[0-9a-f]{8}')


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Return a dataset with masks and templates, and what one run made of its second subject."""
    root = tmp_path_factory.mktemp('world')
    small_bids.make_bids(root / 'bids')
    small_bids.make_masks(root / 'masks')
    home = small_bids.make_templates(root / 'home')
    made = SimpleNamespace(
        root=root,
        bids=root / 'bids',
        masks=root / 'masks',
        out=root / 'out',
        env=small_bids.clean_environment(home),
    )
    made.said = compute(made, made.out, '--participant-label', '02', '--write-graph')
    assert made.said.returncode == 0, made.said.stdout + made.said.stderr
    return made


def compute(world, out, *more):
    common = ('-d', world.masks, '-w', world.root / f'work-{out.name}', '--nprocs', '1')
    return call(
        'run', world.bids, out, 'participant', *FAST, *common, *more, env=world.env, cwd=world.root
    )


def ask(*arguments):
    """Run the app in this process, for what computes nothing."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob('*') if p.is_file()}


def test_a_run_leaves_a_report_and_says_where(world):
    page = world.out / 'reports/sub-02_ses-1.html'
    text = page.read_text()
    assert str(page.parent) in world.said.stdout
    sources = re.findall(r'src="([^"]+)"', text)
    assert sources
    assert all((page.parent / source).is_file() for source in sources)
    assert not re.search(r'(?:src|href)="https?:', text)


def test_a_run_leaves_its_options_methods_and_graphs(world):
    (folder,) = [path for path in (world.out / 'logs').iterdir() if path.is_dir()]
    assert STAMP.fullmatch(folder.name)
    kept = tomllib.loads((folder / 'config.toml').read_text())
    assert kept['options']['registration'] == 'fast'
    assert kept['run']['bids_dir'] == str(world.bids)
    assert 'digraph' in (folder / 'sub_02_ses_1_wf.dot').read_text()
    methods = (world.out / 'logs/CITATION.md').read_text()
    assert OWN in methods
    assert 'taken from existing derivatives' in methods


def test_the_options_of_a_run_repeat_it(world):
    (config,) = (world.out / 'logs').glob('*/config.toml')
    images = {p: s for p, s in stamps(world.out).items() if p.name.endswith('.nii.gz')}
    said = call(
        *('run', world.bids, world.out, 'participant', '--config-file', config),
        env=world.env,
        cwd=world.root,
    )
    assert said.returncode == 0, said.stderr
    assert {p: s for p, s in stamps(world.out).items() if p.name.endswith('.nii.gz')} == images
    shutil.rmtree(max((world.out / 'logs').glob('*/config.toml')).parent)


def test_reports_only_computes_nothing(world):
    page = world.out / 'reports/sub-02_ses-1.html'
    page.unlink()
    before = {p: s for p, s in stamps(world.out).items() if 'mrrate-' in str(p)}
    said = compute(world, world.out, '--participant-label', '02', '--reports-only', '--hide-faces')
    assert said.returncode == 0, said.stdout + said.stderr
    assert page.exists()
    assert 'This page shows faces' not in page.read_text()
    assert {p: s for p, s in stamps(world.out).items() if 'mrrate-' in str(p)} == before


def test_a_study_that_was_set_aside_has_a_report(world, tmp_path):
    bids = tmp_path / 'bids'
    shutil.copytree(world.bids / 'sub-02', bids / 'sub-02')
    shutil.copy(world.bids / 'dataset_description.json', bids)
    (image,) = bids.rglob('*_T1w.nii.gz')
    image.rename(image.with_name(image.name.replace('T1w', 'T2w')))
    (sidecar,) = bids.rglob('*_T1w.json')
    sidecar.rename(sidecar.with_name(sidecar.name.replace('T1w', 'T2w')))
    common = ('-d', world.masks, '-w', tmp_path / 'work', '--nprocs', '1')
    said = call(
        'run', bids, tmp_path / 'out', 'participant', *FAST, *common, env=world.env, cwd=world.root
    )
    assert said.returncode == 3
    assert 'no T1w' in (tmp_path / 'out/reports/sub-02_ses-1.html').read_text()


def test_group_makes_a_page_and_a_table(world):
    said = ask(world.bids, world.out, 'group')
    assert said.exit_code == 0, said.output
    page = world.out / 'reports/group.html'
    assert said.output.strip() == str(page)
    assert 'sub-02_ses-1.html' in page.read_text()
    with (world.out / 'reports/group.tsv').open() as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    assert {row['participant_id'] for row in rows} == {'sub-02'}
    assert json.loads((world.out / 'reports/group.json').read_text()).keys() >= rows[0].keys()


def test_group_of_nothing_is_one_line(tmp_path, world):
    said = ask(world.bids, tmp_path, 'group')
    assert said.exit_code == 2
    assert said.output.startswith('Error: ')
    assert 'Traceback' not in said.output


def test_boilerplate_only_writes_methods_and_nothing_else(world, tmp_path):
    out = tmp_path / 'out'
    options = ('--boilerplate-only', '--brain-extractor', 'deepbet', '-w', tmp_path / 'work')
    said = ask(world.bids, out, 'participant', *options)
    assert said.exit_code == 0, said.output
    names = {path.name for path in tmp_path.rglob('*') if path.is_file()}
    assert names == {'CITATION.md', 'CITATION.bib', 'CITATION.html'}
    assert 'deepbet' in (out / 'logs/CITATION.md').read_text()


def test_several_spaces_are_several_atlases(world):
    out = world.root / 'spaces'
    said = compute(
        *(world, out, '--participant-label', '02', '--steps', 'coreg,atlas'),
        *('--output-spaces', f'T1w,{OWN},{TEMPLATE}:res-1', '--skip-bids-validation'),
    )
    assert said.returncode == 0, said.stdout + said.stderr
    spaces = {
        re.search(r'space-([A-Za-z0-9]+)', path.name)[1]
        for path in (out / 'mrrate-atlas/sub-02').rglob('*_T1w.nii.gz')
    }
    assert spaces == {OWN, TEMPLATE}
    warnings = [line for line in said.stdout.splitlines() if line.startswith('warning')]
    assert warnings
    assert all('shows faces' in line for line in warnings)  # none of results that stay
    assert said.stdout.index(f'Studies, {OWN}') < said.stdout.index(f'Studies, {TEMPLATE}')
    pages = {path.name for path in (out / 'reports').glob('*.html')}
    stem = 'sub-02_ses-1'
    assert {f'{stem}.html', f'{stem}_space-{TEMPLATE}.html'} < pages
    for name, template in ((f'{stem}.html', OWN), (f'{stem}_space-{TEMPLATE}.html', TEMPLATE)):
        text = (out / 'reports' / name).read_text()
        assert template in text
        sources = re.findall(r'src="([^"]+)"', text)
        assert sources
        assert all((out / 'reports' / source).is_file() for source in sources)
    assert f'done with {TEMPLATE} at resolution 1' in (out / 'logs/CITATION.md').read_text()
    again = compute(
        *(world, out, '--participant-label', '02', '--steps', 'coreg,atlas'),
        *('--output-spaces', f'{OWN},{TEMPLATE}', '--skip-bids-validation'),
    )
    assert again.stdout.count('│    0 │                     1 │') == 2, again.stdout


def test_only_the_space_of_the_study_needs_no_template(world, tmp_path):
    options = ('-d', world.masks, '--brain-extractor', 'derivatives', '--output-spaces', 'T1w')
    said = ask(
        *(world.bids, tmp_path / 'out', 'participant', *options, '--dry-run'),
        *('-w', tmp_path / 'work'),
    )
    assert said.exit_code == 0, said.output
    assert 'coreg-image' in said.output
    assert 'atlas' not in said.output


def test_an_index_is_made_once_and_used_again(world, tmp_path):
    options = ('--brain-extractor', 'deepbet', '--dry-run', '-w', tmp_path / 'work')
    database = ('--bids-database-dir', tmp_path / 'index')
    find_studies(world.bids, database=tmp_path / 'index')  # a dry run makes none
    first = ask(world.bids, tmp_path / 'out', 'participant', *options, *database)
    assert first.exit_code == 0, first.output
    (index,) = (path for path in (tmp_path / 'index').rglob('*sql*') if path.is_file())
    before = index.read_bytes()
    part = ('--participant-label', '02')
    second = ask(world.bids, tmp_path / 'out', 'participant', *options, *database, *part)
    assert '1 of 1 studies' in second.output
    assert '2 of 2 studies' in first.output
    assert index.read_bytes() == before


def test_what_the_validator_finds_stops_nothing(world, tmp_path):
    bids = tmp_path / 'bids'
    shutil.copytree(world.bids, bids, ignore=shutil.ignore_patterns('derivatives', 'sub-01'))
    (bids / 'sub-02/ses-1/anat/strange.txt').write_text('')
    common = ('-d', world.masks, '-w', tmp_path / 'work', '--nprocs', '1', '--steps', 'mask')
    options = (*FAST, *common)
    said = call(
        'run', bids, tmp_path / 'out', 'participant', *options, env=world.env, cwd=world.root
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert 'strange.txt' in said.stdout
    shutil.rmtree(tmp_path / 'out')
    quiet = call(
        *('run', bids, tmp_path / 'out', 'participant', *options, '--skip-bids-validation'),
        env=world.env,
        cwd=world.root,
    )
    assert 'strange.txt' not in quiet.stdout


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        (['--output-spaces', 'a b'], 'is no template'),
        (['--center-rule', 'last'], 'center-rule'),
        (['--config-file', 'nothing.toml'], 'cannot be read'),
        (['--participant-label', '99'], 'no participant'),
        (['--mem', 'nan'], 'finite'),
    ],
)
def test_wrong_values_are_one_line(world, tmp_path, options, word):
    said = ask(world.bids, tmp_path / 'out', 'participant', *options, '-w', tmp_path / 'work')
    assert said.exit_code == 2
    assert word in said.output
    assert 'Traceback' not in said.output
    assert not (tmp_path / 'out').exists()
