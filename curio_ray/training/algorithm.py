"""The RLlib shell: `CurioConfig` and `Curio` around the core `Trainer`.

    CurioConfig.from_yaml("configs/pocket.yaml").build_algo().train()

RLlib gives `train`, Ray Tune, restarts of dialogue runners and checkpoints. Policy weights never
travel through its state synchronisation: the trainer pushes them to the model servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.checkpoints import Checkpointable
from ray.tune import PlacementGroupFactory

from curio_ray.config import RunConfig, load_config, parse_config
from curio_ray.placement.layout import RUNNER_CPUS, trial_places
from curio_ray.private_api.rllib_private import HomelessAlgorithm, OwnStateConfig
from curio_ray.roles.endpoint_check import check_endpoint_roles
from curio_ray.roles.roles import RoleFormats
from curio_ray.rollout.runner import DialogueRunner
from curio_ray.rollout.runner_pool import RunnerPool, make_runner_group
from curio_ray.run_folder import RunFolder
from curio_ray.run_folder.checkpoints import TRAINER_FOLDER
from curio_ray.tasks.base import Split
from curio_ray.training.iteration import Iteration
from curio_ray.training.trainer import StartedRun, Trainer, start_run


class CurioConfig(OwnStateConfig):
    """A `RunConfig` in the form that RLlib and Ray Tune take. `run` holds it as plain values."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class or Curio)
        self.run: dict[str, Any] = {}

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read a YAML file, with overrides of the form `a.b.c=value`.

        Raises:
            ConfigError: the config cannot work.
        """
        return cls.from_run_config(load_config(path, overrides))

    @classmethod
    def from_run_config(cls, config: RunConfig) -> Self:
        """Wrap a checked config."""
        self = cls()
        self.run = config.with_clock().model_dump(mode="json")
        self.env_runners(
            env_runner_cls=DialogueRunner,
            num_env_runners=config.rollout.runners,
            num_cpus_per_env_runner=RUNNER_CPUS,
            create_local_env_runner=False,
            merge_env_runner_states=False,
            broadcast_env_runner_states=False,
        )
        # RLlib's own delays, a minute and half a minute, would stall the loop after a death.
        self.fault_tolerance(
            restart_failed_env_runners=True,
            delay_between_env_runner_restarts_s=0,
            env_runner_health_probe_timeout_s=0.5,
        )
        return self

    @property
    def run_config(self) -> RunConfig:
        """The checked config of the run."""
        return parse_config(self.run)

    @property
    def is_online(self) -> bool:
        """RLlib's setup makes no runners: `Curio` makes them, in their places."""
        return False

    def get_multi_rl_module_spec(self, **_: Any) -> MultiRLModuleSpec:
        """No RLModule: the policy is a language model on its own servers."""
        return MultiRLModuleSpec(rl_module_specs={})

    def build_learner_group(self, **_: Any) -> NoLearnerGroup:
        """The learner belongs to the trainer, which `Curio` owns."""
        return NoLearnerGroup()

    def build_env_to_module_connector(self, *_: Any, **__: Any) -> None:
        """No connectors: dialogue runners speak to the servers themselves."""

    def build_module_to_env_connector(self, *_: Any, **__: Any) -> None:
        """No connectors: dialogue runners speak to the servers themselves."""


