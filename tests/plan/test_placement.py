"""Which actors find no room on the nodes of a cluster."""

from curio_ray.placement.layout import Bundle, Group
from curio_ray.placement.nodes import Node, advise, unplaced_groups


def unplaced(wanted: list[Bundle], nodes: list[Node]) -> list[Bundle]:
    """What finds no node where all may lie anywhere."""
    return unplaced_groups([Group("PACK", tuple(wanted))], nodes)


def test_actors_that_fit_are_not_missing():
    wanted = [Bundle("rank", 4, 8, 1), Bundle("runner", 3, 1, 0)]
    assert unplaced(wanted, [Node("big", 48, 4)]) == []


def test_an_actor_is_never_split_over_nodes():
    nodes = [Node("a", 8, 2), Node("b", 8, 2)]
    assert unplaced([Bundle("server", 1, 1, 4)], nodes) == [Bundle("server", 1, 1, 4)]


def test_only_the_actors_without_room_are_counted():
    assert unplaced([Bundle("rank", 5, 1, 1)], [Node("a", 8, 3)]) == [Bundle("rank", 2, 1, 1)]


def test_actors_without_gpus_leave_the_gpu_nodes_free():
    wanted = [Bundle("rank", 1, 4, 1), Bundle("runner", 4, 1, 0)]
    assert unplaced(wanted, [Node("gpu", 4, 1), Node("cpu", 4, 0)]) == []


def test_large_actors_are_placed_before_small_ones():
    wanted = [Bundle("small", 2, 1, 1), Bundle("large", 1, 1, 4)]
    assert unplaced(wanted, [Node("a", 8, 4), Node("b", 8, 2)]) == []


def test_shares_of_a_gpu_add_up():
    assert unplaced([Bundle("server", 10, 0.1, 0.1)], [Node("a", 1, 1)]) == []


def test_a_strictly_packed_group_needs_one_node_for_all():
    group = Group("STRICT_PACK", (Bundle("rank", 4, 1, 1),))
    assert unplaced_groups([group], [Node("a", 8, 2), Node("b", 8, 2)]) == list(group.bundles)
    assert unplaced_groups([group], [Node("a", 8, 4)]) == []


def test_a_strictly_spread_group_needs_a_node_for_each():
    group = Group("STRICT_SPREAD", (Bundle("server", 3, 1, 1),))
    nodes = [Node("a", 8, 8), Node("b", 8, 8)]
    assert unplaced_groups([group], nodes) == [Bundle("server", 1, 1, 1)]


def test_an_actor_with_labels_needs_a_node_that_has_them():
    spot = {"market": "spot"}
    wanted = [Bundle("server", 1, 1, 0, spot)]
    assert unplaced(wanted, [Node("a", 8, 0)]) == wanted
    assert unplaced(wanted, [Node("a", 8, 0, spot | {"zone": "b"})]) == []


def test_what_would_make_room_is_named_by_its_field():
    nodes = [Node("a", 8, 2)]
    wanted = [
        Bundle("server big", 1, 1, 4, section="servers.big"),
        Bundle("learner rank", 1, 16, 1, section="learner"),
        Bundle("dialogue runner", 90, 0.1, 0, section="rollout"),
    ]
    fields = [line.partition(":")[0] for line in advise(unplaced(wanted, nodes), nodes)]
    assert fields == ["servers.big", "learner.threads", "rollout.runners"]
