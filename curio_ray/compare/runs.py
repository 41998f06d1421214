"""The folder of a comparison: which runs belong to it, which are finished, what each found.

runs/diff_acc-0/     a run folder with one file more, result.json, once it is finished
config.yaml          what all runs have in common
varied.json          the field that the runs vary, where there is one
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curio_ray.config import RunConfig, dump_config, load_config, with_value
from curio_ray.config.loading import flat_values
from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.config.yaml_text import parse_yaml, without_empty
from curio_ray.errors import CheckpointError, ConfigError
from curio_ray.placement.layout import DRIVER_CPUS, bundles
from curio_ray.plan import Plan
from curio_ray.plan.machine import Machine
from curio_ray.rewards.intrinsic import OF_THE_PAPER
from curio_ray.rewards.registry import make_reward, reward_names
from curio_ray.run_folder.alarms import AlarmSummary
from curio_ray.run_folder.atomic import write_atomically
from curio_ray.run_folder.existing_runs import (
    CONFIG_FILE,
    METRICS_FILE,
    holds_a_run,
    next_free,
)
from curio_ray.run_folder.metrics import read_lines

RESULT_FILE = "result.json"
VARIED_FILE = "varied.json"
RUNS_FOLDER = "runs"
LOGS_FOLDER = "logs"
BASELINE = "mtrlhf"
_LONGEST_IN_A_NAME = 40
_SET_BY_THE_COMPARISON = ("rewards.intrinsic.name", "rewards.intrinsic.function", "seed", "output")


@dataclass(frozen=True, slots=True)
class VariedField:
    """A field of the config that takes several values in a comparison."""

    path: str
    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has been trained and evaluated.

    `iterations` holds the metrics of each training iteration; `train` and `held_out` what the
    final dialogues with users of each split showed, by the names of docs/use/evaluation.md. `value`
    is that of the varied field, where there is one. `alarms` are those of the iterations.
    """

    reward: str
    seed: int
    iterations: Sequence[Mapping[str, Any]]
    train: Mapping[str, Any]
    held_out: Mapping[str, Any]
    value: str | int | float | bool | None = None
    alarms: Sequence[AlarmSummary] = ()

    @property
    def name(self) -> str:
        """What is compared: the reward, with the varied value where there is one."""
        return self.reward if self.value is None else f"{self.reward}, {self.value}"

    @property
    def dialogues(self) -> list[int]:
        """Dialogues trained on by the end of each iteration."""
        return [line["dialogues"] for line in self.iterations]

    @property
    def success(self) -> list[float]:
        """Success of each iteration's training dialogues."""
        return [line["success"] for line in self.iterations]


def parse_rewards(text: str) -> list[str]:
    """The rewards in a list with commas, each once: registered names, or functions as module:name.

    Raises:
        ConfigError: there is none.
    """
    rewards = list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if not rewards:
        raise ConfigError(
            f"--rewards: no name was given; write some of: {', '.join(reward_names())}"
        )
    return rewards


def parse_varied(text: str) -> VariedField:
    """A field with its values, written as `task.options.train_users=16,64`.

    Raises:
        ConfigError: it is written otherwise, or the comparison itself sets the field.
    """
    path, separator, values = text.partition("=")
    parsed = without_empty(parse_yaml(f"[{values}]", f"--vary {text}"))
    if not (path and separator and parsed):
        raise ConfigError(f"--vary {text}: write it as field.path=value,value")
    if not all(isinstance(value, str | int | float | bool) for value in parsed):
        raise ConfigError(f"--vary {text}: write plain values, set apart by commas")
    if path in _SET_BY_THE_COMPARISON:
        raise ConfigError(
            f"--vary {text}: rewards and seeds are varied by --rewards and --seeds, folders by "
            "--output; write another field"
        )
    return VariedField(path, tuple(dict.fromkeys(parsed)))


def planned_runs(
    config: RunConfig,
    rewards: Sequence[str],
    seeds: int,
    folder: Path,
    varied: VariedField | None = None,
) -> list[RunConfig]:
    """One config per run; all rewards of the first seed come first.

    Raises:
        ConfigError: there is no such reward, two have one name, the varied field does not exist,
            or one of its values cannot work.
    """
    compared = [_reward_config(config.rewards.intrinsic, each) for each in rewards]
    names = [each.name for each in compared]
    if len(set(names)) < len(names):
        raise ConfigError(f"--rewards: two rewards have one name: {', '.join(names)}; rename one")
    settings: list[tuple[RunConfig, str]] = [(config, "")]
    if varied is not None:
        label = varied.path.rpartition(".")[2]
        folders = [f"-{_in_a_name(label)}-{_in_a_name(value)}" for value in varied.values]
        if len(set(folders)) < len(folders):
            raise ConfigError(
                f"--vary {varied.path}: two values are written alike: "
                f"{', '.join(map(repr, varied.values))}; leave one out"
            )
        configs = [with_value(config, varied.path, value) for value in varied.values]
        settings = list(zip(configs, folders, strict=True))
    return [
        _planned(each, reward, seed, folder, label)
        for seed in range(seeds)
        for each, label in settings
        for reward in compared
    ]


def _in_a_name(value: object) -> str:
    """A value as a part of a folder's name; a digest stands for what cannot be in it."""
    text = str(value)
    plain = re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII)[:_LONGEST_IN_A_NAME]
    if plain == text:
        return text
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def one_of_each_setting(runs: Sequence[RunConfig]) -> list[RunConfig]:
    """One run for each value of the varied field: rewards and seeds need nothing else."""
    return [run for run in runs if _kind(run) == _kind(runs[0])]


def _kind(run: RunConfig) -> tuple[str, int]:
    return run.rewards.intrinsic.name, run.seed


