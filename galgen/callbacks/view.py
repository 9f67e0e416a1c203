"""How a run looks while it trains: a table for terminals, a line for logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: A table narrower than this has one value a line instead of two.
TWO_COLUMNS = 72
#: Nothing gets easier to read by being wider.
WIDEST = 100
#: Measurements in the small trend.
TREND = 12
_LEVELS = "▁▂▃▄▅▆▇█"
_LABEL = 14
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_PENALTIES = {"r1": "r1", "r2": "r2", "gradient_penalty": "gp"}
_METRICS = {
    "frechet": "frechet",
    "rmae": "rmae",
    "coverage": "coverage",
    "diversity": "diversity",
    "colour_magnitude_ratio": "colour-mag.",
}


@dataclass
class State:
    """What there is to see of a run.

    Attributes
    ----------
    title, where
        The run folder's name; its devices and precision.
    images, total
        Images seen, and the length of the run.
    stage
        Resolution of a growing pair, empty for others.
    speed
        Images/s of the last half minute, None before there is one.
    spent, left
        Seconds trained and to go.
    means
        What was logged last, see `galgen.callbacks.log.LogMeans`.
    metrics
        What was measured last.
    chooser
        The metric that best.ckpt is chosen by.
    best, best_at
        Its lowest value, and the images at which it was; None where not known.
    trend
        Its last values.
    nonfinite, rollbacks
        Steps without a finite gradient, and how often the run went back because of them.
    collapsed
        Whether the collapse alarm holds.
    memory
        Bytes by name: ``process``, and where there is a GPU ``gpu`` and ``peak``.
    """

    title: str = ""
    where: str = ""
    images: int = 0
    total: int = 0
    stage: str = ""
    speed: float | None = None
    spent: float = 0.0
    left: float | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    chooser: str = "frechet"
    best: float | None = None
    best_at: int | None = None
    trend: Sequence[float] = ()
    nonfinite: int = 0
    rollbacks: int = 0
    collapsed: bool = False
    memory: Mapping[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """The essentials in one line."""
        means = self.means
        parts = [f"{self.images:,} of {self.total:,} images"]
        parts += [self.stage] if self.stage else []
        if self.speed is not None:
            parts.append(f"{_speed(self.speed)} images/s")
        for name in ("critic", "generator"):
            if f"loss_{name}" in means:
                parts.append(f"{name} {short(means[f'loss_{name}'])}")
        parts += [f"{t} {short(means[n])}" for n, t in _PENALTIES.items() if n in means]
        norms = [
            means[f"gradient_{n}"] for n in ("critic", "generator") if f"gradient_{n}" in means
        ]
        if norms:
            parts.append("gradients " + " and ".join(map(short, norms)))
        if "ada_p" in means:
            parts.append(f"ada p {means['ada_p']:.3f}")
        if self.chooser in self.metrics:
            best = f" ({self._best()})" if self.best is not None else ""
            parts.append(f"{self.chooser} {short(self.metrics[self.chooser])}{best}")
        if self.trouble():
            parts.append(self.trouble())
        parts += [size(self.memory["process"])] if "process" in self.memory else []
        parts += [f"GPU {self._gpu()}"] if "gpu" in self.memory else []
        if self.left is not None:
            parts.append(f"{duration(self.left)} left")
        return ", ".join(parts)

    def trouble(self) -> str:
        """What is not as it should be, or nothing."""
        parts = []
        if self.nonfinite:
            parts.append(f"{self.nonfinite:,} steps without a finite gradient")
        if self.rollbacks:
            parts.append(
                f"went back {'once' if self.rollbacks == 1 else f'{self.rollbacks} times'}"
            )
        if self.collapsed:
            parts.append("collapse alarm")
        return ", ".join(parts)

    def _best(self) -> str:
        at = "" if self.best_at is None else f" at {self.best_at:,}"
        return f"best {short(self.best)}{at}"

    def _gpu(self) -> str:
        return f"{size(self.memory['gpu'])}, most {size(self.memory['peak'])}"

    def _groups(self, ascii_only: bool) -> Iterator[list[tuple[str, str]]]:
        """Names and values of what belongs together."""
        means, metrics = self.means, self.metrics
        yield [
            ("images", f"{self.images:,} of {self.total:,}"),
            ("speed", f"{_speed(self.speed)} images/s"),
            ("time", duration(self.spent)),
            ("left", "-" if self.left is None else f"about {duration(self.left)}"),
        ]
        networks = []
        for name in ("critic", "generator"):
            loss, norm = (short(means.get(f"{kind}_{name}")) for kind in ("loss", "gradient"))
            networks.append((f"{name} loss", f"{loss}, gradient {norm}"))
        yield networks
        found = [f"{t} {short(means[n])}" for n, t in _PENALTIES.items() if n in means]
        more = [("stage", self.stage)] if self.stage else []
        more.append(("penalties", ", ".join(found) or "-"))
        if "ada_p" in means:
            more.append(("ada p", f"{means['ada_p']:.3f}"))
        more.append(("learning rate", short(means.get("learning_rate"))))
        if "path_length" in means:
            more.append(("path length", short(means["path_length"])))
        if "process" in self.memory:
            more.append(("memory", size(self.memory["process"])))
        if "gpu" in self.memory:
            more.append(("GPU memory", self._gpu()))
        yield more
        if self.chooser in metrics:
            trend = "" if ascii_only else f"  {sparkline(self.trend)}"
            chosen = [(self.chooser, short(metrics[self.chooser]) + trend)]
            if self.best is not None:
                chosen.append(("best", self._best().removeprefix("best ")))
            yield chosen
        others = [name for name in _METRICS if name in metrics and name != self.chooser]
        yield [(_METRICS[name], short(metrics[name])) for name in others]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, bar, and values in one or two columns."""
        width = min(options.max_width, WIDEST)
        pairs = 2 if width >= TWO_COLUMNS else 1
        cut: Any = "crop" if options.ascii_only else "ellipsis"
        head = Table.grid(expand=True, padding=(0, 1, 0, 0), pad_edge=False)
        head.add_column(no_wrap=True, overflow=cut, ratio=1)
        head.add_column(no_wrap=True, justify="right")
        head.add_row(Text(self.title, "bold"), Text(self.where, "dim"))
        bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True, width=5)
        share = self.images / self.total if self.total else 1.0
        bar.add_row(
            # Colours of the terminal's own theme, be it dark or light.
            ProgressBar(
                total=max(self.total, 1),
                completed=min(self.images, self.total),
                style="bright_black",
                complete_style="cyan",
                finished_style="green",
            ),
            f"{100 * share:.0f} %",
        )
        body = Table.grid(padding=(0, 1, 0, 0))
        value = width // pairs - _LABEL - 2
        for _ in range(pairs):
            body.add_column(width=_LABEL, no_wrap=True, style="dim")
            body.add_column(width=value, no_wrap=True, overflow=cut)
        for group in self._groups(options.ascii_only):
            for start in range(0, len(group), pairs):
                cells = [cell for row in group[start : start + pairs] for cell in row]
                body.add_row(*(Text(cell) for cell in cells))
        whole = Table.grid()
        whole.add_column(width=width)
        whole.add_row("")
        for part in (head, bar, body):
            whole.add_row(part)
        if self.trouble():
            whole.add_row(Text(self.trouble(), "yellow", no_wrap=True, overflow=cut))
        yield whole


