"""The folder of a comparison: which runs belong to it, which are finished, what each found.

runs/diff_acc-0/     a run folder with one file more, result.json, once it is finished
config.yaml          what all runs have in common
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from curio_ray.config import RunConfig, dump_config, load_config
from curio_ray.config.rewards import IntrinsicName
from curio_ray.errors import CheckpointError, ConfigError
from curio_ray.run_folder.atomic import write_atomically
from curio_ray.run_folder.folder import CONFIG_FILE, METRICS_FILE, holds_a_run, next_free
from curio_ray.run_folder.metrics import read_metrics

RESULT_FILE = "result.json"
RUNS_FOLDER = "runs"
LOGS_FOLDER = "logs"


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has been trained and evaluated.

    `iterations` holds the metrics of each training iteration; `train` and `held_out` what the
    final dialogues with users of each split showed, by the names of docs/evaluation.md.
    """

    reward: str
    seed: int
    iterations: Sequence[Mapping[str, Any]]
    train: Mapping[str, Any]
    held_out: Mapping[str, Any]

    @property
    def dialogues(self) -> list[int]:
        """Dialogues trained on by the end of each iteration."""
        return [line["dialogues"] for line in self.iterations]

    @property
    def success(self) -> list[float]:
        """Success of each iteration's training dialogues."""
        return [line["success"] for line in self.iterations]


def parse_rewards(text: str) -> list[str]:
    """The names in a list with commas, each once.

    Raises:
        ConfigError: a name is not an intrinsic reward.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = get_args(IntrinsicName)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = ", ".join(unknown) or "no name was given"
        raise ConfigError(f"--rewards: {wrong}; write names out of {', '.join(known)}")
    return names


def planned_runs(
    config: RunConfig, rewards: Sequence[str], seeds: int, folder: Path
) -> list[RunConfig]:
    """One config per run; all rewards of the first seed come first."""
    return [_planned(config, reward, seed, folder) for seed in range(seeds) for reward in rewards]


def is_finished(run: RunConfig) -> bool:
    """Whether the run's result is there."""
    return (run.output / RESULT_FILE).is_file()


def open_comparison(folder: Path, config: RunConfig) -> None:
    """Start a comparison in a folder, or go on with the one that it holds.

    Raises:
        ConfigError: the folder holds something else, or a comparison of another config.
    """
    common = _planned(config, "mtrlhf", 0, folder)
    file = folder / CONFIG_FILE
    if holds_a_run(folder):
        raise ConfigError(f"--output: {folder} holds a run; write {next_free(folder)}")
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, dump_config(common))
        return
    earlier = _flat(load_config(file).model_dump(mode="json"))
    present = _flat(common.model_dump(mode="json"))
    changed = [
        name
        for name in sorted(earlier.keys() | present.keys())
        if earlier.get(name) != present.get(name) and not name.startswith(("output", "cluster."))
    ]
    if changed:
        raise ConfigError(
            f"--output: {folder} holds a comparison with other values of {', '.join(changed)}; "
            f"write another folder, such as {next_free(folder)}"
        )


def write_result(folder: Path, train: Mapping[str, Any], held_out: Mapping[str, Any]) -> None:
    """Mark a run as finished."""
    text = json.dumps({"train": dict(train), "held_out": dict(held_out)}, indent=2)
    write_atomically(folder / RESULT_FILE, text + "\n")


def read_finished(folder: Path) -> list[FinishedRun]:
    """All finished runs of a comparison, the baseline first, then by name and seed.

    Raises:
        CheckpointError: a result cannot be read.
    """
    files = (folder / RUNS_FOLDER).glob(f"*/{RESULT_FILE}")
    runs = [_read(file) for file in files]
    order = get_args(IntrinsicName)
    return sorted(runs, key=lambda run: (order.index(run.reward), run.seed))


def _planned(config: RunConfig, reward: str, seed: int, folder: Path) -> RunConfig:
    intrinsic = config.rewards.intrinsic.model_copy(update={"name": reward})
    rewards = config.rewards.model_copy(update={"intrinsic": intrinsic})
    output = folder.absolute() / RUNS_FOLDER / f"{reward}-{seed}"
    return config.model_copy(update={"rewards": rewards, "seed": seed, "output": output})


def _read(file: Path) -> FinishedRun:
    try:
        result = json.loads(file.read_text())
        config = load_config(file.parent / CONFIG_FILE)
        lines = read_metrics(file.parent / METRICS_FILE)
        return FinishedRun(
            reward=config.rewards.intrinsic.name,
            seed=config.seed,
            iterations=[line for line in lines if line["iteration"] > 0],
            train=result["train"],
            held_out=result["held_out"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file.parent}: the finished run cannot be read ({error}); remove the folder to have "
            "it repeated"
        ) from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
