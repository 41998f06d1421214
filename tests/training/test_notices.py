"""What a run says of its learning."""

from curio_ray.config.learner import UPDATE_TRIES
from curio_ray.training.notices import Notices


def test_a_batch_without_signal_is_said_once_while_it_lasts_and_when_it_ends() -> None:
    notices = Notices()
    shares = [0.0, 1.0, 1.0, 0.5]
    said = [
        list(notices.of(number, {"no_signal_share": share}))
        for number, share in enumerate(shares, start=1)
    ]
    assert [len(lines) for lines in said] == [0, 1, 0, 1]
    assert "iteration 2: no signal" in said[1][0]
    assert "credit.min_deviation" in said[1][0]


def test_updates_that_were_taken_back_are_said() -> None:
    (line,) = Notices().of(7, {"no_signal_share": 0.0, "updates_taken_back": 2.0})
    assert "iteration 7" in line
    assert "learner.max_update_kl" in line
    assert "taken back 2 times" in line


def test_an_update_that_was_left_out_after_the_last_try_is_told_from_one_that_was_learned() -> None:
    (tried,) = Notices().of(7, {"updates_taken_back": float(UPDATE_TRIES - 1)})
    (left_out,) = Notices().of(8, {"updates_taken_back": float(UPDATE_TRIES)})
    assert "nothing was learned" in left_out
    assert "learned at a smaller rate" in tried
