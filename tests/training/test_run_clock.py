"""The time of a run over several commands."""

import time

import pytest

from curio_ray.training.run_clock import RunClock


def test_a_run_in_one_go_has_the_time_of_its_command():
    clock = RunClock(time.time() - 60)
    assert clock.run_seconds == pytest.approx(60, abs=1)
    assert clock.command_seconds == pytest.approx(60, abs=1)


def test_a_resumed_run_counts_the_commands_before_also_what_is_cut_off():
    lines = [{"iteration": n, "run_seconds": 20.0 + 10 * n} for n in range(4)]
    clock = RunClock.resumed(time.time() - 5, lines)
    assert clock.run_seconds == pytest.approx(55, abs=1)
    assert clock.command_seconds == pytest.approx(5, abs=1)


def test_a_run_whose_lines_tell_no_time_is_resumed_all_the_same():
    assert RunClock.resumed(time.time(), [{"iteration": 0}]).before == 0
