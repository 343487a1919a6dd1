"""Every command and every piece of Python in the README and the docs does what it says."""

import importlib.util
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner
from foreign_bids import make_dataset
from hub_server import hub

from mrrate_bids.cli import main
from mrrate_bids.demo import build_release

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('**/*.md'))]

NOT_RUN = {
    r'make (demo|test)': 'this test is part of them',
    r'pip install .+': 'changes the environment that the test runs in',
    r'mrrate-bids demo \S+': 'takes minutes at full resolution; its own test runs it coarsely',
    r'ls demo': 'looks at what the line above made',
    r'mrrate-bids(-app| run) .+ group': 'needs results; test_cli_app.py makes it of some',
    r'export \w+=.+': 'sets variables of a shell',
    r'(docker|apptainer|bosh) .+': 'not installed, or takes gigabytes',
    r'python -m mrrate_bids.cli.boutiques .+': 'test_cli_boutiques.py compares the file',
    r'mrrate-bids status .+ hf://.+': 'the Hub itself; test_status.py has a server',
    r'mrrate-bids resources fetch .+': 'gigabytes; test_resources.py has a server',
    r'(sbatch|squeue) .+': 'needs a cluster; test_slurm_cluster.py has one',
    r'(fmriprep|mriqc|clinica|nnUNetv2_\w+) .+': 'not installed or runs for hours',
    r'smriprep .+': 'runs for hours; test_ecosystem.py reads its options',
}
"""Commands that cannot be run here, as patterns, each with the reason."""


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding='utf-8')
    return re.findall(rf'^```{language}\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)


def _commands(page: Path) -> list[str]:
    lines = '\n'.join(_blocks(page, 'console')).splitlines()
    return [line.removeprefix('$ ') for line in lines if line.startswith('$ ')]


def _why_not(command: str) -> str:
    return next((why for rule, why in NOT_RUN.items() if re.fullmatch(rule, command)), '')


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _ours(page: Path) -> list[str]:
    return [command for command in _commands(page) if not _why_not(command)]


@pytest.fixture(scope='session')
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp('docs') / 'MR-RATE-all'
    build_release(root, voxel=3.0)
    return root


@pytest.fixture(scope='session')
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('docs') / 'dataset')


@pytest.fixture(scope='session')
def published(release):
    """Serve the release as the Hub does."""
    with hub(release) as server:
        yield server


@pytest.fixture
def elsewhere(release, published, dataset, tmp_path, monkeypatch):
    """Stand in an empty folder next to the release, and to a dataset of somebody else."""
    monkeypatch.setenv('HF_ENDPOINT', published.url)
    monkeypatch.setenv('HF_HOME', str(tmp_path / '.hf'))
    (tmp_path / 'MR-RATE-all').symlink_to(release, target_is_directory=True)
    (tmp_path / 'dataset').symlink_to(dataset, target_is_directory=True)
    (options,) = _blocks(ROOT / 'docs/reference/app.md', 'toml')
    (tmp_path / 'options.toml').write_text(options)
    (fixed,) = _blocks(ROOT / 'docs/how-to/check-state.md', 'json')
    (tmp_path / 'fixed_studies.json').write_text(fixed)
    (plugin,) = _blocks(ROOT / 'docs/how-to/cluster.md', 'yaml')
    (tmp_path / 'slurm.yml').write_text(plugin)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(command: str) -> None:
    program, *arguments = shlex.split(command.replace('mrrate-bids-app ', 'mrrate-bids run '))
    assert program == 'mrrate-bids', f'{command!r} is neither ours nor in the table NOT_RUN'
    if arguments[0] == 'run':  # takes minutes; tests/test_cli_run.py does it for real
        arguments.append('--dry-run')
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, f'{command}\n{result.output}\n{result.exception!r}'


@pytest.mark.parametrize('page', [page for page in PAGES if _ours(page)], ids=_name)
def test_commands_run_in_the_order_of_the_page(page, elsewhere):
    for command in _ours(page):
        _run(command)


PYTHON_PAGES = [page for page in PAGES if _blocks(page, 'python')]


@pytest.mark.parametrize('page', PYTHON_PAGES, ids=_name)
def test_python_runs_in_the_order_of_the_page(page, elsewhere):
    _run('mrrate-bids export MR-RATE-all bids')
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # other packages warn of each other
        for block in _blocks(page, 'python'):
            exec(compile(block, _name(page), 'exec'), names)


