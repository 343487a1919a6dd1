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
    'mrrate_bids.computing': 'holds modules only',
    'mrrate_bids.computing.ants_session': 'tested in test_computing_registration.py',
    'mrrate_bids.job_script': 'tested in test_cli_slurm.py',
    'mrrate_bids.phenotype': 'tested through finalise, in test_dataset.py',
    'mrrate_bids.study_files': 'tested through Exporter, in test_export.py',
    'mrrate_bids.visits': 'tested through finalise, in test_dataset.py',
}
"""Modules without a test file of their own, each with the reason."""

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


@pytest.mark.parametrize('name', _modules())
def test_module_has_a_test_file(name):
    """``cli.export`` is tested in ``test_cli_export.py`` or, with its like, in ``test_cli.py``."""
    parts = re.split(r'[._]', name.removeprefix('mrrate_bids').strip('.'))
    files = [f'test_{"_".join(parts[: count + 1])}.py' for count in range(len(parts))]
    has_one = any((ROOT / 'tests' / file).exists() for file in files)
    assert has_one != (name in UNTESTED), f'{name}: {UNTESTED.get(name, "no test file")}'


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
    for path in (ROOT / 'mrrate_bids' / package).glob('*.py'):
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
