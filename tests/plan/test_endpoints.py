"""An endpoint has no place, no memory and no actor in a plan, and is shown as what it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from curio_ray.commands.plan_tables import render_estimates, render_plan
from curio_ray.config import load_config
from curio_ray.placement.layout import bundles, make_layout
from curio_ray.plan import Machine, Plan, check_plan, make_plan
from curio_ray.plan.devices import find_gpu

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
URL = "http://judge:8000/v1"
MACHINE = Machine(available_bytes=2**40, cores=64, gpus=0)


def plan_with(fields: str) -> Plan:
    endpoint = f"servers.frozen={{url: '{URL}', model: judge, {fields}}}"
    return make_plan(load_config(POCKET, (endpoint,)))


@pytest.fixture(params=["api: chat", "api: completions, tokenizer: 'pocket:world'"])
def plan(request: pytest.FixtureRequest) -> Plan:
    return plan_with(request.param)


def test_it_has_no_actor_and_no_place(plan):
    assert [each.actor for each in bundles(plan.config) if each.actor.startswith("server")] == [
        "server policy"
    ]
    assert list(make_layout(plan.config).servers) == ["policy"]


def test_it_takes_no_memory(plan):
    assert not [part for part in plan.memory if "frozen" in part.holder]


def test_the_tables_show_its_way_to_be_asked_and_its_address(plan):
    console = Console(width=200, file=io.StringIO())
    console.print(render_plan(plan, MACHINE), render_estimates(plan, find_gpu("H100")))
    (row,) = (line for line in console.file.getvalue().splitlines() if URL in line)
    assert f"endpoint, {plan.config.endpoints['frozen'].api}" in row


def test_a_run_with_it_can_work(plan):
    check_plan(plan, MACHINE)


def test_its_contexts_are_counted_with_its_tokenizer_where_it_has_one():
    by_tokens = plan_with("api: completions, tokenizer: 'pocket:world'").contexts
    by_chat = plan_with("api: chat").contexts
    assert not by_tokens["environment"].estimated
    assert by_chat["environment"].estimated
