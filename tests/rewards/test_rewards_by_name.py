"""Rewards by name, a user's own, and errors that say what to write instead."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from paid import paid

from curio_ray.config.rewards import IntrinsicRewardConfig
from curio_ray.errors import ConfigError
from curio_ray.rewards.intrinsic import OF_THE_PAPER, BeliefSequence, IntrinsicReward
from curio_ray.rewards.registry import make_reward, reward_names

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "rewards.md"
EXAMPLE = PAGE.parent / "examples" / "surprise_reward.py"
OWN = """
import numpy as np
from curio_ray.rewards.intrinsic import IntrinsicReward, difference

TWO = 2

def surprise(sequence):
    return np.abs(sequence.after - sequence.before).sum(axis=1)

def plain(sequence):
    return np.ones(len(sequence.after))

grounded = IntrinsicReward(
    "grounded", difference(lambda beliefs, types: beliefs[:, 0]), False, True
)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that registers a reward by an entry point, and a second `acc`."""
    metadata = tmp_path / "surprises-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: surprises\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[curio_ray.rewards]\nsurprise = own_reward:surprise\nacc = own_reward:surprise\n"
    )
    (tmp_path / "own_reward.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def made(**section: str) -> IntrinsicReward:
    return make_reward(IntrinsicRewardConfig(**section))


def test_the_papers_rewards_come_first_and_in_its_order(package):
    assert reward_names() == [
        "mtrlhf", "acc", "log_acc", "ent", "diff_acc", "diff_log_acc", "diff_ent", "info_gain",
        "surprise",
    ]  # fmt: skip


def test_an_installed_package_adds_a_reward_by_an_entry_point(package):
    assert made(name="surprise").name == "surprise"


def test_a_package_cannot_take_a_name_of_the_paper(package):
    assert made(name="acc") in OF_THE_PAPER


def test_a_function_is_named_as_it_is_called(package):
    assert made(function="own_reward:plain").name == "plain"


def test_a_function_may_have_the_name_that_a_package_gives_it(package):
    assert made(function="own_reward:surprise").name == "surprise"


def test_a_function_can_have_another_name(package):
    assert made(name="moved", function="own_reward:surprise").name == "moved"


def test_a_function_counts_as_one_that_needs_the_type_and_has_no_potential(package):
    reward = made(function="own_reward:plain")
    assert reward.needs_true_type
    assert not reward.potential_based


def test_what_is_known_of_a_users_own_reward_is_kept(package):
    reward = made(function="own_reward:grounded", final_potential="zero")
    assert not reward.needs_true_type
    assert reward.potential_based


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "dif_acc"}, r"name: .*did you mean diff_acc\? write one of: mtrlhf, .*surprise"),
        ({"function": "own_reward"}, r"function: 'own_reward' names no module"),
        ({"function": "own_reward:surprize"}, r"function: .*cannot be loaded"),
        ({"function": "own_reward:TWO"}, r"function: .*is a int; name a function"),
        (
            {"function": "own_reward:plain", "name": "diff_acc"},
            r"name: 'diff_acc' is a registered reward, and .* write a name that is not registered",
        ),
        (
            {"function": "own_reward:plain", "name": "surprise"},
            r"name: 'surprise' is a registered reward, and ",
        ),
        ({"function": "own_reward:plain", "name": "a/b"}, r"name: 'a/b' cannot name files"),
        (
            {"function": "own_reward:plain", "final_potential": "zero"},
            r"final_potential: plain is not potential-based.*write kept",
        ),
        (
            {"name": "acc", "final_potential": "zero"},
            r"final_potential: acc is not potential-based",
        ),
    ],
)
def test_a_reward_that_cannot_be_had_is_named_by_its_field(package, section, message):
    with pytest.raises(ConfigError, match=rf"^rewards\.intrinsic\.{message}"):
        made(**section)


def made_beliefs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), size=5)


@pytest.mark.parametrize("reward", OF_THE_PAPER, ids=lambda reward: reward.name)
def test_a_reward_looks_at_the_true_type_where_it_says_so(reward):
    beliefs = made_beliefs(0)
    first, second = (reward(BeliefSequence(beliefs, np.full(5, true_type))) for true_type in (0, 1))
    assert reward.needs_true_type == (not np.array_equal(first, second))


@pytest.mark.parametrize("reward", OF_THE_PAPER, ids=lambda reward: reward.name)
def test_a_reward_is_potential_based_where_it_says_so(reward):
    """With a final potential of zero the discounted sum depends on the start alone."""
    one, other = made_beliefs(0), made_beliefs(1)
    other[0] = one[0]
    types, discounts = np.zeros(5, int), 0.9 ** np.arange(4)
    sums = [
        discounts @ reward(BeliefSequence(each, types, 0.9, final_potential="zero"))
        for each in (one, other)
    ]
    assert reward.potential_based == (sums[0] == pytest.approx(sums[1]))


def test_the_table_of_the_docs_is_the_registry():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    yes_or_no = {True: "yes", False: "no"}
    expected = [
        f"| `{each.name}` | {each.formula} | {yes_or_no[each.potential_based]} "
        f"| {yes_or_no[each.needs_true_type]} |"
        for each in OF_THE_PAPER
    ]
    assert rows[-len(expected) :] == expected


def test_the_rewards_of_the_docs_pay_what_they_say():
    blocks = [part.partition("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]
    assert dedent(blocks[0]) == EXAMPLE.read_text()
    own: dict[str, object] = {}
    for block in blocks:
        exec(dedent(block), own)
    beliefs = BeliefSequence(np.array([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]]), np.zeros(3, int))
    np.testing.assert_allclose(own["surprise"](beliefs), [0.4, 0.0])
    np.testing.assert_allclose(own["diff_certainty"](beliefs), [0.4, 0.0])


def test_a_packages_reward_is_clipped_as_ours_are(package):
    beliefs = np.array([[0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_allclose(paid("surprise", beliefs), [0.8])
    np.testing.assert_allclose(paid("surprise", beliefs, clip=0.3), [0.3])
