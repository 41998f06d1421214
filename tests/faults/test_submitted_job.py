"""`curio train` as a job of a Ray cluster with two nodes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE_S = 300.0
# The head's page answers before its agents, which take jobs, have started.
_NO_AGENT = "No available agent"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Job:
    """What `ray job submit`, `status` and `logs` printed."""

    submitted: str
    status: str
    logs: str
    output: Path


def ray_command(*arguments: str) -> list[str]:
    return [str(BIN / "ray"), *arguments]


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    values = os.environ | {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    values.pop("RAY_ADDRESS", None)
    return values | {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def dashboard(environment: dict[str, str]) -> Iterator[str]:
    """A head and a second node, each started as on a machine of its own; the head's web address."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets need short paths
    port, page, client, *agents = free_ports(5)
    head = ["--head", f"--port={port}", f"--dashboard-port={page}", "--labels=node=head"]
    head += [f"--ray-client-server-port={client}", f"--temp-dir={folder}"]
    node = [f"--address=127.0.0.1:{port}", "--labels=node=second"]
    for options, agent in zip((head, node), agents, strict=True):
        options += ["--num-cpus=3", f"--dashboard-agent-listen-port={agent}"]
    started = []
    try:
        for options, ready in ((head, page), (node, None)):
            printed = folder / f"{len(started)}.log"
            with printed.open("w") as log:
                started.append(
                    subprocess.Popen(
                        ray_command("start", *options, "--block"),
                        stdout=log,
                        stderr=log,
                        env=environment,
                        cwd=REPOSITORY,
                    )
                )
            if ready is not None:
                wait_for_page(f"http://127.0.0.1:{ready}/api/version", started[-1], printed)
        yield f"http://127.0.0.1:{page}"
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_page(address: str, process: subprocess.Popen[bytes], printed: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert process.poll() is None, printed.read_text()
        try:
            urllib.request.urlopen(address, timeout=10).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"nobody answers at {address}")


@pytest.fixture(scope="module")
def job(
    dashboard: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Job:
    """Two iterations of the pocket run, learner and policy on different nodes."""
    output = tmp_path_factory.mktemp("runs") / "job"
    settings = (
        "training.iterations=2",
        "training.dialogues_per_iteration=16",
        "evaluation.users=16",
        "learner.placement.labels={node: head}",
        "servers.policy.placement.labels={node: second}",
        "servers.frozen.placement.labels={node: second}",
        "cluster.capacity_deadline_s=120",
    )
    command = ["curio", "train", "configs/pocket.yaml", "--address", "auto"]
    command += ["--output", str(output)]
    command += [part for value in settings for part in ("--set", value)]

    def call(action: str, *arguments: str) -> str:
        return subprocess.run(
            ray_command("job", action, "--address", dashboard, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env=environment,
            cwd=REPOSITORY,
        ).stdout

    submitted = _NO_AGENT
    until = time.monotonic() + PATIENCE_S
    while _NO_AGENT in submitted and time.monotonic() < until:
        submitted = call("submit", "--submission-id", "two-nodes", "--", *command)
    return Job(submitted, call("status", "two-nodes"), call("logs", "two-nodes"), output)


def test_it_ends_in_status_succeeded(job: Job) -> None:
    assert "succeeded" in job.status, job.submitted + job.logs


def test_its_logs_are_lines_of_progress(job: Job) -> None:
    lines = [line for line in job.logs.splitlines() if line.startswith("iteration ")]
    assert lines
    assert re.match(r"iteration 2/2 .*dialogues/s .*success .*belief in true type", lines[-1])


def test_it_leaves_a_whole_run_folder(job: Job) -> None:
    assert (job.output / "summary.json").is_file()


def test_its_summary_claims_no_memory_that_it_did_not_see(job: Job) -> None:
    summary = json.loads((job.output / "summary.json").read_text())
    assert summary["peak_memory_bytes"] is None
