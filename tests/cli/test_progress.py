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


def closing_line(peak_memory_bytes):
    text = io.StringIO()
    summary = {
        "success_before": 0.2, "success_after": 0.4, "belief_before": 0.2, "belief_after": 0.4,
        "alarms": [], "dialogues": 96, "iterations": 3, "seconds_total": 64.0,
        "seconds_to_first_dialogue": 53.0, "peak_memory_bytes": peak_memory_bytes,
    }  # fmt: skip
    with ProgressDisplay(Console(file=text, width=200), 3) as progress:
        progress.finish(summary)
    return text.getvalue().splitlines()[-1]


def test_the_closing_line_tells_the_memory_of_all_processes():
    assert closing_line(3 * 2**30).endswith("first dialogue after 53 s, at most 3.0 GiB of memory")


def test_the_closing_line_is_silent_about_memory_of_processes_that_are_not_its_own():
    assert closing_line(None).endswith("first dialogue after 53 s")
