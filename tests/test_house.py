"""What holds for the package as a whole: what is shipped, imported, tested and cited."""

import doctest
import importlib
import importlib.metadata
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cffconvert import Citation
from click.testing import CliRunner

import mrrate_bids
from mrrate_bids import templates, workflows
from mrrate_bids.cli import main
from mrrate_bids.receipts import FOLDER

ROOT = Path(__file__).parents[1]

UNTESTED = {
    'mrrate_bids': 'has nothing but the version',
    'mrrate_bids.__main__': 'one line, run below',
    'mrrate_bids.atlas_grid': 'has nothing but two constants',
    'mrrate_bids.app': 'holds modules only',
    'mrrate_bids.app.slurm': 'tested in test_slurm_cluster.py',
    'mrrate_bids.computing': 'holds modules only',
    'mrrate_bids.computing.ants_session': 'tested in test_computing_registration.py',
    'mrrate_bids.computing.hdbet_grid': 'tested in test_computing_hdbet_prediction.py',
    'mrrate_bids.job_script': 'tested in test_cli_slurm.py',
    'mrrate_bids.phenotype': 'tested through finalise, in test_dataset.py',
    'mrrate_bids.study_files': 'tested through Exporter, in test_export.py',
    'mrrate_bids.view_root': 'tested through View, in test_view.py',
    'mrrate_bids.visits': 'tested through finalise, in test_dataset.py',
}
"""Modules without a test file of their own, each with the reason."""

AS_A_WHOLE = {
    'app': (
        'run by test_app_run.py and test_cli_run.py',
        'drawing follower raw_check reporting',
    ),
    'checks': (
        'run over datasets with one fault each, by test_checks.py',
        'files relations study subject tables tally tree',
    ),
    'cli': (
        'run by the tests of what the commands do',
        'compute_report demo export fetch fetch_report importing merge options resources '
        'run_options run_setup status view',
    ),
    'fetching': (
        'run against servers, by test_fetching.py and test_fetching_faults.py',
        'proof reading release remote run stream study tables',
    ),
    'importing': (
        'run over datasets with one change each, by test_importing.py and its like',
        'delivery importer intake ledger measures plan records run source stranger target '
        'verbatim',
    ),
    'index': ('asked by test_index.py', 'query shorthand states store units'),
    'interfaces': (
        'run by test_interfaces.py',
        'base brain convert deface register report segment store',
    ),
    'merging': ('run over releases, by test_merging.py', 'merge place plan'),
    'release_checks': (
        'run over releases with one fault each, by test_release_checks.py',
        'archives grids images splits study tables values whole',
    ),
    'reports': (
        'made by test_reports.py and test_reports_viewer.py',
        'facts gallery measures methods niivue page pages painter study views',
    ),
    'reports.figures': (
        'drawn by test_reports_figures.py',
        'canvas contours defacing face flicker segmentation',
    ),
    'resources': ('run against a server, by test_resources.py', 'download fetch verify'),
    'status': ('run over releases with one fault each, by test_status.py', 'board holding survey'),
    'workflows': (
        'built and run by test_workflows.py',
        'anatref atlas brain_mask coreg deface outputs report resample segment study',
    ),
}
"""Packages that are tested from outside: who does so, and the modules that have no other test."""

HOLDERS = {'demo': 'release studies tables', 'phantom': 'face parcels scan shapes tissues vessels'}
"""Modules that one other module holds together, whose test file is theirs."""

HEAVY = {'fsspec', 'matplotlib', 'nibabel', 'nilearn', 'numpy', 'pandas', 'scipy', 'torch'}


def _modules() -> list[str]:
    """Return every module by its installed name; two packages live outside mrrate_bids/."""
    names = []
    for package in (mrrate_bids, templates, workflows):
        name = package.__name__
        names += [name, *(m.name for m in pkgutil.walk_packages(package.__path__, f'{name}.'))]
    return names


def _tracked() -> list[Path]:
    """Return what git keeps or would keep."""
    command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
    if not (ROOT / '.git').exists() or not shutil.which('git'):
        pytest.skip('not a git checkout')
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in listed.splitlines() if (ROOT / line).exists()]


def _python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel from a copy, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp('source')
    for path in _tracked():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    target = tmp_path_factory.mktemp('wheel')
    options = ['--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir', str(target)]
    _python('-m', 'pip', 'wheel', *options, '.', cwd=source)
    (built,) = target.glob('mrrate_bids-*.whl')
    return built


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp('installed')
    _python('-m', 'pip', 'install', '--quiet', '--no-deps', '--target', str(target), str(wheel))
    return target


