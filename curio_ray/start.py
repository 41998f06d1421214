"""The part of a run's start that needs no RLlib: places, servers and learner."""

from __future__ import annotations

from dataclasses import dataclass

from curio_ray.config import RunConfig
from curio_ray.placement.reservation import Reservation, reserve
from curio_ray.trainer import Trainer


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run's places, and the trainer whose servers and learner are loading in them."""

    reservation: Reservation
    trainer: Trainer

    def close(self) -> None:
        """End servers and learner and give the places back."""
        try:
            self.trainer.shutdown()
        finally:
            self.reservation.release()


def start_run(config: RunConfig) -> StartedRun:
    """Reserve a run's places and let its servers and its learner load there; does not wait.

    Raises:
        PreflightError: the places cannot be had, now or later.
        DeadlineError: they were not free within `cluster.capacity_deadline_s`.
    """
    reservation = reserve(config)
    try:
        return StartedRun(reservation, Trainer(config, reservation))
    except BaseException:
        reservation.release()
        raise
