"""The errors that a user of the package can meet. Each message says what to do instead."""


class CurioError(Exception):
    """Base of all errors raised on purpose by this package."""


class ConfigError(CurioError):
    """A config that cannot work. The message names each field by its path."""


class PreflightError(CurioError):
    """The machine cannot hold the run: Python version, memory, ports or folders."""


class DeadlineError(CurioError):
    """A wait passed its deadline. The message names what was waited for."""


class ServerError(CurioError):
    """A model server failed or died. The message names the server."""


class ReplicaLostError(ServerError):
    """A server's replica is gone, with its node or alone; another one may answer."""


class NotServingError(ServerError):
    """Nobody serves there now: a replica that was lost, or an endpoint that is down or busy."""


class ContextError(ServerError):
    """A request is longer than its server's model reads; the same request never fits."""


class TemplateError(CurioError):
    """The incremental chat template differs from the tokenizer's full chat template."""


class RolloutError(CurioError):
    """Dialogues could not be completed. The message names the role that failed and why."""


class RewardError(CurioError):
    """A reward function failed, or returned no finite reward per turn. The message names it."""


class LearnerError(CurioError):
    """A learner rank failed, hung or produced values that cannot be trained on."""


class StoppedByGateError(CurioError):
    """A figure of an iteration crossed `training.stops`; the run was saved before it ended."""


class CheckpointError(CurioError):
    """A checkpoint is missing, incomplete or does not fit the config."""


class TrackingError(CurioError):
    """A tracker that the config asks for cannot be used."""