def is_finished(run: RunConfig) -> bool:
    """Whether the run's result is there."""
    return (run.output / RESULT_FILE).is_file()


def with_clock_of(folder: Path, config: RunConfig) -> RunConfig:
    """The config with the templates' clock of the comparison in a folder, or the present moment."""
    file = folder / CONFIG_FILE
    if config.template_clock is None and file.is_file():
        config = config.model_copy(update={"template_clock": load_config(file).template_clock})
    return config.with_clock()


def open_comparison(folder: Path, config: RunConfig, varied: VariedField | None = None) -> None:
    """Start a comparison in a folder, or go on with the one that it holds.

    Raises:
        ConfigError: the folder holds something else, or a comparison of another config.
    """
    common = _planned(config, _reward_config(config.rewards.intrinsic, BASELINE), 0, folder)
    path = None if varied is None else varied.path
    file = folder / CONFIG_FILE
    if holds_a_run(folder):
        raise ConfigError(f"--output: {folder} holds a run; write {next_free(folder)}")
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, dump_config(common))
        if path is not None:
            write_atomically(folder / VARIED_FILE, json.dumps({"field": path}) + "\n")
        return
    if read_varied_path(folder) != path:
        raise ConfigError(
            f"--vary: {folder} holds a comparison that varies {read_varied_path(folder)}, not "
            f"{path}; write another --output, such as {next_free(folder)}"
        )
    earlier = flat_values(load_config(file).model_dump(mode="json"))
    present = flat_values(common.model_dump(mode="json"))
    changed = [
        name
        for name in sorted(earlier.keys() | present.keys())
        if earlier.get(name) != present.get(name)
        and not name.startswith(("output", "cluster.", "tracking."))
        and name != path
    ]
    if changed:
        raise ConfigError(
            f"--output: {folder} holds a comparison with other values of {', '.join(changed)}; "
            f"write another folder, such as {next_free(folder)}"
        )


def read_varied_path(folder: Path) -> str | None:
    """The field that a comparison varies, or None."""
    file = folder / VARIED_FILE
    return json.loads(file.read_text())["field"] if file.is_file() else None


def write_result(folder: Path, train: Mapping[str, Any], held_out: Mapping[str, Any]) -> None:
    """Mark a run as finished."""
    text = json.dumps({"train": dict(train), "held_out": dict(held_out)}, indent=2)
    write_atomically(folder / RESULT_FILE, text + "\n")


def read_finished(folder: Path) -> list[FinishedRun]:
    """All finished runs of a comparison, the baseline first, then by name and seed.

    Raises:
        CheckpointError: a result cannot be read.
    """
    path = read_varied_path(folder)
    files = (folder / RUNS_FOLDER).glob(f"*/{RESULT_FILE}")
    runs = [run for run in (_read(file, path) for file in files) if run is not None]
    return sorted(runs, key=lambda run: (_place(run.reward), _ordered(run.value), run.seed))


def _place(reward: str) -> tuple[int, str]:
    """The paper's rewards in their order, then others by name."""
    ours = [each.name for each in OF_THE_PAPER]
    return (ours.index(reward), "") if reward in ours else (len(ours), reward)


def _ordered(value: Any) -> tuple[float, str]:
    return (float(value), "") if isinstance(value, int | float) else (0.0, str(value))


def _reward_config(common: IntrinsicRewardConfig, reward: str) -> IntrinsicRewardConfig:
    """The section with another reward: a registered one, or a function as module:name."""
    rest = common.model_dump(exclude={"name", "function"})
    field = "function" if ":" in reward else "name"
    try:
        config = IntrinsicRewardConfig.model_validate({**rest, field: reward})
        make_reward(config)
    except ConfigError as error:
        raise ConfigError(f"--rewards {reward}: {error}") from error
    return config


def _planned(
    config: RunConfig, reward: IntrinsicRewardConfig, seed: int, folder: Path, label: str = ""
) -> RunConfig:
    rewards = config.rewards.model_copy(update={"intrinsic": reward})
    output = folder.absolute() / RUNS_FOLDER / f"{reward.name}{label}-{seed}"
    return config.model_copy(update={"rewards": rewards, "seed": seed, "output": output})


def _read(file: Path, varied_path: str | None) -> FinishedRun | None:
    """The run of a result, or None where its folder is a user's copy of a run's folder."""
    try:
        result = json.loads(file.read_text())
        config = load_config(file.parent / CONFIG_FILE)
        if config.output.name != file.parent.name:
            return None
        lines = read_lines(file.parent / METRICS_FILE)
        return FinishedRun(
            reward=config.rewards.intrinsic.name,
            seed=config.seed,
            iterations=[line for line in lines if line["iteration"] > 0],
            train=result["train"],
            held_out=result["held_out"],
            value=None
            if varied_path is None
            else flat_values(config.model_dump(mode="json"))[varied_path],
        )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{file.parent}: the finished run cannot be read ({error}); remove the folder to have "
            "it repeated"
        ) from error


_ROUNDING = 1e-9


def run_cpus(config: RunConfig) -> float:
    """Logical CPUs that one run asks Ray for."""
    return DRIVER_CPUS + sum(bundle.count * bundle.cpus for bundle in bundles(config))


def runs_at_once(plan: Plan, machine: Machine) -> int:
    """As many as fit by the plan's memory, logical CPUs and GPUs; at least one."""
    if plan.config.learner.port is not None:
        return 1
    cpus = plan.config.cluster.cpus or machine.cores
    limits = [
        machine.available_bytes // max(1, plan.memory_bytes),
        math.floor(cpus / run_cpus(plan.config) + _ROUNDING),
    ]
    if plan.gpus:
        limits.append(math.floor(machine.gpus / plan.gpus + _ROUNDING))
    return max(1, int(min(limits)))
