"""summary.json: a whole run in thirteen figures."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Duration = Annotated[float, Field(ge=0)]


class Summary(BaseModel):
    """What a run came to.

    `success_*` is the share of held-out users whose dialogue succeeded and `belief_*` the mean
    final belief in the true type, each before the first and after the last iteration. Seconds
    count from the start of the command; `peak_memory_bytes` is of all processes together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    intrinsic: str
    seed: Count
    iterations: Count
    dialogues: Count
    held_out_users: Count
    success_before: Share
    success_after: Share
    belief_before: Share
    belief_after: Share
    seconds_to_first_dialogue: Duration
    seconds_total: Duration
    peak_memory_bytes: Count