class NoLearnerGroup:
    """What RLlib asks of a learner group while it sets up an algorithm."""

    def get_state(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Nothing to send to env runners."""
        return {"learner": {}}

    def shutdown(self) -> None:
        """The trainer ends the learner."""


class TrainerCheckpoint(Checkpointable):
    """Lets RLlib's checkpoints contain the trainer's folder."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def save_to_path(self, path: Any = None, **_: Any) -> str:
        """Write the trainer into a folder."""
        self._trainer.save(Path(path))
        return str(path)

    def restore_from_path(self, path: Any, **_: Any) -> None:
        """Go on from a folder."""
        self._trainer.restore(Path(path))

    def get_state(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The state lies in the folder, not in memory."""
        return {}

    def set_state(self, state: Any) -> None:
        """The state lies in the folder, not in memory."""

    def get_ctor_args_and_kwargs(self) -> tuple[tuple, dict[str, Any]]:
        """RLlib builds the algorithm, which builds this."""
        return (), {}


class Curio(HomelessAlgorithm):
    """CURIO as an RLlib algorithm.

    Args:
        config: a run in RLlib's form.
        started: servers and learner of that run, where they are loading already. They end with
            the algorithm.
    """

    config: CurioConfig

    def __init__(
        self,
        config: CurioConfig | None = None,
        env: Any = None,
        started: StartedRun | None = None,
        **kwargs: Any,
    ) -> None:
        # RLlib's constructor calls `setup`
        self._started = started
        super().__init__(config, env, **kwargs)

    @classmethod
    def get_default_config(cls) -> CurioConfig:
        """An empty config of the right type."""
        return CurioConfig()

    @classmethod
    def default_resource_request(cls, config: Any) -> PlacementGroupFactory:
        """What a Ray Tune trial reserves: its driver and every actor of the run."""
        run = config.run_config if isinstance(config, CurioConfig) else parse_config(config["run"])
        places = trial_places(run)
        return PlacementGroupFactory(
            [place.resources for place in places],
            bundle_label_selector=[dict(place.labels) for place in places],
        )

    def setup(self, config: CurioConfig) -> None:
        """Start servers, learner and runners side by side, then wait for all of them."""
        run = config.run_config
        started = self._started or start_run(run, output=self._output(run))
        self._reservation, self.trainer = started.reservation, started.trainer
        self.last_iteration: Iteration | None = None
        try:
            # Runners build these as well, but their errors would not arrive here.
            formats = RoleFormats(run, self.trainer.task)
            check_endpoint_roles(run, formats, self.trainer.task)
            super().setup(config)
            self.env_runner_group = make_runner_group(
                config, config.run, self._reservation, self.logdir
            )
            self.trainer.wait_ready()
            self.trainer.check_readers(formats)
        except BaseException:
            self.cleanup()
            raise
        self.runners = RunnerPool(
            self.env_runner_group,
            self.trainer.servers.handles(),
            run.cluster.recovery_deadline_s,
        )

    def _output(self, run: RunConfig) -> Path | None:
        """The folder that learner ranks must share with this process; RLlib names it later."""
        return None

    def training_step(self) -> None:
        """One iteration of the core, logged under its own metric names."""
        self.last_iteration = self.trainer.step(self.runners)
        for name, value in self.last_iteration.metrics.items():
            self.metrics.log_value(name.split("/"), value, window=1)

    def measure(self, users: int, split: Split = "held_out") -> dict[str, Any]:
        """The figures of the present policy with the users of a split."""
        return self.trainer.measure(self.runners, users, split)

    def save_into(self, run: RunFolder) -> None:
        """Write a whole checkpoint into the run's folder."""
        with run.checkpoint(self.trainer.iteration) as folder:
            self.save_to_path(str(folder.absolute()))

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """The pool sees to its runners while it holds dialogues, perhaps in another thread."""
        return []

    def get_state(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The iteration; everything else lies in the trainer's folder."""
        return {TRAINER_FOLDER: {}, "training_iteration": self.training_iteration}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the count of iterations."""
        self.continue_from(state["training_iteration"])

    def get_checkpointable_components(self) -> list[tuple[str, Checkpointable]]:
        """The trainer is all there is to keep."""
        return [(TRAINER_FOLDER, TrainerCheckpoint(self.trainer))]

    def restore_from_path(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """Restore without RLlib's synchronisation of weights to runners, which hold none."""
        Checkpointable.restore_from_path(self, path, *args, **kwargs)

    def cleanup(self) -> None:
        """End every actor of the run, runners without asking: they may be in mid-dialogue."""
        try:
            if getattr(self, "runners", None) is not None:
                self.runners.interrupt()
            self.trainer.shutdown()
        finally:
            if getattr(self, "env_runner_group", None) is not None:
                self.env_runner_group.end()
            self._reservation.release()
            self.remove_own_logdir()
