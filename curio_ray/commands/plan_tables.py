"""A plan as tables for the terminal: what is asked for, and what is estimated."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from curio_ray.placement.layout import Bundle, make_layout
from curio_ray.plan.devices import Device
from curio_ray.plan.gpu_memory import LEARNER_OVERHEAD_GIB, OVERHEAD_GIB, gpu_needs
from curio_ray.plan.machine import Machine
from curio_ray.plan.memory import GIB, total
from curio_ray.plan.model_size import ModelSize
from curio_ray.plan.plan import ROLES, Plan
from curio_ray.plan.throughput import estimate_throughput
from curio_ray.plan.tried import tried_parts
from curio_ray.rewards.intrinsic import IntrinsicReward


def render_plan(plan: Plan, machine: Machine) -> RenderableType:
    """Roles, servers, Ray bundles, memory, volume and warnings."""
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in plan.warnings]
    return Group(
        _roles(plan), _servers(plan), _bundles(plan), _memory(plan, machine), _volume(plan),
        _tried(plan), *warnings,
    )  # fmt: skip


def _roles(plan: Plan) -> Table:
    table = make_table("Roles", "role", "server", "model", "longest context")
    for role in ROLES:
        server = getattr(plan.config.roles, role).server
        context = plan.contexts[role]
        own = plan.config.own_servers.get(server)
        allowed = f" of {own.max_model_len}" if own else ""
        longest = f"{'about ' if context.estimated else ''}{context.tokens}{allowed} tokens"
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
    for name, server in plan.config.own_servers.items():
        model = plan.models[name]
        table.add_row(
            name, str(server.replicas), server.engine, server.dtype, str(server.threads),
            f"{server.gpus:g}", _parameters(model.size),
            model.source.value,
        )  # fmt: skip
    for name, endpoint in plan.config.endpoints.items():
        unknown = ["-"] * 4
        table.add_row(name, "-", f"endpoint, {endpoint.api}", *unknown, endpoint.url)
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
        table.add_row("", "", "GPU", _size(on_gpus), f"{plan.gpus:g} GPU" + "s" * (plan.gpus != 1))
    return table


def _volume(plan: Plan) -> Table:
    training, volume = plan.config.training, plan.volume
    table = make_table("Training", "what", "how much")
    table.add_row(
        "dialogues",
        f"{volume.dialogues:,} ({training.iterations} iterations of "
        f"{training.dialogues_per_iteration})",
    )
    table.add_row("intrinsic reward", _reward(plan.intrinsic))
    table.add_row("tokens sampled by the policy", f"at most {volume.policy_tokens:,}")
    table.add_row("requests to the servers", f"at most {volume.requests:,}")
    table.add_row("held-out users", f"{plan.evaluated_users}, before and after")
    table.add_row("run folder", str(plan.config.output))
    return table


def _tried(plan: Plan) -> Table:
    table = make_table("What of this has run", "part", "has run on")
    for part in tried_parts(plan.config):
        table.add_row(part.words, part.on or "nothing yet", style=None if part.on else "yellow")
    return table


def _reward(reward: IntrinsicReward) -> str:
    facts = [reward.formula] if reward.formula else []
    facts.append("potential-based" if reward.potential_based else "not potential-based")
    facts.append("needs the true type" if reward.needs_true_type else "needs no true type")
    return f"{reward.name}: {'; '.join(facts)}"


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= 0.1 * GIB else f"{count / 2**20:.1f} MiB"


def _parameters(size: ModelSize | None) -> str:
    if size is None:
        return "unknown"
    return f"{'about ' if size.estimated else ''}{size.parameters / 1e6:,.2f} M"


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
        f"Memory of each GPU in GiB, with {OVERHEAD_GIB:g} assumed for all else of a server and "
        f"{LEARNER_OVERHEAD_GIB:g} of the learner ({gpu.name})",
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


_NUMERIC = {"replicas", "threads", "GPUs", "size", "CPUs", "count", "parameters", "weights"} | {
    "KV cache", "training", "together", "tokens/s sampled", "tokens/s read",
}  # fmt: skip


def make_table(title: str, *columns: str) -> Table:
    """An empty table; columns of numbers are set to the right."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE
    )
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMERIC else "left", overflow="fold")
    return table


def bundle_table(title: str, wanted: Iterable[tuple[Bundle, str]]) -> Table:
    """Bundles with what each place asks for, and how the places of each lie."""
    rows = [(bundle, "; ".join(_where(bundle, how))) for bundle, how in wanted]
    placed = ["placement"] if any(where for _, where in rows) else []
    table = make_table(title, "actor", "count", "CPUs", "GPUs", *placed)
    for bundle, where in rows:
        cells = (bundle.actor, str(bundle.count), f"{bundle.cpus:g}", f"{bundle.gpus:g}")
        table.add_row(*cells, *([where] if placed else []))
    return table


def _where(bundle: Bundle, how: str) -> Iterable[str]:
    if how:
        yield how
    yield from (f"{name}={value}" for name, value in bundle.labels.items())
