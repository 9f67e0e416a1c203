"""``galgen`` with an accident on one replica after 32 images, or with its exchanges counted.

Run as ``python replicas_failing.py ACCIDENT RANK train ...``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from torch import distributed as dist

from galgen.callbacks.log import LogMeans
from galgen.errors import DataError
from galgen.training.replicas import world
from galgen_cli.main import app

watch = LogMeans.on_train_batch_end
#: Ways in which processes wait for each other.
WAYS = (
    "all_reduce", "all_gather", "all_gather_object", "all_gather_into_tensor", "barrier",
    "broadcast", "broadcast_object_list", "gather", "gather_object", "reduce", "scatter",
)  # fmt: skip
exchanges: list[str] = []


def counted(name: str) -> Any:
    """The function of that name, noted wherever it is called."""
    function = getattr(dist, name)

    def call(*arguments: Any, **options: Any) -> Any:
        exchanges.append(name)
        return function(*arguments, **options)

    return call


def accident(self: LogMeans, trainer: Any, module: Any, *rest: Any) -> None:
    """What the first argument says, on the replica that the second says."""
    if sys.argv[1] == "counted" and world()[0] == int(sys.argv[2]):
        if module.clock.images == 32:
            exchanges.clear()
        if module.clock.images == 72:
            print(f"exchanges in 5 steps: {' '.join(exchanges)}", file=sys.stderr, flush=True)
    elif world()[0] == int(sys.argv[2]) and module.clock.images == 32:
        if sys.argv[1] == "mistake":
            raise DataError("this image cannot be read.")
        if sys.argv[1] == "fault":
            raise RuntimeError("something broke\nin several lines")
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "hangs":
            time.sleep(600)
    watch(self, trainer, module, *rest)


if __name__ == "__main__":
    LogMeans.on_train_batch_end = accident
    if sys.argv[1] == "counted":
        for way in WAYS:
            setattr(dist, way, counted(way))
    if sys.argv[1] == "hangs":
        from datetime import timedelta

        from galgen.training import group

        group.TIMEOUT = timedelta(seconds=5)
        group._IMPORTED = time.monotonic()
    app(sys.argv[3:])
