"""The collapse alarm: says so when samples become alike or a metric jumps. Training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

import lightning as L
from rich.console import Console

from galgen.callbacks.log import log
from galgen.models.base import AdversarialModule

#: A fall below this part of the best so far is one.
FALL = 0.5
#: Best values below these are no height to fall from: a generator that has just begun.
HEIGHT = {"coverage": 0.1, "diversity": 0.3}
#: A jump is so many times the median of the last measurements, of which it takes some.
JUMP, LAST, FEWEST = 2.0, 5, 2
#: Endings of the names, and of the sentences.
_FEATURES = {"": "in physics features", "_galaxy": "in features of the galaxy network"}
_WORDS = {
    "coverage": "coverage, the share of real galaxies with a generated one near,",
    "diversity": "diversity, how far samples lie apart in units of real galaxies,",
}


class CollapseAlarm(L.Callback):
    """Watches what metric callbacks measure.

    The alarm goes where coverage or diversity falls below half of its best value so far, or where
    the Frechet distance jumps to twice the median of the last five (the thesis saw its collapses
    as such jumps), in physics features or in those of the galaxy network. It goes once, and again
    only after things were well in between. Logged as ``collapse``: 1 while it holds.

    Parameters
    ----------
    console
        Where the sentence goes; None for nowhere.

    Attributes
    ----------
    reasons
        Why it holds now, a sentence each; empty where all is well.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console
        self.best: dict[str, float] = {}
        self.history: dict[str, list[float]] = {}
        self.reasons: list[str] = []

    def offer(self, trainer: L.Trainer, values: Mapping[str, float]) -> None:
        """Take in metrics of the present weights, on every replica."""
        module = trainer.lightning_module
        assert isinstance(module, AdversarialModule)
        if "frechet" not in values:
            return
        before, self.reasons = self.reasons, self._judge(values)
        log(trainer, {"collapse": float(bool(self.reasons))}, module.clock.images)
        new = bool(self.reasons) and not before
        if new and trainer.is_global_zero and self.console is not None:
            self.console.print(
                f"collapse alarm at {module.clock.images:,} images: {'; '.join(self.reasons)}. "
                "Training goes on and may recover; best.ckpt keeps the best so far. If it does "
                "not: augmentation (recipe.ada), a larger penalty (recipe.r1), or a smaller rate.",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )

    def _judge(self, values: Mapping[str, float]) -> list[str]:
        found = []
        for suffix, where in _FEATURES.items():
            for name, height in HEIGHT.items():
                value, best = values.get(name + suffix), self.best.get(name + suffix, 0.0)
                if value is None:
                    continue
                if best >= height and value < FALL * best:
                    found.append(f"{_WORDS[name]} fell from {best:.2f} to {value:.2f} {where}")
                # Noise lies further apart than galaxies do: that is no height to fall from.
                self.best[name + suffix] = max(best, min(value, 1.0))
            value, last = values.get("frechet" + suffix), self.history.get(suffix, [])
            if value is None:
                continue
            if len(last) >= FEWEST and value > JUMP * median(last):
                found.append(
                    f"the Fréchet distance jumped from about {median(last):.3g} to {value:.3g} "
                    f"{where}"
                )
            self.history[suffix] = [*last, value][-LAST:]
        return found

    def state_dict(self) -> dict[str, Any]:
        """Best values, the last distances, and whether the alarm holds."""
        return {"best": dict(self.best), "history": dict(self.history), "reasons": self.reasons}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.best, self.history = dict(state_dict["best"]), dict(state_dict["history"])
        self.reasons = list(state_dict["reasons"])
