"""Losses of the supervised start, by values worked out by hand."""

import math

import pytest
import torch

from curio_ray.supervised.losses import (
    CENTRE,
    bradley_terry_loss,
    label_log_probs,
    label_mass_loss,
    token_losses,
    verdict_scores,
    weighted_mean,
)


def test_each_token_is_predicted_from_those_before_it():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [1.0, 1.0, 1.0]]]))
    losses = token_losses(logits, torch.tensor([[2, 1, 0]]))
    assert losses.tolist()[0] == pytest.approx([-math.log(0.25), -math.log(0.1)])


def test_tokens_without_weight_do_not_count():
    mean = weighted_mean(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([1.0, 0.0, 0.5]))
    assert mean.item() == pytest.approx((1 + 4.5) / 1.5)


def test_the_loss_of_the_labels_and_of_their_mass_is_that_over_all_tokens():
    logits, labels = torch.tensor([[0.3, -1.0, 2.0, 0.7]]), torch.tensor([[[3], [1]]])
    together = label_mass_loss(logits, labels) - label_log_probs(logits, labels)[0, 0]
    assert together.item() == pytest.approx(-logits.log_softmax(dim=1)[0, 3].item())


def test_labels_share_all_probability():
    logits = torch.tensor([[0.0, 1.0, 7.0, 1.0 + math.log(3)]])
    log_probs = label_log_probs(logits, torch.tensor([[[1], [3]]]))
    assert log_probs.exp().tolist()[0] == pytest.approx([0.25, 0.75])


def test_a_label_counts_by_all_its_spellings():
    logits = torch.tensor([[0.0, 0.0, 7.0, math.log(2)]])
    log_probs = label_log_probs(logits, torch.tensor([[[0, 1], [3, -1]]]))
    assert log_probs.exp().tolist()[0] == pytest.approx([0.5, 0.5])


def test_the_sigmoid_of_the_score_is_the_served_verdict():
    log_probs = torch.log(torch.tensor([[0.2, 0.8], [0.5, 0.5]]))
    assert verdict_scores(log_probs).sigmoid().tolist() == pytest.approx([0.8, 0.5])


def test_bradley_terry_is_the_chance_of_the_wrong_order_in_nats():
    # scores log 3 apart: the better one wins with probability 3/4; they are centred
    half = math.log(3) / 2
    loss = bradley_terry_loss(torch.tensor([half]), torch.tensor([-half]))
    assert loss.item() == pytest.approx(-math.log(0.75))


def test_pairs_are_pulled_to_a_mean_score_of_zero():
    loss = bradley_terry_loss(torch.tensor([3.0]), torch.tensor([1.0]))
    centred = bradley_terry_loss(torch.tensor([1.0]), torch.tensor([-1.0]))
    assert (loss - centred).item() == pytest.approx(CENTRE * 16)