def test_wheel_has_every_file_of_the_packages(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    homes = {
        'mrrate_bids': 'mrrate_bids',
        **{n: f'mrrate_bids/{n}' for n in ('templates', 'workflows')},
    }
    for path in _tracked():
        if path.parts[0] in homes:
            assert Path(homes[path.parts[0]], *path.parts[1:]).as_posix() in inside
    assert any(name.endswith('/licenses/LICENSE') for name in inside)


def test_installed_wheel_works_away_from_the_checkout(installed, tmp_path):
    code = (
        'import mrrate_bids.workflows as w, mrrate_bids.templates as t;'
        "print(w.__file__, t.__file__, len(t.read_toml('naming.toml')['file']))"
    )
    environment = os.environ | {'PYTHONPATH': str(installed)}
    done = _python('-c', code, cwd=tmp_path, env=environment)
    workflows_file, templates_file, kinds = done.stdout.split()
    assert workflows_file.startswith(str(installed))
    assert templates_file.startswith(str(installed))
    assert int(kinds) > 0
    done = _python('-m', 'mrrate_bids', '--version', cwd=tmp_path, env=environment)
    assert mrrate_bids.__version__ in done.stdout


def test_every_console_script_can_be_loaded():
    scripts = importlib.metadata.distribution('mrrate-bids').entry_points
    assert {script.name for script in scripts} == {'mrrate-bids', 'mrrate-bids-app'}
    for script in scripts:
        assert callable(script.load())


@pytest.mark.parametrize('name', _modules())
def test_module_imports(name):
    importlib.import_module(name)


@pytest.mark.parametrize('name', [n for n in _modules() if not n.endswith('__main__')])
def test_doctests_of_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_doctests_are_found_in_mapped_packages_and_elsewhere():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in _modules() for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) > 5


def _excused() -> set[str]:
    """Return the modules that have no test file of their own, and need none."""
    parts = {f'{package}.': names for package, (_, names) in AS_A_WHOLE.items()}
    parts |= {f'{name}_': names for name, names in HOLDERS.items()}
    named = [
        f'mrrate_bids.{start}{name}' for start, names in parts.items() for name in names.split()
    ]
    return {*UNTESTED, *named}


@pytest.mark.parametrize('name', _modules())
def test_module_has_a_test_file(name):
    """``cli.groups`` is tested in ``test_cli_groups.py``; a package by the name that it has."""
    parts = re.split(r'[._]', name.removeprefix('mrrate_bids').strip('.'))
    file = f'test_{"_".join(parts)}.py'
    has_one = (ROOT / 'tests' / file).exists()
    assert has_one or name in _excused(), f'there is no tests/{file}'
    assert not has_one or name not in _excused(), f'tests/{file} is there: excuse {name} no more'


def test_excuses_are_for_modules_that_there_are():
    assert _excused() <= set(_modules())


@pytest.mark.parametrize('reason', [*UNTESTED.values(), *(why for why, _ in AS_A_WHOLE.values())])
def test_files_that_excuses_name_are_there(reason):
    for file in re.findall(r'test_\w+\.py', reason):
        assert (ROOT / 'tests' / file).exists()


def test_command_line_starts_without_heavy_packages():
    code = (
        'import sys; from mrrate_bids.cli import main; main(["--help"], standalone_mode=False);'
        f'print("loaded:", *({HEAVY!r} & sys.modules.keys()))'
    )
    assert _python('-c', code).stdout.splitlines()[-1].strip() == 'loaded:'


@pytest.mark.parametrize('name', ['', *main.list_commands(None)])
def test_help_is_laid_out_by_click(name):
    """A raw docstring would show the mark that keeps the examples apart instead of obeying it."""
    shown = CliRunner().invoke(main, [name, '--help'][not name :])
    assert shown.exit_code == 0, shown.output
    assert '\\b' not in shown.output


@pytest.mark.parametrize('package', ['checks', 'cli'])
def test_folder_of_receipts_is_not_spelt_again(package):
    paths = [*(ROOT / 'mrrate_bids' / package).glob('*.py')]
    assert len(paths) > 5
    for path in paths:
        assert FOLDER not in path.read_text(encoding='utf-8'), path.name


def test_citation_is_valid_and_of_this_version():
    citation = Citation((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    citation.validate()
    assert citation.cffobj['version'] == mrrate_bids.__version__
    assert str(citation.cffobj['date-released']) == mrrate_bids.__released__


def test_changes_speak_of_this_version():
    heading = f'## [{mrrate_bids.__version__}] - {mrrate_bids.__released__}'
    assert heading in (ROOT / 'CHANGES.md').read_text(encoding='utf-8')


def test_repository_holds_no_image_of_a_head():
    assert not [path for path in _tracked() if path.name.endswith(('.nii', '.nii.gz'))]
