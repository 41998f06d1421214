"""What the display says where there is no terminal."""

import io

from rich.console import Console

from curio_ray.training.progress import ProgressDisplay, clock

METRICS = {"dialogues_per_second": 12.34, "success": 0.25, "belief": 0.5, "kl": 0.01}


def lines_of(iterations: int, plain_every: int) -> list[str]:
    text = io.StringIO()
    with ProgressDisplay(Console(file=text), iterations, plain_every) as progress:
        progress.phase("starting servers")
        for number in range(1, iterations + 1):
            progress.iteration({"iteration": number, **METRICS})
    return text.getvalue().splitlines()


def test_a_phase_is_said_when_it_begins_and_when_it_is_over():
    lines = lines_of(iterations=1, plain_every=5)
    assert lines[0] == "starting servers ..."
    assert lines[1].startswith("starting servers: done after ")


def test_one_line_per_few_iterations_with_first_and_last():
    numbers = [line.split()[1] for line in lines_of(12, 5) if line.startswith("iteration")]
    assert numbers == ["1/12", "5/12", "10/12", "12/12"]


def test_a_line_shows_speed_success_belief_and_kl():
    (line,) = [line for line in lines_of(1, 5) if line.startswith("iteration")]
    for words in ("dialogues/s 12.3", "success 0.25", "belief in true type 0.50", "KL 0.010"):
        assert words in line


def test_a_missing_figure_is_a_dash():
    text = io.StringIO()
    with ProgressDisplay(Console(file=text), 1) as progress:
        progress.iteration({"iteration": 1, "success": None})
    assert "success -" in text.getvalue()


def test_clock_shows_hours_only_where_there_are_any():
    assert (clock(9.6), clock(125), clock(3725)) == ("0:10", "2:05", "1:02:05")


SUMMARY = {
    "success_before": 0.2, "success_after": 0.9, "belief_before": 0.2, "belief_after": 0.9,
    "dialogues": 5760, "iterations": 90, "seconds_total": 264.0, "seconds_to_first_dialogue": 21.4,
    "peak_memory_bytes": 3 * 2**30, "alarms": (), "resumed_after": None,
    "seconds_since_resumed": None,
}  # fmt: skip


def closing_line(**changes: object) -> str:
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=300)) as progress:
        progress.finish({**SUMMARY, **changes})
    return text.getvalue().splitlines()[-1]


def test_closing_lines_tell_an_alarms_iterations_and_its_farthest_value():
    alarm = {"metric": "update_kl", "first": 3, "last": 9, "iterations": 4, "threshold": 0.2}
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=300)) as progress:
        progress.finish({**SUMMARY, "alarms": [{**alarm, "furthest": 0.3456}]})
        progress.finish({**SUMMARY, "alarms": [{**alarm, "iterations": 1, "furthest": None}]})
    assert "ALARM: update_kl in 4 iterations, 3 to 9: 0.346 (threshold 0.2)\n" in text.getvalue()
    assert "ALARM: update_kl at iteration 3: not finite (threshold 0.2)\n" in text.getvalue()


def test_no_memory_is_claimed_on_a_ray_that_was_joined():
    assert closing_line(peak_memory_bytes=None).endswith("first dialogue after 21 s")


def test_the_closing_line_of_a_run_in_one_go():
    assert closing_line() == (
        "5760 dialogues, 90 iterations, 4:24 in all, first dialogue after 21 s, "
        "at most 3.0 GiB of memory"
    )


def test_the_closing_line_of_a_resumed_run_tells_both_times_apart():
    assert closing_line(resumed_after=80, seconds_since_resumed=72.0) == (
        "5760 dialogues, 90 iterations, 4:24 in all, 1:12 of it since the run went on after "
        "iteration 80, first dialogue after 21 s of the first start, at most 3.0 GiB of memory"
    )
