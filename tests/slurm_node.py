"""Slurm on one machine: its daemons in a folder, started by a test and stopped by it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

NEEDED = ('munged', 'mungekey', 'slurmctld', 'slurmd', 'sbatch', 'scancel', 'squeue', 'scontrol')

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={socket},cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/completed.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ReturnToService=2
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=1
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def why_not():
    """Return why there can be no Slurm here; empty where there can."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        return f'no {missing[0]} (Debian: slurmctld, slurmd, slurm-client, munge)'
    return '' if os.geteuid() == 0 else 'slurmd needs root'


def _ports():
    """Return two ports that nobody uses."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(('127.0.0.1', 0))
        return one.getsockname()[1], two.getsockname()[1]


@contextmanager
def daemons(root: Path):
    """Start Slurm in *root*, and yield the environment in which its commands find it."""
    pids = []
    try:
        pids.append(_start_munge(root))
        host = socket.gethostname().partition('.')[0]
        text = CONFIG.format(
            host=host,
            root=root,
            socket=root / 'munge.socket',
            user=getpass.getuser(),
            ports=_ports(),
            cpus=os.cpu_count(),
        )
        (root / 'slurm.conf').write_text(text)
        environment = os.environ | {'SLURM_CONF': str(root / 'slurm.conf')}
        for name in ('state', 'spool'):
            (root / name).mkdir()
        for name in ('slurmctld', 'slurmd'):  # each goes into the background
            subprocess.run([name], env=environment, check=True, capture_output=True)
            pids.append(_pid(root / f'{name}.pid'))
        _wait(lambda: 'idle' in _sinfo(environment), f'no node: see {root}')
        yield environment
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in reversed(pids):
            _wait(lambda pid=pid: not Path(f'/proc/{pid}').exists(), f'{pid} does not end')


def _start_munge(root: Path) -> int:
    key = root / 'munge.key'
    subprocess.run(['mungekey', '--create', f'--keyfile={key}'], check=True)
    command = ['munged', '--force', f'--key-file={key}', f'--socket={root / "munge.socket"}']
    command += [f'--{what}-file={root}/munge.{what}' for what in ('pid', 'log', 'seed')]
    subprocess.run(command, check=True, capture_output=True)
    return _pid(root / 'munge.pid')


def _pid(path: Path) -> int:
    _wait(lambda: path.exists() and path.read_text().strip(), f'{path} is not written')
    return int(path.read_text())


def _sinfo(environment):
    command = ['sinfo', '--noheader', '--format=%T']
    return subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True
    ).stdout


def _wait(what, or_else, seconds=20):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, or_else
        time.sleep(0.05)
