"""Weights & Biases and MLflow, with their own libraries and without a network."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curio_ray.config import load_config
from curio_ray.errors import TrackingError
from curio_ray.run_folder import RunFolder

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
WRITING_DEADLINE_S = 30


def tracked_run(path: Path, tracker: str, iterations=(0, 1, 2)) -> RunFolder:
    """A run that was closed after these iterations."""
    config = load_config(POCKET, [f"tracking={{{tracker}}}", f"output={path}"])
    run = RunFolder.open(path) if path.exists() else RunFolder.create(path, config)
    run.track()
    for iteration in iterations:
        run.write_metrics(iteration, {"success": iteration / 10, "time/collect": float("nan")})
    run.close()
    return run


def log_records(data: bytes) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format behind a header of seven bytes."""
    block, place, record = 32768, 7, b""
    while place + 7 <= len(data):
        if block - place % block < 7:  # too short for a record: padding
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


class Wandb:
    """What Weights & Biases keeps of an offline run."""

    def __init__(self, run: RunFolder) -> None:
        (file,) = run.path.glob("wandb/offline-run-*/*.wandb")
        self.steps, self.config = [], {}
        for record in self._records(file):
            if record.HasField("history"):
                items = record.history.item
                self.steps.append({"/".join(i.nested_key) or i.key: i.value_json for i in items})
            if record.HasField("run"):
                updates = record.run.config.update
                self.config |= {each.key: json.loads(each.value_json) for each in updates}
                self.name, self.project = record.run.display_name, record.run.project

    def _records(self, file: Path) -> list[Any]:
        """All records to the last one, which its own process may write after the run's end."""
        from wandb.proto import wandb_internal_pb2

        give_up = time.monotonic() + WRITING_DEADLINE_S
        while True:
            parsed = map(wandb_internal_pb2.Record.FromString, log_records(file.read_bytes()))
            records = list(parsed)
            if records and records[-1].HasField("exit"):
                return records
            assert time.monotonic() < give_up, f"{file} has no end after {WRITING_DEADLINE_S} s"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def wandb_run(tmp_path_factory) -> RunFolder:
    pytest.importorskip("wandb")
    path = tmp_path_factory.mktemp("runs") / "diff_acc-0"
    return tracked_run(path, "wandb: {mode: offline, project: tests}")


def test_wandb_gets_each_iteration(wandb_run):
    steps = Wandb(wandb_run).steps
    assert [json.loads(each["iteration"]) for each in steps] == [0, 1, 2]
    assert [json.loads(each["success"]) for each in steps] == [0.0, 0.1, 0.2]


def test_wandb_does_not_get_what_is_not_finite(wandb_run):
    assert all("time/collect" not in each for each in Wandb(wandb_run).steps)


def test_wandb_knows_the_run_by_its_folder_and_its_config(wandb_run):
    kept = Wandb(wandb_run)
    assert (kept.name, kept.project) == ("diff_acc-0", "tests")
    assert kept.config["rewards.intrinsic.name"] == "diff_acc"


def test_the_run_folder_keeps_the_id_of_the_wandb_run(wandb_run):
    (file,) = wandb_run.path.glob("wandb/offline-run-*/*.wandb")
    assert file.stem == f"run-{wandb_run.notes()['wandb_run']}"


class Mlflow:
    """What MLflow keeps of the only run in a store."""

    def __init__(self, run: RunFolder) -> None:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=str(run.path.parent / "mlruns"))
        experiment = client.get_experiment_by_name("curio")
        (self.run,) = client.search_runs([experiment.experiment_id])
        history = client.get_metric_history(self.run.info.run_id, "success")
        self.success = [(each.step, each.value) for each in history]


@pytest.fixture(scope="module")
def mlflow_run(tmp_path_factory) -> RunFolder:
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        tracker = f"mlflow: {{uri: {folder / 'mlruns'}}}"
        tracked_run(folder / "diff_acc-0", tracker, (0, 1))
        yield tracked_run(folder / "diff_acc-0", tracker, (2,))


def test_mlflow_gets_each_iteration_in_one_run_also_after_a_stop(mlflow_run):
    assert Mlflow(mlflow_run).success == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_an_mlflow_server_that_is_not_there_is_told_before_anything_starts(tmp_path):
    pytest.importorskip("mlflow")
    with pytest.raises(TrackingError, match=r"tracking.mlflow: .* check uri: http://127.0.0.1:9"):
        tracked_run(tmp_path / "run", "mlflow: {uri: 'http://127.0.0.1:9'}")


def test_mlflow_knows_the_run_by_its_folder_and_its_config(mlflow_run):
    kept = Mlflow(mlflow_run).run
    assert kept.info.run_name == "diff_acc-0"
    assert kept.data.params["rewards.intrinsic.name"] == "diff_acc"


def test_mlflow_is_told_that_a_run_was_stopped_before_its_last_iteration(mlflow_run):
    assert Mlflow(mlflow_run).run.info.status == "KILLED"
