"""The one placement group that a Ray Tune trial reserves for its driver and all its actors."""

from __future__ import annotations

from curio_ray.config import RunConfig
from curio_ray.config.resources import (
    DRIVER,
    Bundle,
    Place,
    each_place,
    make_layout,
    named_strategies,
)
from curio_ray.errors import ConfigError


def trial_places(config: RunConfig) -> list[Bundle]:
    """What a trial reserves: a place for its driver, then those of all actors.

    Raises:
        ConfigError: the config names a strategy, for which a trial would need several groups.
    """
    if named := named_strategies(config):
        raise ConfigError(
            f"{named[0]}: each run of a comparison is one packed placement group; write null "
            "(labels and learner.placement.beside hold)"
        )
    return [DRIVER, *each_place(make_layout(config).groups)]


def trial_index(place: Place) -> int:
    """Which of the trial's bundles is an actor's place."""
    return 1 + place.index
