"""What Prometheus finds at Ray's port after one iteration, and what the dashboard asks it for."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR

from curio_ray.config import load_config
from curio_ray.placement.ray_session import RaySession, connect_to_ray
from curio_ray.rollout.clock import ITERATION_PARTS
from curio_ray.rollout.runner import LocalRunners
from curio_ray.run_folder import RunFolder
from curio_ray.tracking.prometheus import EXPORTED, exported_names
from curio_ray.training.trainer import Iteration, Trainer

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
NAMES = {each for name in EXPORTED for each in exported_names(name)}
SCRAPE_DEADLINE_S = 120
RAY_FORGETS_GAUGES_AFTER_S = 20
JOB = {"job_submission_id": "raysubmit_tracked"}
# A sample is NAME{LABELS} VALUE.
SAMPLE = re.compile(r"^(ray_curio_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass
class Sample:
    """One line of what a process of Ray exports."""

    name: str
    labels: dict[str, str]
    value: float


@dataclass
class TrackedIteration:
    """One iteration with all that was to be seen of it."""

    session: RaySession
    dashboard: str
    iteration: Iteration
    samples: list[Sample]

    def value(self, name: str, **labels: str) -> float:
        """The value of the only sample of this name and these labels."""
        (found,) = (
            each
            for each in self.samples
            if each.name == name and labels.items() <= each.labels.items()
        )
        return found.value


def at_rest(samples: list[Sample]) -> bool:
    """Whether all processes have reported since their last work; each does it every ten seconds."""
    busy = ("dialogues_in_flight", "dialogues_waiting", "server_requests")
    servers = {each.labels["server"] for each in samples if "server" in each.labels}
    return (
        {each.name for each in samples} >= NAMES
        and servers == {"policy", "frozen"}
        and not any(each.value for each in samples if each.name.endswith(busy))
    )


def scrape() -> list[Sample]:
    """Everything of ours that the node exports when its processes are at rest."""
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    give_up = time.monotonic() + SCRAPE_DEADLINE_S
    while True:
        with urllib.request.urlopen(address) as page:
            text = page.read().decode()
        samples = [
            Sample(name, dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
            for name, labels, value in SAMPLE.findall(text)
        ]
        if at_rest(samples) or time.monotonic() > give_up:
            return samples
        time.sleep(0.5)


@pytest.fixture(scope="module")
def tracked(no_ray, tmp_path_factory) -> Iterator[TrackedIteration]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path_factory.mktemp("runs") / "tracked"
    config = load_config(
        REPOSITORY / "configs" / "pocket.yaml",
        [
            f"output={path}", "training.dialogues_per_iteration=8",
            f"cluster={{dashboard: true, dashboard_port: {port}, cpus: 4}}",
        ],
    )  # fmt: skip
    run = RunFolder.create(path, config)
    run.track()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RAY_JOB_CONFIG_JSON_ENV_VAR, json.dumps({"metadata": JOB}))
        session = connect_to_ray(config)
    trainer = Trainer(config)
    try:
        runners = LocalRunners(config, trainer.task)
        trainer.wait_ready()
        runners.connect(trainer.servers.handles())
        iteration = trainer.step(runners)
        run.record(iteration.number, iteration.metrics, iteration.dialogues)
        dashboard = urllib.request.urlopen(session.dashboard).read().decode()
        yield TrackedIteration(session, dashboard, iteration, scrape())
        runners.close()
    finally:
        trainer.shutdown()
        ray.shutdown()
        run.close()


def test_every_metric_is_exported(tracked):
    assert {each.name for each in tracked.samples} == NAMES


def test_every_metric_names_its_run_and_role(tracked):
    roles = {name: each.role for name, each in EXPORTED.items()}
    for each in tracked.samples:
        assert each.labels["run"] == "tracked"
        assert each.labels["role"] in roles.values()


def test_the_figures_are_those_of_the_iteration(tracked):
    metrics = tracked.iteration.metrics
    for name in ("success", "belief", "belief_accuracy", "dialogues_per_second", "staleness"):
        assert tracked.value(f"ray_curio_{name}") == pytest.approx(metrics[name])
    reward = tracked.value("ray_curio_reward", stream="intrinsic")
    assert reward == pytest.approx(metrics["reward/intrinsic"])


def test_finished_dialogues_are_counted_and_handed_over(tracked):
    assert tracked.value("ray_curio_dialogues_total") == 8
    assert tracked.value("ray_curio_dialogues_in_flight") == 0
    assert tracked.value("ray_curio_dialogues_waiting") == 0


def test_a_server_that_has_answered_everything_has_no_requests(tracked):
    for server in ("policy", "frozen"):
        assert tracked.value("ray_curio_server_requests", server=server, replica="0") == 0


def test_the_parts_of_an_iteration_add_up_to_it(tracked):
    metrics = tracked.iteration.metrics
    seconds = 8 / metrics["dialogues_per_second"]
    assert sum(metrics[name] for name in ITERATION_PARTS) == pytest.approx(seconds)


def test_gauges_outlast_ray_s_memory_of_them_while_nothing_changes(tracked):
    time.sleep(RAY_FORGETS_GAUGES_AFTER_S + 5)
    assert {each.name for each in scrape()} == NAMES


def test_the_address_of_the_dashboard_is_that_of_a_page(tracked):
    assert "<html" in tracked.dashboard


def test_a_submitted_command_knows_its_job(tracked):
    assert tracked.session.links()["ray_job"] == "raysubmit_tracked"


def test_the_dashboard_asks_for_every_metric_and_for_no_other():
    text = (REPOSITORY / "cluster" / "grafana" / "curio.json").read_text()
    assert set(re.findall(r"ray_curio_\w+", text)) == NAMES


def test_the_panels_of_the_dashboard_lie_side_by_side():
    panels = json.loads((REPOSITORY / "cluster" / "grafana" / "curio.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_panel_of_the_dashboard_asks_the_chosen_source():
    panels = json.loads((REPOSITORY / "cluster" / "grafana" / "curio.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all('run=~"$run"' in target["expr"] for target in panel["targets"])
