"""The user models that a config may choose, in dialogues with real servers."""

from dataclasses import replace

import numpy as np
import torch
from conftest import POCKET_CONFIG, Rollouts
from transformers import AutoModelForCausalLM

from curio_ray.config import load_config
from curio_ray.dialogue import Dialogue
from curio_ray.model_paths import locate_model
from curio_ray.roles.chat import ChatFormat

OWN = "roles.user_model={server: policy, reads: policy_context}"


def hold(rollouts: Rollouts, *overrides: str, **options: object) -> list[Dialogue]:
    """The same dialogues each time, with the user model of the overrides."""
    chosen = replace(rollouts, config=load_config(POCKET_CONFIG, overrides))
    return chosen.hold(chosen.assignments(4), chosen.options(**options)).dialogues


def own_belief(rollouts: Rollouts, context: list[int]) -> np.ndarray:
    """The policy's distribution over the strategies behind "i recommend", by transformers."""
    chat = ChatFormat.load("pocket:policy")
    model = AutoModelForCausalLM.from_pretrained(
        locate_model("pocket:policy"), dtype=torch.float32
    ).eval()
    labels = [chat.encode(strategy)[0] for strategy in rollouts.task.user_types]
    with torch.no_grad():
        logits = model(torch.tensor([[*context, *chat.encode("i recommend")]])).logits[0, -1]
    return torch.softmax(logits[labels].double(), -1).numpy()


def test_the_policys_own_belief_is_its_distribution_over_the_answers(rollouts):
    dialogue = hold(rollouts, OWN)[0]
    context = [*dialogue.prompt_ids]
    expected = [own_belief(rollouts, context)]
    for policy, user in zip(dialogue.turns[0::2], dialogue.turns[1::2], strict=False):
        context += [*policy.token_ids, *user.token_ids]
        expected.append(own_belief(rollouts, context))
    np.testing.assert_allclose(dialogue.beliefs()[: len(expected)], expected, atol=1e-4)


def test_no_word_of_a_dialogue_depends_on_the_user_model(rollouts):
    world, own = hold(rollouts), hold(rollouts, OWN, beliefs_before_replies=True)
    assert [each.token_ids for each in world] == [each.token_ids for each in own]


def test_beliefs_before_replies_are_read_only_where_asked_for(rollouts):
    for asked in (False, True):
        dialogue = hold(rollouts, beliefs_before_replies=asked)[0]
        *answered, last = dialogue.policy_turns
        assert {turn.belief is not None for turn in answered} == {asked}
        assert last.belief is None


def test_an_ensemble_believes_the_mean_of_its_models(rollouts):
    policy, world, both = (
        hold(rollouts, f"roles.user_model={{reads: policy_context, {servers}}}")[0].beliefs()
        for servers in ("server: policy", "server: frozen", "server: policy, others: [frozen]")
    )
    np.testing.assert_allclose(both, (policy + world) / 2, atol=1e-4)


def test_a_user_model_that_hears_the_user_alone_is_not_moved_by_the_policy(rollouts):
    overrides = ("roles.user_model.hears=user_words",)
    dialogue = hold(rollouts, *overrides, beliefs_before_replies=True)[0]
    np.testing.assert_allclose(
        dialogue.beliefs_before_replies(), dialogue.beliefs()[:-1], atol=1e-4
    )
