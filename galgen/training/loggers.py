"""TensorBoard and wandb beside metrics.csv: imported when asked for, left out when they fail."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from galgen.config import RunConfig
from galgen.errors import ConfigError

#: Seconds that wandb may take to answer before it goes on offline.
ANSWER_SECONDS = 60

_log = logging.getLogger(__name__)


def extra_loggers(config: RunConfig, run: Path, resumed_at: int | None = None) -> list[Logger]:
    """TensorBoard and wandb, imported only when asked for.

    Parameters
    ----------
    run
        The run folder.
    resumed_at
        Images at which a run goes on; what was written after them is written again.

    Raises
    ------
    ConfigError
        If TensorBoard is not installed.
    """
    loggers: list[Logger] = []
    if "tensorboard" in config.train.logger:
        try:
            from lightning.pytorch.loggers import TensorBoardLogger

            purge = None if resumed_at is None else resumed_at + 1
            board = TensorBoardLogger(run, name="tensorboard", version="", purge_step=purge)
        except ModuleNotFoundError:
            raise ConfigError(
                "--logger tensorboard needs the extra: pip install 'galgen[tensorboard]'."
            ) from None
        loggers.append(Guarded("tensorboard", board))
    if "wandb" in config.train.logger:
        loggers.append(Guarded("wandb", WandbLog(run, config.to_dict())))
    return loggers


class Guarded(Logger):
    """A logger that may fail: the first time it does, it says so and is left out.

    Parameters
    ----------
    called
        What ``--logger`` calls it.
    logger
        The logger.
    """

    def __init__(self, called: str, logger: Logger) -> None:
        super().__init__()
        self._called = called
        self._logger: Logger | None = logger

    def _try(self, act: Callable[[Logger], Any], otherwise: Any = None) -> Any:
        if self._logger is None:
            return otherwise
        try:
            return act(self._logger)
        except Exception as error:
            self._logger = None
            text = str(error).strip()
            why = text.splitlines()[0].rstrip(".") if text else type(error).__name__
            _log.warning(
                "--logger %s failed (%s): it is left out from here on, and metrics.csv goes on.",
                self._called,
                why,
            )
            return otherwise

    @property
    def name(self) -> str | None:
        """As the logger says."""
        return self._called

    @property
    def version(self) -> int | str | None:
        """As the logger says."""
        found: int | str | None = self._try(lambda logger: logger.version)
        return found

    @property
    def save_dir(self) -> str | None:
        """As the logger says."""
        found: str | None = self._try(lambda logger: logger.save_dir)
        return found

    @property
    def experiment(self) -> Any:
        """As the logger says; None after it failed."""
        return self._try(lambda logger: getattr(logger, "experiment", None))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pass on."""
        self._try(lambda logger: logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass on."""
        self._try(lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    def save(self) -> None:
        """Pass on."""
        self._try(lambda logger: logger.save())

    def finalize(self, status: str) -> None:
        """Pass on."""
        self._try(lambda logger: logger.finalize(status))


class WandbLog(Logger):
    """Weights & Biases, a step of which is an image.

    Lightning's logger leaves the step to wandb, which counts from 0 again where a run goes on
    offline, and puts several runs of one process into one.

    A run that goes on keeps its id. What was logged after the checkpoint that it goes on from
    comes again, the same to the last bit, and wandb, which takes no step twice, is spared it.

    Parameters
    ----------
    run
        The run folder, where wandb keeps its files.
    config
        Shown beside the charts.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._folder, self._config = run, dict(config)
        self._run: Any = None
        self._step = 0

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "wandb"

    @property
    def version(self) -> str | None:
        """Id of the run; None before it began."""
        return None if self._run is None else str(self._run.id)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of wandb, begun at first use."""
        if self._run is None:
            offline = not (os.environ.get("WANDB_API_KEY") or _wandb_login())
            try:
                self._run = self._begin(self._id(), offline)
            except Exception as error:
                if offline:
                    raise
                _log.warning(
                    "wandb cannot be reached (%s): it goes on offline in %s; upload it later by "
                    "wandb sync.",
                    str(error).strip().splitlines()[0].rstrip("."),
                    self._folder / "wandb",
                )
                # The first one's id is taken, though nobody knows of it.
                self._run = self._begin(uuid.uuid4().hex[:12], offline=True)
            self._step = self._run.step
        return self._run

    def _id(self) -> str:
        """The id of the run, drawn when it first began."""
        kept = self._folder / "wandb" / "galgen-id"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
        return kept.read_text(encoding="utf-8").strip()

    def _begin(self, name: str, offline: bool) -> Any:
        import wandb

        mode: Any = "offline" if offline and "WANDB_MODE" not in os.environ else None
        return wandb.init(
            project="galgen",
            name=self._folder.name,
            dir=str(self._folder),
            id=name,
            resume=None if offline else "allow",
            mode=mode,
            reinit="create_new",
            config=self._config,
            # What wandb would keep of the console is the live view, four times a second.
            settings=wandb.Settings(console="off", init_timeout=ANSWER_SECONDS),
        )

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Send values at `step` images."""
        run, images = self.experiment, step or 0
        if images >= self._step:
            self._step = images
            try:
                run.log(dict(metrics), step=images)
            except ConnectionError:
                # Its process died, and wandb would show a traceback over it at the very end.
                import wandb

                with suppress(Exception):
                    wandb.teardown()
                raise

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration holds them."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End wandb's run, so that a next one in this process is one of its own."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._run = None


def _wandb_login() -> bool:
    """True if wandb has an account on this machine."""
    for name in (".netrc", "_netrc"):
        path = Path.home() / name
        if path.is_file() and "wandb" in path.read_text(encoding="utf-8", errors="ignore"):
            return True
    return False
