"""`curio plan`: what a run will need, and whether a machine or a cluster has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from curio_ray.commands.common import ConfigFile, Overrides, all_changes
from curio_ray.commands.plan_tables import render_estimates, render_places, render_plan
from curio_ray.config import RunConfig, load_config
from curio_ray.errors import ConfigError
from curio_ray.placement.nodes import Node
from curio_ray.plan import check_plan, make_plan, read_machine
from curio_ray.plan.cluster import explain_missing, find_missing, read_cluster, read_nodes_file
from curio_ray.plan.devices import DEFAULT_GPU, find_gpu
from curio_ray.plan.gpu_memory import gpu_problems
from curio_ray.roles.plan_check import check_role_models


def show_plan(
    config_file: ConfigFile,
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(help="Say what is missing on a running Ray cluster.")
    ] = None,
    nodes: Annotated[
        Path | None,
        typer.Option(help="Say what is missing on all nodes that a file in cluster/ allows."),
    ] = None,
    gpu: Annotated[str, typer.Option(help="The kind of GPU to estimate for.")] = DEFAULT_GPU,
) -> None:
    """Show what a run will need. Starts nothing."""
    device = find_gpu(gpu)
    config = load_config(config_file, all_changes(overrides, address))
    plan, machine = make_plan(config), read_machine()
    console = Console()
    console.print(render_plan(plan, machine), render_estimates(plan, device))
    check_plan(plan, machine)
    check_role_models(plan)
    problems = list(gpu_problems(plan, device))
    if address is not None:
        there = _show_places(config, read_cluster(address), f"the cluster at {address}", console)
        # what a cluster lacks now, the nodes that its autoscaler may add can still hold
        problems += there if nodes is None else []
    if nodes is not None:
        problems += _show_places(config, read_nodes_file(nodes), str(nodes), console)
    if problems:
        raise ConfigError("the run cannot work:\n  " + "\n  ".join(problems))


def _show_places(config: RunConfig, offered: list[Node], place: str, console: Console) -> list[str]:
    """Print what is missing at a place; the same as at most one problem."""
    missing = find_missing(config, offered)
    console.print(render_places(missing, len(offered), place))
    return [explain_missing(missing, offered, place)] if missing else []