def test_pandas_snippet_gives_back_the_cells_of_the_release(elsewhere):
    _run('mrrate-bids export MR-RATE-all bids --include raw')
    names = {}
    for block in _blocks(ROOT / 'docs/how-to/use-with-pandas.md', 'python'):
        exec(compile(block, 'use-with-pandas.md', 'exec'), names)
    published = names['pd'].concat(
        names['pd'].read_csv(path, dtype=str, keep_default_na=False)
        for path in sorted((elsewhere / 'MR-RATE-all/MR-RATE/reports').glob('*.csv'))
    )
    ours = names['reports'].set_index('study_uid')['report'].fillna('').to_dict()
    assert ours == published.set_index('study_uid')['report'].to_dict()
    assert any('\n' in text for text in ours.values())


def test_every_command_is_run_or_excused():
    commands = [command for page in PAGES for command in _commands(page)]
    for rule in NOT_RUN:
        assert any(re.fullmatch(rule, command) for command in commands), f'{rule}: no such command'
    excused = [command for command in commands if _why_not(command)]
    assert len(excused) < len(commands) / 2


def test_package_is_installed_from_a_checkout():
    """It is on no index."""
    for page in PAGES:
        assert 'install mrrate-bids' not in page.read_text(encoding='utf-8'), _name(page)


def test_states_of_receipts_are_those_that_are_stored():
    text = (ROOT / 'docs/reference/files.md').read_text(encoding='utf-8')
    states = re.findall(r'^\| `(\w+)` \|', text.partition('## Receipts')[2], flags=re.MULTILINE)
    assert states == ['started', 'complete', 'partial', 'failed']


def test_tables_of_what_is_stored_where_are_current():
    spec = importlib.util.spec_from_file_location('stored_where', ROOT / 'docs/stored_where.py')
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text(encoding='utf-8')
    assert page.count('\n| `') + page.count('\n| image') > 30
    assert script.render(page) == page, 'run python docs/stored_where.py'


def test_every_console_block_has_prompts_only():
    for page in PAGES:
        for block in _blocks(page, 'console'):
            for line in block.splitlines():
                assert line.startswith('$ '), f'{_name(page)}: {line!r}'


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / 'docs/index.md').read_text(encoding='utf-8')
    entries = re.findall(r'```\{toctree\}\n(.*?)```', index, flags=re.DOTALL)
    listed = {line for line in '\n'.join(entries).split() if line and line[0] != ':'}
    pages = {
        page.relative_to(ROOT / 'docs').with_suffix('').as_posix()
        for page in PAGES[1:]
        if '_build' not in page.parts
    }
    assert pages - {'index'} <= listed


@pytest.fixture
def how_to(elsewhere):
    """Return a function that runs the Python of a page on an export."""
    _run('mrrate-bids export MR-RATE-all bids')

    def run(page):
        names = {}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            for block in _blocks(ROOT / f'docs/how-to/{page}.md', 'python'):
                exec(compile(block, page, 'exec'), names)
        return names

    return run


def test_metrics_of_mriqc_find_their_rows(how_to, elsewhere, capsys):
    """The table of a group begins as MRIQC 24.0.2 writes it."""
    images = sorted((elsewhere / 'bids').glob('sub-*/ses-*/anat/*_T1w.nii.gz'))
    lines = [f'{image.name.removesuffix(".nii.gz")}\t0.4\t3.1\n' for image in images]
    (elsewhere / 'quality').mkdir()
    (elsewhere / 'quality/group_T1w.tsv').write_text('bids_name\tcjv\tcnr\n' + ''.join(lines))
    how_to('use-with-mriqc')
    said = capsys.readouterr().out
    assert said.count('t1w-raw-') == len(images) > 2


def test_pictures_of_nilearn_are_drawn(how_to, elsewhere):
    names = how_to('use-with-nilearn')
    for picture in ('flair.png', 'mask.png', 'segmentation.png'):
        assert (elsewhere / picture).stat().st_size > 5000
    assert names['samples'].std() > 0


@pytest.mark.slow
def test_nnunet_accepts_its_dataset(how_to, elsewhere):
    """nnU-Net compares names, numbers, labels and grids."""
    if not importlib.util.find_spec('nnunetv2'):
        pytest.skip('nnunetv2 is not installed')
    names = how_to('use-with-nnunet')
    root = elsewhere / names['target']
    assert len(list(root.glob('imagesTr/*_0000.nii.gz'))) == len(names['cases']['train']) > 0
    assert len(list(root.glob('imagesTs/*_0000.nii.gz'))) == len(names['cases']['test']) > 0
    assert len(names['old']) > 3
    code = (
        'from nnunetv2.experiment_planning.verify_dataset_integrity import *\n'
        f'verify_dataset_integrity({str(root)!r}, 1)'
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'verify_dataset_integrity Done' in done.stdout
    assert 'Warning' not in done.stdout
