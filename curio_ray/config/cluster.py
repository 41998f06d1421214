"""Where Ray runs, and which of its nodes the actors of a run take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from curio_ray.config.base import Positive, Seconds, Section


class ClusterConfig(Section):
    """Where Ray runs."""

    address: str | None = None
    """A running Ray cluster, or auto; by default the run starts its own Ray."""
    cpus: Positive | None = None
    """Logical CPUs of the run's own Ray; all cores by default."""
    dashboard: bool = False
    """Whether the run's own Ray shows its web page."""
    dashboard_port: Annotated[int, Field(ge=1024, le=65535)] = 8265
    """Port of that page."""
    cpus_per_thread: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Logical CPUs that a joined cluster is asked for per thread of a server or learner rank. Small
    models wait for each other most of the time and share cores: write a part of one. A Ray of the
    run's own is always asked for a quarter."""
    capacity_deadline_s: Seconds = 60
    """Seconds to wait for the nodes that the run asks for; one that cannot come ends it at once."""
    recovery_deadline_s: Seconds = 600
    """Seconds within which a lost server replica, or the last dialogue runner, must be back."""


class PlacementConfig(Section):
    """Where actors of one kind lie, as Ray's placement groups have it."""

    strategy: Literal["pack", "spread", "strict_pack", "strict_spread"] | None = None
    """pack: on few nodes. spread: over many. strict_pack: all on one node. strict_spread: each on a
    node of its own. By default they are packed together with all others that name no strategy."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that their nodes must have, such as {ray.io/market-type: spot}."""


class LearnerPlacementConfig(PlacementConfig):
    """Where the learner's ranks lie."""

    beside: str | None = None
    """A server whose replica 0 has rank 0 on its node, replica 1 rank 1, and so on in turn; on its
    GPU too, where both ask for parts of one. By default ranks have places of their own."""