def short(value: float | None) -> str:
    """Three digits of a number.

    >>> short(0.69314), short(1234.5), short(2.5e-05), short(None)
    ('0.693', '1,234', '2.5e-05', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time in its two largest units, the second where it says something.

    >>> duration(42), duration(123), duration(1900), duration(7500), duration(200_000)
    ('42 s', '2 min 3 s', '32 min', '2 h 5 min', '2 d 7 h')
    """
    if 600 <= seconds < 3570:
        return f"{seconds / 60:.0f} min"
    whole = round(seconds) if seconds < 3570 else 60 * round(seconds / 60)
    for (unit, one), following in zip(_UNITS, (*_UNITS[1:], None), strict=True):
        if whole >= one and following is not None:
            rest = whole % one // following[1]
            return f"{whole // one} {unit}" + (f" {rest} {following[0]}" if rest else "")
    return f"{whole} s"


def size(count: int) -> str:
    """Bytes for a person.

    >>> size(812_000_000), size(3_140_000_000)
    ('812 MB', '3.1 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def sparkline(values: Sequence[float], count: int = TREND) -> str:
    """The last values as a row of bars, by their logarithms where all are positive.

    >>> sparkline([100, 10, 1])
    '█▅▁'
    """
    shown = [value for value in values if math.isfinite(value)][-count:]
    if len(shown) < 3:
        return ""
    heights = [math.log(value) for value in shown] if min(shown) > 0 else shown
    low, high = min(heights), max(heights)
    if high == low:
        return _LEVELS[3] * len(shown)
    scale = (len(_LEVELS) - 1) / (high - low)
    return "".join(_LEVELS[round((height - low) * scale)] for height in heights)


def _speed(speed: float | None) -> str:
    return "-" if speed is None else f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
