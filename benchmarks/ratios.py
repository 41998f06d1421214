"""Ratios measured side by side: both ways in turn, several times, in one run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median over rounds, the lowest and highest round, and what it should be."""

    name: str
    ratio: float
    low: float
    high: float
    aim: float
    better: Literal["higher", "lower"]

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side of the aim."""
        return self.ratio >= self.aim if self.better == "higher" else self.ratio <= self.aim


def summarise(
    name: str, rounds: Sequence[float], aim: float, better: Literal["higher", "lower"] = "higher"
) -> Ratio:
    """The ratio of a run's rounds."""
    return Ratio(name, statistics.median(rounds), min(rounds), max(rounds), aim, better)


def in_turn(
    one: Callable[[], float], other: Callable[[], float], rounds: int
) -> list[tuple[float, float]]:
    """Measure both in every round; who comes first alternates, so that drift hits both."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = other()
            pairs.append((one(), second))
        else:
            first = one()
            pairs.append((first, other()))
    return pairs


def report(ratios: Sequence[Ratio], output: Path | None) -> None:
    """Print the ratios; add them to a JSON list, where those of the same name are replaced."""
    table = Table("what", "ratio", "low", "high", "aim", "reached")
    for each in ratios:
        sign = "≥" if each.better == "higher" else "≤"
        table.add_row(
            each.name,
            f"{each.ratio:.3g}",
            f"{each.low:.3g}",
            f"{each.high:.3g}",
            f"{sign} {each.aim:g}",
            "yes" if each.reached else "no",
        )
    Console(width=120).print(table)
    if output is not None:
        names = {each.name for each in ratios}
        kept = json.loads(output.read_text()) if output.exists() else []
        entries = [old for old in kept if old["name"] not in names]
        entries += [asdict(each) for each in ratios]
        output.write_text(json.dumps(entries, indent=2) + "\n")
