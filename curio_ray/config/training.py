"""How dialogues are held, how long to train, and when to save."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curio_ray.config.base import Positive, Seconds, Section
from curio_ray.config.cluster import PlacementConfig
from curio_ray.config.gates import TrainingAlarmsConfig, TrainingStopsConfig


class StallConfig(Section):
    """When a training dialogue is cut short since its belief no longer moves."""

    exchanges: Positive = 2
    """Exchanges in a row that must move the belief too little."""
    change: Annotated[float, Field(gt=0, le=1)] = 0.02
    """The total variation distance from which on a belief has moved."""


class RolloutConfig(Section):
    """How dialogues are held."""

    runners: Positive = 1
    """Processes that hold dialogues."""
    placement: PlacementConfig = PlacementConfig()
    """Where the runners lie."""
    dialogues_in_flight: Positive = 64
    """Dialogues that one runner holds at once."""
    attempts: Positive = 3
    """Tries per dialogue before another takes its place; fewer where another try is hopeless."""
    dialogue_deadline_s: Seconds = 300
    """Seconds within which a dialogue must be over."""
    truncated: Literal["keep", "mask", "penalise"] = "keep"
    """What training does with a policy turn that was cut off at max_tokens. keep: as with any
    other. mask: nothing is learned from its own tokens. penalise: it also loses
    rewards.penalties.truncation.weight."""
    stall: StallConfig | None = None
    """When the policy gets its last turn early; by default never. Training only."""


class TrainingConfig(Section):
    """How long to train and when to save."""

    iterations: Positive
    """Rounds of collecting dialogues and learning from them."""
    dialogues_per_iteration: Positive
    """Dialogues that one iteration learns from."""
    max_staleness: Annotated[int, Field(ge=0)] = 0
    """Weight versions that a token may be behind when it is learned from. At 0 dialogues are held
    and learned from in turn; at 1 the next ones are held meanwhile."""
    checkpoint_every: Positive = 20
    """Iterations between checkpoints; the last one is always saved."""
    keep_checkpoints: Positive = 2
    """How many of the newest checkpoints stay."""
    alarms: TrainingAlarmsConfig = TrainingAlarmsConfig()
    """Where an iteration's figures raise an alarm."""
    stops: TrainingStopsConfig = TrainingStopsConfig()
    """Where an iteration's figures end the run."""

    def saves_after(self, iteration: int) -> bool:
        """Whether a checkpoint is due after this iteration; the last always has one."""
        return iteration == self.iterations or iteration % self.checkpoint_every == 0
