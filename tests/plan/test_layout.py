"""How the actors of a run are grouped, and what a config may ask of places."""

from pathlib import Path

import pytest

from curio_ray.config import load_config
from curio_ray.errors import ConfigError
from curio_ray.placement.layout import (
    learner_bundle,
    make_layout,
    server_bundle,
    trial_index,
    trial_places,
)
from curio_ray.placement.nodes import Node
from curio_ray.plan import Machine, check_plan, make_plan
from curio_ray.plan.cluster import explain_missing, find_missing

POCKET = Path(__file__).parents[2] / "configs" / "pocket.yaml"
MACHINE = Machine(available_bytes=2**36, cores=16, gpus=0)


def pocket(*overrides: str):
    return load_config(POCKET, overrides)


def on_gpus(*overrides: str):
    return pocket("cluster.address=auto", "servers.policy.gpus=0.5", *overrides)


def test_by_default_all_actors_are_one_packed_group():
    (group,) = make_layout(pocket()).groups
    assert group.strategy == "PACK"
    assert [bundle.actor for bundle in group.bundles] == [
        "server policy",
        "server frozen",
        "learner rank",
        "dialogue runner",
    ]


def test_two_cores_of_a_joined_ray_hold_the_runs_of_small_models():
    for name in ("pocket", "pocket_changing", "education_pocket", "smollm2"):
        config = load_config(POCKET.with_stem(name), ["cluster.address=auto"])
        node = Node("laptop", cpus=2, gpus=0)
        assert find_missing(config, [node]) == [], name


def test_a_joined_ray_is_asked_for_a_cpu_per_thread_by_default():
    config = load_config(POCKET.with_stem("education_qwen"))
    assert server_bundle(config, "user_model").cpus == config.servers["user_model"].threads
    assert learner_bundle(config).cpus == config.learner.threads


def test_a_joined_ray_without_room_says_how_to_ask_for_less():
    config = pocket("cluster.address=auto", "cluster.cpus_per_thread=1.0")
    nodes = [Node("laptop", cpus=2, gpus=0)]
    text = explain_missing(find_missing(config, nodes), nodes, "the laptop")
    assert "lower cluster.cpus_per_thread" in text
    assert "a larger --num-cpus" in text


def test_a_kind_that_names_a_strategy_is_a_group_of_its_own():
    layout = make_layout(
        pocket("servers.frozen.replicas=2", "servers.frozen.placement.strategy=spread")
    )
    assert [(each.strategy, len(each.bundles)) for each in layout.groups] == [
        ("PACK", 3),
        ("SPREAD", 1),
    ]
    assert [(place.group, place.index) for place in layout.servers["frozen"]] == [(1, 0), (1, 1)]


def test_ranks_beside_a_server_have_its_replicas_places():
    layout = make_layout(
        on_gpus("servers.policy.replicas=2", "learner.ranks=3", "learner.placement.beside=policy")
    )
    first, second = layout.servers["policy"]
    assert layout.ranks == (first, second, first)


def test_a_shared_place_asks_for_what_its_actors_ask_for():
    (group,) = make_layout(
        on_gpus("learner.gpus_per_rank=0.25", "learner.placement.beside=policy")
    ).groups
    shared = group.bundles[0]
    assert (shared.actor, shared.gpus) == ("server policy + 1 x learner rank", 0.75)


def test_parts_of_a_gpu_beyond_a_whole_one_are_refused():
    with pytest.raises(ConfigError, match=r"learner\.placement\.beside: .* add up to 1\.1"):
        on_gpus("learner.gpus_per_rank=0.6", "learner.placement.beside=policy")


@pytest.mark.parametrize("processes", [2, 3])
def test_parts_of_gpus_for_an_engine_over_several_processes_are_refused(processes):
    with pytest.raises(ConfigError, match=r"servers\.policy\.gpus: .* write 1, or tensor_parallel"):
        on_gpus(f"servers.policy.tensor_parallel={processes}")


@pytest.mark.parametrize("field", ["servers.policy.gpus", "learner.gpus_per_rank"])
def test_more_gpus_than_a_process_computes_on_are_refused(field):
    with pytest.raises(ConfigError, match=rf"{field}: .* computes on one GPU, not 2; write 1"):
        pocket(f"{field}=2")


def test_ranks_that_would_share_a_gpu_are_refused():
    with pytest.raises(ConfigError, match=r"learner\.gpus_per_rank: .* which NCCL refuses"):
        pocket("learner.gpus_per_rank=0.5", "learner.ranks=2")


@pytest.mark.parametrize(("part", "replicas"), [(0.2, 2), (0.3, 1)])
def test_ranks_beside_replicas_that_would_share_a_gpu_are_refused(part, replicas):
    with pytest.raises(ConfigError, match=r"learner\.ranks: .* which NCCL refuses"):
        pocket(
            "servers.policy.gpus=0.2", f"servers.policy.replicas={replicas}", "learner.ranks=2",
            f"learner.gpus_per_rank={part}", "learner.placement.beside=policy",
        )  # fmt: skip


def test_ranks_beside_a_server_name_no_place_of_their_own():
    with pytest.raises(ConfigError, match=r"write strategy and labels in servers\.policy"):
        pocket("learner.placement.beside=policy", "learner.placement.strategy=pack")


def test_ranks_lie_beside_a_server_that_there_is():
    with pytest.raises(
        ConfigError, match="there is no server 'none'; write one of: frozen, policy"
    ):
        pocket("learner.placement.beside=none")


@pytest.mark.parametrize(
    "override",
    ["servers.frozen.placement.labels={market: spot}", "learner.placement.labels={market: spot}"],
)
def test_a_ray_of_the_runs_own_has_no_labels(override):
    with pytest.raises(ConfigError, match=r"placement\.labels: no node has market=spot"):
        check_plan(make_plan(pocket(override)), MACHINE)


def test_a_ray_of_the_runs_own_is_one_node():
    apart = ("rollout.runners=2", "rollout.placement.strategy=strict_spread")
    with pytest.raises(ConfigError, match=r"rollout\.runners: no room for 1 of them"):
        check_plan(make_plan(pocket(*apart)), MACHINE)


def test_a_trial_has_a_place_for_its_driver_and_every_actor():
    config = pocket("rollout.runners=2")
    places, layout = trial_places(config), make_layout(config)
    actors = [places[trial_index(place)].actor for place in (*layout.ranks, *layout.runners)]
    assert actors == ["learner rank", "dialogue runner", "dialogue runner"]
    assert places[0].actor == "driver"


def test_a_trial_with_a_strategy_is_refused():
    with pytest.raises(
        ConfigError, match=r"learner\.placement\.strategy: each run of a comparison"
    ):
        trial_places(pocket("learner.placement.strategy=strict_pack"))
