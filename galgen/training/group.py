"""The processes of a run as a group: how they meet, agree on a folder, and end together."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed as dist

import galgen
from galgen.errors import ConfigError, GalgenError
from galgen.training import launch
from galgen.training.machine import Machine
from galgen.training.replicas import ReplicaStrategy, met
from galgen.training.trouble import ReplicaError, explain

#: Longest that a replica waits for the others in one exchange. Torch's default is 10 minutes for
#: NCCL and 30 for gloo; the longest that one alone has to do, pictures and features of the real
#: set, takes some tens of seconds.
TIMEOUT = timedelta(minutes=10)
#: Seconds that the first process has to end by itself when another one has ended with an error.
GRACE = 15.0
#: Set by the first process for those that it starts: the folder that it works in.
FOLDER = "GALGEN_RUN"
_IMPORTED = time.monotonic()
#: Processes that this one started; they stay for all fits of a command.
_started: list[Popen[bytes]] = []


class _Slurm(SLURMEnvironment):
    """SLURM's tasks; galgen has checked them itself, by those of the step rather than of the job.

    Lightning's own requeueing is off: it would save a checkpoint of its own form on SIGUSR1.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    @staticmethod
    def _validate_srun_variables() -> None:
        pass

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        pass

    def world_size(self) -> int:
        return launch.find().tasks


def environment() -> ClusterEnvironment:
    """Lightning's environment for how this process was started; for ``Trainer(plugins=...)``."""
    kind = launch.find().kind
    if kind == "slurm":
        return _Slurm()
    return TorchElasticEnvironment() if kind == "torchrun" else LightningEnvironment()


class _Launcher(_SubprocessScriptLauncher):
    """Starts the other processes of this node, and ends with them where one of them fails.

    Lightning's own watch kills the first process without a word.
    """

    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any
    ) -> Any:
        if not self.cluster_environment.creates_processes_externally:
            with _kept_back():
                self._call_children_scripts()
            _started.extend(self.procs)
            threading.Thread(target=_watch, args=(self.procs,), daemon=True).start()
        return function(*args, **kwargs)


@contextmanager
def _kept_back() -> Iterator[None]:
    """Processes that are started here get no signal until they listen: it would end them.

    `galgen.callbacks.signals.Signals` lets them through.
    """
    mask: Any = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


class Replicas(ReplicaStrategy):
    """`ReplicaStrategy` with a timeout, and processes that end together."""

    def __init__(self) -> None:
        # Processes that galgen starts read the data anew while the first one waits for them.
        plain = launch.find().kind == "plain"
        reading = timedelta(seconds=2 * (time.monotonic() - _IMPORTED)) if plain else timedelta(0)
        super().__init__(timeout=TIMEOUT + reading)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = _Launcher(self.cluster_environment, self.num_processes, self.num_nodes)


def backend(accelerator: str) -> str:
    """What the replicas talk by: ``nccl`` or ``gloo``."""
    return dist.Backend.default_device_backend_map.get(accelerator, "gloo")


def meet(machine: Machine) -> list[str]:
    """Bring processes together that something else started, so that they can agree on a folder.

    Returns
    -------
    list of str
        A sentence on the replicas; none for a single one.

    Raises
    ------
    ReplicaError
        If they do not find each other, or are not of one version.
    """
    start = launch.find()
    rank_zero_only.rank = start.rank  # type: ignore[attr-defined]
    if machine.threads is not None and machine.replicas > 1:
        torch.set_num_threads(machine.threads)
        # Read by libraries in processes that this one starts, and kept by Lightning.
        os.environ.setdefault("OMP_NUM_THREADS", str(machine.threads))
    if machine.replicas == 1:
        return []
    sentence = (
        f"replicas: {machine.replicas}, {machine.devices} on "
        f"{f'each of {machine.nodes} nodes' if machine.nodes > 1 else 'one node'}, started by "
        f"{start.by}, talking by {backend(machine.accelerator)}"
    )
    if start.kind == "plain" or met():
        return [sentence]
    cluster = environment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = (
        cluster.main_address,
        str(cluster.main_port),
    )
    device = None
    if machine.accelerator == "cuda":
        device = torch.device("cuda", start.local)
        torch.cuda.set_device(device)
    with translated():
        dist.init_process_group(
            backend(machine.accelerator),
            rank=start.rank,
            world_size=start.tasks,
            timeout=TIMEOUT,
            device_id=device,
        )
        atexit.register(_leave)
        _same_versions()
    return [sentence]


