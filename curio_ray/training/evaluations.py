"""Evaluations in the course of a run: when, where their figures go, and whose checkpoint stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from curio_ray.config import RunConfig
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.checkpoints import iteration_of

SPLIT = "held_out"


class Evaluated(Protocol):
    """A run's policy as it is: it can be measured, and saved."""

    def measure(self, users: int) -> dict[str, Any]:
        """The figures of the present policy with held-out users."""

    def save_into(self, run: RunFolder) -> None:
        """Write a whole checkpoint into the run's folder."""


class Evaluations:
    """Evaluates a run's policy and keeps the best checkpoint.

    The figures of an evaluation are part of its iteration's line in the metrics: an iteration
    whose line has them is not evaluated again, whoever resumes the run. The best has the highest
    success, of equal ones the highest belief, of those the earliest.

    Args:
        policy: what is evaluated.
        config: the run's.
        run: its folder.
        announce: told what is done before it is.
        tell: told the iteration, the figures and whether they are the best so far.
    """

    def __init__(
        self,
        policy: Evaluated,
        config: RunConfig,
        run: RunFolder,
        announce: Callable[[str], None] | None = None,
        tell: Callable[[int, Mapping[str, Any], bool], None] | None = None,
    ) -> None:
        self._policy, self._config, self._run = policy, config, run
        self._announce, self._tell = announce, tell

    def measure(self, when: str) -> dict[str, Any]:
        """The figures of the present policy, with the seconds that they took."""
        users = self._config.evaluation.users
        if self._announce is not None:
            self._announce(f"evaluating on {users} held-out users, {when}")
        began = time.perf_counter()
        figures = self._policy.measure(users)
        return {**figures, "time/evaluate": time.perf_counter() - began}

    def after(self, iteration: int) -> None:
        """Evaluate where it is due after an iteration, unless that was done already.

        The iteration must be the last one logged.
        """
        if not self._config.evaluation.due_after(iteration, self._config.training.iterations):
            return
        if self.figures(iteration) is None:
            last = iteration >= self._config.training.iterations
            figures = self.measure("after training" if last else f"after iteration {iteration}")
            self._run.extend_metrics(iteration, figures)
            best = self._keep_if_best(iteration)
            if self._tell is not None:
                self._tell(iteration, figures, best)
        else:
            self._keep_if_best(iteration)

    def figures(self, iteration: int) -> dict[str, Any] | None:
        """The figures of the evaluation after an iteration, or None where there was none."""
        line = next((each for each in self._run.metrics() if each["iteration"] == iteration), {})
        figures = {name: value for name, value in line.items() if name.startswith(f"{SPLIT}/")}
        return figures or None

    def write(self, iteration: int) -> dict[str, Any]:
        """Write the evaluation after an iteration to a file of its own, whole; its figures."""
        figures = self.figures(iteration) or {}
        about = {"iteration": iteration, "split": SPLIT, "seed": self._config.seed}
        self._run.write_evaluation({**about, **figures})
        return figures

    def _keep_if_best(self, iteration: int) -> bool:
        """Mark the iteration's checkpoint, and save it for that, where no earlier one is better."""
        best = self._run.best_checkpoint()
        best_iteration = None if best is None else iteration_of(best)
        if not self._config.evaluation.every or best_iteration == iteration:
            return best_iteration == iteration
        if best_iteration is not None and self._rank(best_iteration) >= self._rank(iteration):
            return False
        if not self._run.holds_checkpoint(iteration):
            self._policy.save_into(self._run)
        self._run.mark_best(iteration)
        return True

    def _rank(self, iteration: int) -> tuple[float, float]:
        figures = self.figures(iteration) or {}
        success, belief = (figures.get(f"{SPLIT}/{name}") for name in ("success", "belief"))
        return success or 0.0, belief or 0.0
