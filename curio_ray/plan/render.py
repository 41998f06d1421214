"""The plan as tables for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from curio_ray.config.resources import make_layout
from curio_ray.plan.machine import Machine
from curio_ray.plan.memory import GIB, total
from curio_ray.plan.model_size import ModelSize
from curio_ray.plan.plan import ROLES, Plan
from curio_ray.plan.tables import bundle_table, make_table


def render_plan(plan: Plan, machine: Machine) -> RenderableType:
    """Roles, servers, Ray bundles, memory, volume and warnings."""
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in plan.warnings]
    return Group(
        _roles(plan), _servers(plan), _bundles(plan), _memory(plan, machine), _volume(plan),
        *warnings,
    )  # fmt: skip


def _roles(plan: Plan) -> Table:
    table = make_table("Roles", "role", "server", "model", "longest context")
    for role in ROLES:
        server = getattr(plan.config.roles, role).server
        context = plan.contexts[role]
        allowed = plan.config.servers[server].max_model_len
        longest = f"{'about ' if context.estimated else ''}{context.tokens} of {allowed} tokens"
        table.add_row(role, server, plan.config.servers[server].model, longest)
    return table


def _servers(plan: Plan) -> Table:
    table = make_table(
        "Servers",
        "server",
        "replicas",
        "engine",
        "dtype",
        "threads",
        "GPUs",
        "parameters",
        "source",
    )
    for name, server in plan.config.servers.items():
        model = plan.models[name]
        table.add_row(
            name, str(server.replicas), server.engine, server.dtype, str(server.threads),
            f"{server.gpus:g}", _parameters(model.size),
            model.source.value,
        )  # fmt: skip
    return table


def _bundles(plan: Plan) -> Table:
    groups = make_layout(plan.config).groups
    wanted = [(each, group.strategy.lower()) for group in groups for each in group.bundles]
    table = bundle_table("Ray bundles", wanted)
    table.add_section()
    cpus = sum(each.count * each.cpus for each, _ in wanted)
    table.add_row("together", "", f"{cpus:g}", f"{plan.gpus:g}")
    return table


def _memory(plan: Plan, machine: Machine) -> Table:
    table = make_table("Memory", "holder", "for", "where", "size", "decided by")
    holder = None
    for part in plan.memory:
        if holder not in (None, part.holder):
            table.add_section()
        name = part.holder if part.holder != holder else ""
        holder = part.holder
        table.add_row(name, part.purpose, part.place, _size(part.bytes), part.field or "")
    table.add_section()
    available = f"{_size(machine.available_bytes)} available here"
    table.add_row("together", "", "memory", _size(plan.memory_bytes), available)
    if on_gpus := total(plan.memory, "GPU"):
        table.add_row("", "", "GPU", _size(on_gpus), f"{plan.gpus:g} GPUs")
    return table


def _volume(plan: Plan) -> Table:
    training, volume = plan.config.training, plan.volume
    table = make_table("Training", "what", "how much")
    table.add_row(
        "dialogues",
        f"{volume.dialogues:,} ({training.iterations} iterations of "
        f"{training.dialogues_per_iteration})",
    )
    table.add_row("tokens sampled by the policy", f"at most {volume.policy_tokens:,}")
    table.add_row("requests to the servers", f"at most {volume.requests:,}")
    table.add_row("held-out users", f"{plan.evaluated_users}, before and after")
    table.add_row("run folder", str(plan.config.output))
    return table


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= 0.1 * GIB else f"{count / 2**20:.1f} MiB"


def _parameters(size: ModelSize | None) -> str:
    if size is None:
        return "unknown"
    return f"{'about ' if size.estimated else ''}{size.parameters / 1e6:,.2f} M"
