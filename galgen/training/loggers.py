"""TensorBoard and wandb beside metrics.csv, imported only when asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from galgen.config import RunConfig
from galgen.errors import ConfigError


def extra_loggers(config: RunConfig, run: Path) -> list[Any]:
    """TensorBoard and wandb, imported only when asked for."""
    loggers: list[Any] = []
    if "tensorboard" in config.train.logger:
        try:
            from lightning.pytorch.loggers import TensorBoardLogger

            loggers.append(TensorBoardLogger(run, name="tensorboard", version=""))
        except ModuleNotFoundError:
            raise ConfigError(
                "--logger tensorboard needs the extra: pip install 'galgen[tensorboard]'."
            ) from None
    if "wandb" in config.train.logger:
        from lightning.pytorch.loggers import WandbLogger

        offline = not (os.environ.get("WANDB_API_KEY") or _wandb_login())
        wandb = WandbLogger(
            project="galgen", name=run.name, save_dir=run, offline=offline, config=config.to_dict()
        )
        loggers.append(wandb)
    return loggers


def _wandb_login() -> bool:
    """True if wandb has an account on this machine."""
    for name in (".netrc", "_netrc"):
        path = Path.home() / name
        if path.is_file() and "wandb" in path.read_text(encoding="utf-8", errors="ignore"):
            return True
    return False
