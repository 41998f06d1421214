"""The driver's figures of an iteration for Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from curio_ray.tracking.exported import Exporter

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
        """Ray forgets the metrics of a process that has ended."""
