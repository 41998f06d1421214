"""Signals, output and memory of the driver's process."""

import os
import signal
import subprocess
import sys

import pytest

from curio_ray.log_files import output_to_file
from curio_ray.process_memory import MemorySampler
from curio_ray.training.stop import MESSAGE, StopRequest

HOLDER = "import sys, time; held = bytearray(300 * 2**20); held[::4096] = b'x' * len(held[::4096]);"
HOLDER += "print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_an_orderly_end(number):
    said: list[str] = []
    with StopRequest(said.append) as stop:
        os.kill(os.getpid(), number)
        assert stop.requested
    assert said == [MESSAGE]


def test_the_second_signal_ends_at_once():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested


def test_signals_work_as_before_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        stop.listen()
    assert signal.getsignal(signal.SIGINT) is before


def test_libraries_write_to_the_log_and_the_display_to_the_terminal(tmp_path, capfd):
    with output_to_file(tmp_path) as terminal:
        subprocess.run(["sh", "-c", "echo from a child; echo an error >&2"], check=True)
        terminal.write("for the person\n")
    os.write(1, b"and back\n")
    assert (tmp_path / "driver.log").read_text() == "from a child\nan error\n"
    assert capfd.readouterr().out == "for the person\nand back\n"


def test_peak_memory_counts_child_processes_that_have_ended():
    with MemorySampler() as memory:
        before = memory.peak_bytes
        child = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE)
        child.stdout.readline()
        during = memory.peak_bytes
        child.kill()
        child.communicate()
    assert memory.peak_bytes >= during > before + 300 * 2**20
