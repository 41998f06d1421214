"""The estimates of a plan as tables: memory of each GPU, speed, places on nodes."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from curio_ray.config.resources import Bundle
from curio_ray.plan.devices import Device
from curio_ray.plan.gpu_memory import OVERHEAD_GIB, gpu_needs
from curio_ray.plan.plan import Plan
from curio_ray.plan.tables import bundle_table, make_table
from curio_ray.plan.throughput import estimate_throughput


def render_estimates(plan: Plan, gpu: Device) -> RenderableType:
    """Memory of each GPU, where the run asks for any, and speed."""
    tables = [_gpu_memory(plan, gpu)] if plan.gpus else []
    return Group(*tables, _speed(plan, gpu))


def render_places(missing: list[Bundle], nodes: int, place: str) -> RenderableType:
    """Whether the run has room at a place."""
    if not missing:
        return Text(f"{place}: room for the whole run on {nodes} nodes", style="green")
    return bundle_table(f"Missing at {place}, {nodes} nodes", [(each, "") for each in missing])


def _gpu_memory(plan: Plan, gpu: Device) -> RenderableType:
    table = make_table(
        f"Memory of each GPU in GiB, with {OVERHEAD_GIB:g} assumed for all else ({gpu.name})",
        *("holder", "GPUs", "weights", "KV cache", "training", "together", "of"),
    )
    for need in gpu_needs(plan):
        share = min(need.share, 1.0)
        table.add_row(
            need.holder, f"{need.gpus * share:g}", f"{need.weights:.1f}", f"{need.cache:.1f}",
            f"{need.training:.1f}", f"{need.total:.1f}",
            f"{share * gpu.memory_gib:.1f}{'' if need.fits(gpu) else ', too small'}",
        )  # fmt: skip
    return table


def _speed(plan: Plan, gpu: Device) -> RenderableType:
    device = gpu.name if plan.gpus else "CPU"
    table = make_table(
        f"Estimated speed, all utterances at full length ({device})",
        *("holder", "tokens/s sampled", "tokens/s read", "dialogues/s"),
    )
    speed = estimate_throughput(plan, gpu)
    if speed is None:
        return Text("speed: not estimated, since the size of a model is unknown")
    for server in speed.servers:
        table.add_row(
            f"server {server.server}", f"about {server.sampled:,.0f}", f"about {server.read:,.0f}",
            f"about {server.dialogues:.3g}",
        )  # fmt: skip
    table.add_row("learner", "", f"about {speed.learner_tokens:,.0f}", "")
    table.add_section()
    table.add_row("together", "", "", f"about {speed.dialogues:.3g}, bound by {speed.bound}")
    joined = " beside" if plan.config.training.max_staleness else ","
    seconds = (
        f"{speed.collecting_s:.3g} s of dialogues{joined} {speed.learning_s:.3g} s of learning"
    )
    table.add_row("an iteration", "", "", f"about {seconds}")
    return table
