"""Which actors find no room on the nodes of a cluster."""

from curio_ray.config.resources import Bundle
from curio_ray.plan.placement import Node, unplaced


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
