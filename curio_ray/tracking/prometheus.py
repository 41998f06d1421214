"""The metrics that a run's processes export through Ray for Prometheus.

Ray puts `ray_` before each name and `_total` behind a counter's, and adds the node and the process
as labels. Where nobody scrapes them they cost a microsecond each.

Ray forgets a gauge that was not set for two of its report intervals (20 s), so each process says
its gauges again while nothing changes: an iteration may take minutes.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ray.util.metrics import Counter, Gauge, Histogram

Kind = Literal["gauge", "counter", "histogram"]
Role = Literal["driver", "runner", "server"]

LABELS = ("run", "role")
REPEAT_GAUGES_S = 5.0
SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]


@dataclass(frozen=True, slots=True)
class ExportedMetric:
    """One metric: who exports it, what it means, and its labels beside `run` and `role`."""

    role: Role
    kind: Kind
    description: str
    labels: tuple[str, ...] = ()


EXPORTED: dict[str, ExportedMetric] = {
    "curio_iteration": ExportedMetric("driver", "gauge", "Iterations finished"),
    "curio_dialogues_per_second": ExportedMetric(
        "driver", "gauge", "Dialogues learned from per second of the last iteration"
    ),
    "curio_success": ExportedMetric("driver", "gauge", "Share of dialogues that succeeded"),
    "curio_belief": ExportedMetric("driver", "gauge", "Mean last belief in the true user type"),
    "curio_belief_accuracy": ExportedMetric(
        "driver", "gauge", "Share of dialogues whose last belief is highest for the true user type"
    ),
    "curio_reward": ExportedMetric(
        "driver", "gauge", "Mean sum of a reward stream over a dialogue", ("stream",)
    ),
    "curio_staleness": ExportedMetric(
        "driver", "gauge", "Mean weight versions between sampling a token and learning from it"
    ),
    "curio_weight_version": ExportedMetric(
        "driver", "gauge", "Version of the policy weights that the servers have"
    ),
    "curio_phase_seconds": ExportedMetric(
        "driver", "gauge", "Seconds of the last iteration by phase", ("phase",)
    ),
    "curio_dialogues_in_flight": ExportedMetric("runner", "gauge", "Dialogues being held"),
    "curio_dialogues_waiting": ExportedMetric(
        "runner", "gauge", "Finished dialogues that the learner does not have yet"
    ),
    "curio_dialogues": ExportedMetric("runner", "counter", "Dialogues held"),
    "curio_dialogue_seconds": ExportedMetric(
        "runner", "histogram", "Seconds that a dialogue took, failed attempts included"
    ),
    "curio_server_requests": ExportedMetric(
        "server", "gauge", "Requests that a server has not answered yet", ("server", "replica")
    ),
}


class Exporter:
    """Exports the metrics of one role in one process of a run.

    `labels` are those that all of the process's metrics have in common.
    """

    def __init__(self, run: str, role: Role, **labels: str) -> None:
        common = {"run": run, "role": role, **labels}
        self._metrics = {
            name: _make(name, each, common) for name, each in EXPORTED.items() if each.role == role
        }
        self._gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._closed = threading.Event()
        threading.Thread(
            target=_repeat_gauges,
            args=(weakref.ref(self), self._closed),
            name="curio-gauges",
            daemon=True,
        ).start()
        weakref.finalize(self, self._closed.set)

    def set(self, name: str, value: float, **labels: str) -> None:
        """The present value of a gauge."""
        self._gauges[name, tuple(labels.items())] = value
        self._metrics[name].set(value, tags=labels)

    def repeat(self) -> None:
        """Say every gauge again."""
        for (name, labels), value in list(self._gauges.items()):
            self._metrics[name].set(value, tags=dict(labels))

    def close(self) -> None:
        """Repeat no gauge any more; Ray forgets them."""
        self._closed.set()

    def count(self, name: str) -> None:
        """One more for a counter."""
        self._metrics[name].inc()

    def observe(self, name: str, value: float) -> None:
        """One more value for a histogram."""
        self._metrics[name].observe(value)


def _repeat_gauges(exporter: weakref.ReferenceType[Exporter], closed: threading.Event) -> None:
    while not closed.wait(REPEAT_GAUGES_S):
        found = exporter()
        if found is None:
            return
        found.repeat()
        del found


def exported_names(name: str) -> list[str]:
    """The names under which Prometheus finds a metric."""
    kind = EXPORTED[name].kind
    if kind == "counter":
        return [f"ray_{name}_total"]
    if kind == "histogram":
        return [f"ray_{name}_{part}" for part in ("bucket", "count", "sum")]
    return [f"ray_{name}"]


def _make(name: str, metric: ExportedMetric, labels: dict[str, str]) -> Gauge | Counter | Histogram:
    keys = (*LABELS, *metric.labels)
    if metric.kind == "histogram":
        made = Histogram(name, metric.description, SECONDS, keys)
    else:
        made = (Gauge if metric.kind == "gauge" else Counter)(name, metric.description, keys)
    return made.set_default_tags(labels)


_GAUGES = {
    "iteration": "curio_iteration",
    "dialogues_per_second": "curio_dialogues_per_second",
    "success": "curio_success",
    "belief": "curio_belief",
    "belief_accuracy": "curio_belief_accuracy",
    "staleness": "curio_staleness",
    "weight_version": "curio_weight_version",
}
_FAMILIES = {"reward/": ("curio_reward", "stream"), "time/": ("curio_phase_seconds", "phase")}


class PrometheusTracker:
    """Exports the last iteration's figures; metrics with a slash become one with a label."""

    def __init__(self, run: str) -> None:
        self._exporter = Exporter(run, "driver")

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Set the gauges."""
        for name, value in {"iteration": iteration, **numbers}.items():
            if name in _GAUGES:
                self._exporter.set(_GAUGES[name], value)
            for start, (gauge, label) in _FAMILIES.items():
                if name.startswith(start):
                    self._exporter.set(gauge, value, **{label: name.removeprefix(start)})

    def close(self, complete: bool) -> None:
        """Let Ray forget the run's gauges."""
        self._exporter.close()


class DialogueGauges:
    """Counts the dialogues of one process."""

    def __init__(self, run: str) -> None:
        self._exporter = Exporter(run, "runner")
        self._in_flight = 0
        self._waiting = 0

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a block as a dialogue that is being held, and then as one that waits."""
        began = time.perf_counter()
        self._show(in_flight=1)
        try:
            yield
        finally:
            self._show(in_flight=-1, waiting=1)
            self._exporter.count("curio_dialogues")
            self._exporter.observe("curio_dialogue_seconds", time.perf_counter() - began)

    def handed_over(self) -> None:
        """The waiting dialogues go to whoever asked for them."""
        self._show(waiting=-self._waiting)

    def _show(self, in_flight: int = 0, waiting: int = 0) -> None:
        self._in_flight += in_flight
        self._waiting += waiting
        self._exporter.set("curio_dialogues_in_flight", self._in_flight)
        self._exporter.set("curio_dialogues_waiting", self._waiting)