def _leave() -> None:
    if met():
        dist.destroy_process_group()


def _same_versions() -> None:
    mine = {"galgen": galgen.__version__, "torch": torch.__version__}
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    for rank, other in enumerate(found):
        for name, version in mine.items():
            if other[name] != version:
                raise ReplicaError(
                    f"replica {rank} runs {name} {other[name]} and replica {dist.get_rank()} "
                    f"{name} {version}: install the same versions on all nodes."
                )


def told() -> Path | None:
    """The folder that the process which started this one works in; None for the first."""
    return None if launch.first() or FOLDER not in os.environ else Path(os.environ[FOLDER])


def of_first(make: Callable[[], Path]) -> Path:
    """A path that the first process finds or makes, on every process.

    Raises
    ------
    GalgenError
        What `make` raises; on the other processes that the first could not.
    """
    if met():
        name: list[str | None] = [None]
        failed: BaseException | None = None
        if dist.get_rank() == 0:
            try:
                name = [str(make())]
            except Exception as error:
                failed = error
        dist.broadcast_object_list(name, src=0)
        if failed is not None:
            raise failed
        if name[0] is None:
            raise ReplicaError("the first replica has no run folder: see what it says.")
        return Path(name[0])
    if launch.first():
        path = make()
        os.environ[FOLDER] = str(path)
        return path
    given = told()
    if given is None:
        raise ConfigError(
            f"LOCAL_RANK is {os.environ.get('LOCAL_RANK')}, but galgen did not start this process: "
            "start the replicas by --devices, torchrun or srun."
        )
    return given


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the group become a sentence with what to try."""
    try:
        yield
    except GalgenError:
        raise
    except Exception as error:
        said = explain(error)
        if said is None:
            raise
        raise ReplicaError(said) from error


@contextmanager
def together(trainer: L.Trainer) -> Iterator[None]:
    """Around a fit of several replicas: an error on one of them ends all, each with a sentence."""
    if trainer.world_size == 1:
        yield
        return
    try:
        with translated():
            yield
    except BaseException as error:
        failed = _failed(_started) if isinstance(error, ReplicaError) else None
        for process in _started:
            process.kill()
        if failed is not None:
            raise failed from error
        # That others are lost is said once a node.
        lost = isinstance(error, ReplicaError) and launch.find().local
        if trainer.global_rank and not lost and not getattr(error, "agreed", False):
            error.add_note(f"replica {trainer.global_rank}")
        raise


def _failed(processes: Sequence[Popen[bytes]]) -> ReplicaError | None:
    """What became of a process that this one started, where one has ended with an error."""
    until = time.monotonic() + (GRACE / 3 if processes else 0)
    while time.monotonic() < until:
        for rank, process in enumerate(processes, 1):
            if process.poll():
                return ReplicaError.of_end(rank, process.returncode)
        time.sleep(0.05)
    return None


def _watch(processes: Sequence[Popen[bytes]]) -> None:
    """End this process when one that it started has failed and it does not notice by itself.

    Over gloo it does, at the next exchange. NCCL waits for the timeout.
    """
    while any(process.poll() is None for process in processes):
        time.sleep(0.5)
        for rank, process in enumerate(processes, 1):
            if not process.poll():
                continue
            time.sleep(GRACE)
            error = ReplicaError.of_end(rank, process.returncode)
            print(f"galgen: {error}", file=sys.stderr, flush=True)
            for other in processes:
                other.kill()
            # Nothing less ends a thread that waits in a collective of NCCL.
            os._exit(error.exit_code)
