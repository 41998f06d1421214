"""Dialogues whose lengths spread as those of real conversations do.

Fitted to 700 conversations of the Education Dialogue dataset (Shani et al. 2024, arXiv 2405.14655),
counted in tokens of SmolLM2's tokenizer: a log-normal for the utterances of either speaker and a
normal for the number of exchanges. Models of the pocket models' shape with random weights and
longer positions say nothing of sense; how many tokens they sample follows from a request's seed.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from curio_ray.dialogue import Turn
from curio_ray.model_paths import locate_model
from curio_ray.tasks.exercise.task import ExerciseTask

CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of an utterance: log-normal, cut at the longest that was seen."""

    median: float
    log_deviation: float
    longest: int

    def draw(self, seed: int) -> int:
        """The same length for the same seed."""
        drawn = np.random.default_rng(seed).lognormal(math.log(self.median), self.log_deviation)
        return min(self.longest, max(1, round(drawn)))


# Teacher: 5,500 utterances, mean 18.9 tokens. Student: 5,025, mean 10.6.
TEACHER = Lengths(median=17.1, log_deviation=0.48, longest=66)
STUDENT = Lengths(median=9.1, log_deviation=0.60, longest=48)
BY_SERVER = {"policy": TEACHER, "frozen": STUDENT}
EXCHANGES_MEAN, EXCHANGES_DEVIATION = 7.5, 1.1
FEWEST_EXCHANGES, MOST_EXCHANGES = 4, 15


class LongTalk(ExerciseTask):
    """The exercise task; the lengths of the first turns decide when a dialogue is over."""

    def __init__(self, seed: int, **options: object) -> None:
        super().__init__(seed, **options)
        self.max_turns = MOST_EXCHANGES

    def is_over(self, turns: Sequence[Turn]) -> bool:
        """Whether the drawn number of exchanges is reached."""
        spoken = [len(turn.token_ids) for turn in turns if turn.speaker == "policy"]
        if len(spoken) < FEWEST_EXCHANGES:
            return False
        generator = np.random.default_rng(spoken[:FEWEST_EXCHANGES])
        drawn = round(generator.normal(EXCHANGES_MEAN, EXCHANGES_DEVIATION))
        return len(spoken) >= drawn


def long_talk_overrides(models: Mapping[str, Path]) -> tuple[str, ...]:
    """What a config of the pocket world must change for these models."""
    return (
        "roles.environment.temperature=1.0",
        *(
            f"servers.{name}.{field}"
            for name, path in models.items()
            for field in (f"model={path}", f"max_model_len={CONTEXT}", "kv_cache_gib=0.75")
        ),
    )


def write_longer_models(folder: Path) -> dict[str, Path]:
    """Save models of the pocket models' shape with random weights and `CONTEXT` positions."""
    written = {}
    for seed, (name, model) in enumerate((("policy", "policy"), ("frozen", "world"))):
        source, target = Path(locate_model(f"pocket:{model}")), folder / name
        shutil.copytree(source, target)
        config = AutoConfig.from_pretrained(source, max_position_embeddings=CONTEXT)
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(target)
        tokenizer = json.loads((target / "tokenizer_config.json").read_text())
        tokenizer["model_max_length"] = CONTEXT
        (target / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        written[name] = target
    return written
