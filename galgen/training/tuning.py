"""``--precision auto`` and ``--compile auto``: decided by one measurement, which is kept.

A few training steps of copies of the model are timed in each form that the hardware supports. What
they take is kept per machine, model and shape, so that the next run of the kind knows it. A run
that is over before measuring would pay takes the rule of thumb: bfloat16 where the hardware is made
for it, nothing compiled.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from torch import distributed as dist

from galgen.config import RunConfig
from galgen.errors import ConfigError
from galgen.sections import TrainConfig
from galgen.training import timings
from galgen.training.compiling import lacks, require
from galgen.training.machine import Machine, fast_bf16
from galgen.training.memory import release
from galgen.training.replicas import met
from galgen.training.stopwatch import Form, Stopwatch, furthest
from galgen.training.timings import Timings

#: Variable that is ``off`` for the rule of thumb everywhere.
SWITCH = "GALGEN_TUNING"
#: Set by the first process for those that it starts: what it chose.
CHOSEN = "GALGEN_CHOSEN"
#: Runs of fewer images measure nothing.
FEWEST_IMAGES = 10_000
#: Seconds that timing steps takes at most, and that compiling takes, about.
TIMING, COMPILING = 8.0, 60.0
#: Part of a run that a measurement may take.
PART = 0.05
#: A gain below this is chance.
MARGIN = 1.03
#: Largest relative differences of a parameter's compiled gradient that may be rounding: 0.0002 and
#: 0.2 were seen (benchmarks/compiling.py). A gradient that the compiler loses is off by 1.
ROUNDING = {"32": 0.02, "bf16": 0.5}


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes
    ----------
    precision
        ``32`` or ``bf16``.
    compile
        ``on`` or ``off``.
    reasons
        Sentences for a person.
    """

    precision: str
    compile: str
    reasons: tuple[str, ...] = ()

    def applied(self, config: RunConfig, machine: Machine) -> tuple[RunConfig, Machine]:
        """Configuration and machine with the choice in them."""
        changes = {"train.precision": self.precision, "train.compile": self.compile}
        return config.replace(changes), replace(machine, precision=self.precision)


def tune(config: RunConfig, model: Any, machine: Machine) -> Choice:
    """Choose precision and compiling, where they are ``auto``; the first process alone does this.

    Parameters
    ----------
    model
        An `galgen.models.base.AdversarialModule`, which is left as it is.

    Raises
    ------
    ConfigError
        If the networks are to be compiled and cannot be.
    """
    choice = _Tuning(config.train, model, machine).choice()
    # What was tried on lies in the allocator's cache, where the set is to go.
    release()
    return choice


def agreed(choice: Choice | None) -> Choice:
    """The first process' choice, on every process; the others give None."""
    if met():
        shared = [choice]
        dist.broadcast_object_list(shared, src=0)
        assert shared[0] is not None
        return shared[0]
    if choice is not None:
        os.environ[CHOSEN] = json.dumps([choice.precision, choice.compile])
        return choice
    return Choice(*json.loads(os.environ.get(CHOSEN, '["32", "off"]')))


