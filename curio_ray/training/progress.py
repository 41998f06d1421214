"""What a person sees while a run goes on: phases, then a line that moves with the iterations."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_SHOWN = (
    ("dialogues_per_second", "dialogues/s", "{:.1f}"),
    ("success", "success", "{:.2f}"),
    ("belief", "belief in true type", "{:.2f}"),
    ("kl", "KL", "{:.3f}"),
)


class ProgressDisplay:
    """A live display on a terminal; plain lines, one per `plain_every` iterations, elsewhere."""

    def __init__(self, console: Console, iterations: int = 0, plain_every: int = 5) -> None:
        self._console = console
        self._iterations = iterations
        self._plain_every = plain_every
        self._live = Live(
            console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False
        )
        self._started = time.monotonic()
        self._phase: str | None = None
        self._phase_started = self._started
        self._first: tuple[int, float] | None = None
        self._current: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._close_phase()
        self._live.update(Text(), refresh=self._live.is_started)
        self._live.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def phase(self, text: str) -> None:
        """A new phase begins, such as "starting servers"; the last one is over."""
        self._close_phase()
        self._phase, self._phase_started = text, time.monotonic()
        if self._console.is_terminal:
            self._refresh()
        else:
            self.say(f"{text} ...")

    def iteration(self, metrics: Mapping[str, Any]) -> None:
        """An iteration is over; `metrics["iteration"]` is its number, counted from 1."""
        number = int(metrics["iteration"])
        now = time.monotonic()
        self._close_phase()
        if self._first is None:
            self._first = number, now
        self._current = dict(metrics)
        if self._console.is_terminal:
            self._refresh()
        elif number % self._plain_every == 0 or number in (1, self._iterations):
            line = f"iteration {number}/{self._iterations}  {self._figures()}   {self._left()}"
            self.say(line.rstrip())

    def evaluation(self, iteration: int, figures: Mapping[str, Any], best: bool) -> None:
        """The held-out users were talked with after an iteration; `best`: never better so far."""
        self._close_phase()
        shown = [
            f"{title} {figures[f'held_out/{name}']:.3f}"
            for name, title in (("success", "success"), ("belief", "belief in true type"))
        ]
        verdict = "   the best so far" if best else ""
        self.say(f"held-out users after iteration {iteration}: {'   '.join(shown)}{verdict}")

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Show the run's summary."""
        self._close_phase()
        self._current = None
        table = Table(
            title="Result on held-out users", title_justify="left", title_style="bold", box=SIMPLE
        )
        for column in ("", "before", "after"):
            table.add_column(column, justify="left" if not column else "right")
        for name, key in (("success", "success"), ("belief in the true type", "belief")):
            before, after = summary[f"{key}_before"], summary[f"{key}_after"]
            table.add_row(name, f"{before:.3f}", f"{after:.3f}")
        self._console.print(table)
        for alarm in summary["alarms"]:
            first, last, count = alarm["first"], alarm["last"], alarm["iterations"]
            when = (
                f"in {count} iterations, {first} to {last}"
                if count > 1
                else f"at iteration {first}"
            )
            furthest = alarm["furthest"]
            value = "not finite" if furthest is None else f"{furthest:.3g}"
            self.say(f"ALARM: {alarm['metric']} {when}: {value} (threshold {alarm['threshold']:g})")
        peak = summary["peak_memory_bytes"]
        memory = "" if peak is None else f", at most {peak / 2**30:.1f} GiB of memory"
        resumed, first = summary["resumed_after"], summary["seconds_to_first_dialogue"]
        since = ""
        if resumed is not None:
            own = clock(summary["seconds_since_resumed"])
            since = f", {own} of it since the run went on after iteration {resumed}"
        start = "" if resumed is None else " of the first start"
        self.say(
            f"{summary['dialogues']} dialogues, {summary['iterations']} iterations, "
            f"{clock(summary['seconds_total'])} in all{since}, first dialogue after {first:.0f} s"
            f"{start}{memory}"
        )

    def _close_phase(self) -> None:
        if self._phase is None:
            return
        seconds = time.monotonic() - self._phase_started
        phase, self._phase = self._phase, None
        if self._console.is_terminal:
            self.say(f"✓ {phase}  {seconds:.1f} s")
        else:
            self.say(f"{phase}: done after {seconds:.1f} s")

    def _refresh(self) -> None:
        rows: list[Any] = []
        if self._current is not None:
            number = int(self._current["iteration"])
            line = Table.grid(padding=(0, 2))
            bar = ProgressBar(total=self._iterations, completed=number, width=30)
            line.add_row("training", bar, f"{number}/{self._iterations}", self._left())
            rows += [line, Text(self._figures(), style="cyan")]
        if self._phase is not None:
            rows.append(Spinner("dots", text=f"{self._phase} ..."))
        self._live.update(Group(*rows))

    def _figures(self) -> str:
        current = self._current or {}
        shown = [
            f"{title} {form.format(current[key]) if current.get(key) is not None else '-'}"
            for key, title, form in _SHOWN
        ]
        return "   ".join(shown)

    def _left(self) -> str:
        if self._first is None or self._current is None:
            return ""
        first, since = self._first
        number = int(self._current["iteration"])
        if number == first:
            return ""
        each = (time.monotonic() - since) / (number - first)
        return f"{clock(each * (self._iterations - number))} left"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