class _Tuning:
    """One decision, with what it knows and what it still has to measure."""

    def __init__(self, train: TrainConfig, model: Any, machine: Machine) -> None:
        self.train, self.machine, self.model = train, machine, model
        self.batch = train.batch // machine.replicas
        self.steps = train.images / train.batch
        switched_off = os.environ.get(SWITCH) == "off"
        # A copy's step would wait for replicas that do not take it.
        self.measures = not switched_off and not met()
        self.kind = timings.kind_of(model, self.batch, train.micro_batch, machine)
        self.known = Timings() if switched_off else timings.recall(self.kind)
        self.kept = bool(self.known.seconds)
        self._watch: Stopwatch | None = None
        self._first: float | None = None

    @property
    def watch(self) -> Stopwatch:
        if self._watch is None:
            self._watch = Stopwatch(self.model, self.batch, self.train.micro_batch, self.machine)
        return self._watch

    def choice(self) -> Choice:
        if self.train.compile == "on":
            require(self.machine.accelerator)
        precision, why = self._precision()
        form = Form(precision, compiled=True)
        if self.train.compile == "on":
            if self.measures and not self._tried(form):
                self._check(form)
            if str(form) in self.known.wrong:
                raise ConfigError(
                    f"--compile on does not work here, since {self.known.wrong[str(form)]}: leave "
                    "it out, or take off."
                )
            return Choice(precision, "on", why)
        if self.train.compile == "off":
            return Choice(precision, "off", why)
        if (lack := lacks(self.machine.accelerator)) is not None:
            return Choice(precision, "off", (*why, f"compile off: {lack}"))
        on, reason = self._compile(precision)
        return Choice(precision, "on" if on else "off", (*why, reason))

    def _precision(self) -> tuple[str, tuple[str, ...]]:
        """The precision, and a sentence where it was for us to choose."""
        if self.train.precision != "auto":
            return self.train.precision, ()
        if not fast_bf16(self.machine.accelerator):
            return "32", ("precision 32: this hardware is not made for bfloat16",)
        forms = [Form("bf16"), Form("32")]
        if not self._timed(forms):
            return "bf16", (f"precision bf16: the hardware is made for it ({self._short()})",)
        fast, slow = sorted(forms, key=lambda form: self.known.seconds[str(form)])
        ratio = self.known.seconds[str(slow)] / self.known.seconds[str(fast)]
        other = "bfloat16" if slow.precision == "bf16" else "float32"
        return fast.precision, (
            f"precision {fast.precision}: {ratio:.2g} times as fast as {other} {self._source()}",
        )

    def _compile(self, precision: str) -> tuple[bool, str]:
        """Whether compiling pays, and why."""
        plain, form = Form(precision), Form(precision, compiled=True)
        if str(form) not in self.known.seconds and str(form) not in self.known.wrong:
            if not self._worth(COMPILING, plain):
                return False, f"compile off: {self._short()}"
            self._check(form)
        if str(form) in self.known.wrong:
            return False, f"compile off: {self.known.wrong[str(form)]}"
        if str(form) not in self.known.seconds:
            self._time([plain, form])
        before, after = (self.known.seconds[str(f)] for f in (plain, form))
        ratio, cost = before / after, self.known.compiling[str(form)]
        if ratio < MARGIN:
            return False, f"compile off: {ratio:.2g} times as fast compiled {self._source()}"
        if self._compiled_steps * (before - after) < cost:
            return False, (
                f"compile off: {ratio:.2g} times as fast compiled, but so short a run does "
                f"not save the {cost:.0f} s of compiling {self._source()}"
            )
        return True, (
            f"compile on: {ratio:.2g} times as fast, after {cost:.0f} s of compiling "
            f"{self._source()}"
        )

    # -- measuring -----------------------------------------------------------------------

    def _timed(self, forms: list[Form]) -> bool:
        """Whether these forms' times are known, or were worth measuring."""
        missing = [form for form in forms if str(form) not in self.known.seconds]
        if not missing:
            return True
        if not self._worth(TIMING, forms[0]):
            return False
        self._time(forms)
        return True

    def _worth(self, cost: float, form: Form) -> bool:
        """Whether measuring for so many seconds is little beside a run in this form."""
        if not self.measures or self.train.images < FEWEST_IMAGES:
            return False
        step = self.known.seconds.get(str(form), self._first)
        if step is None:
            step = self._first = self.watch.probe(form)
        whole = step * self.steps
        if self.train.minutes is not None:
            whole = min(whole, 60 * self.train.minutes)
        return cost <= PART * whole

    def _time(self, forms: list[Form]) -> None:
        """Time these forms by turns; the quickest cycle of each counts."""
        best = {form: float("inf") for form in forms}
        spent = rounds = 0.0
        while rounds < 2 or (rounds < 6 and spent * (1 + 1 / rounds) < TIMING):
            for form in forms:
                step = self.watch.cycle(form)
                spent += step * self.watch.steps
                # The first round warms up.
                best[form] = min(best[form], step) if rounds else best[form]
            rounds += 1
        self._keep(seconds={str(form): time for form, time in best.items()})

    def _check(self, form: Form) -> None:
        """Compile, and compare with what is not compiled."""
        try:
            plain = self.watch.gradients(Form(form.precision))
            begin = datetime.now(UTC)
            compiled = self.watch.gradients(form)
            took = (datetime.now(UTC) - begin).total_seconds()
        except (ConfigError, RuntimeError) as error:
            # What compiling fails with in the backward pass comes as it is.
            lines = str(error).split(": use --")[0].strip().splitlines()
            self._keep(wrong={str(form): lines[0] if lines else type(error).__name__})
            return
        off = furthest(plain, compiled)
        if not off <= ROUNDING[form.precision]:
            said = f"this version of torch compiles the model to gradients that are {off:.0%} off"
            self._keep(wrong={str(form): said})
        self._keep(compiling={str(form): took})

    def _keep(self, **more: dict[str, Any]) -> None:
        fields = {name: {**getattr(self.known, name), **values} for name, values in more.items()}
        self.known = replace(self.known, when=f"{datetime.now(UTC):%Y-%m-%d}", **fields)
        self.kept = timings.remember(self.kind, self.known)

    def _tried(self, form: Form) -> bool:
        """Whether it is known what comes of compiling."""
        return str(form) in self.known.compiling or str(form) in self.known.wrong

    # -- sentences -----------------------------------------------------------------------

    @property
    def _compiled_steps(self) -> float:
        """Steps that compiled passes are for: networks that grow are compiled once grown."""
        grown = self.model.recipe.grow_images if self.model.grows else 0
        grown = self.train.images // 2 if grown == "auto" else grown
        return max(0.0, self.steps * (1 - grown / self.train.images))

    def _short(self) -> str:
        if not self.measures:
            return "not measured"
        return "too short a run to measure what pays"

    def _source(self) -> str:
        kept = f", kept in {timings.folder()}" if self.kept else ""
        return f"here (measured {self.known.when}{kept})"
