"""What a container's limits leave of the machine."""

import pytest

from curio_ray.plan.machine import cpu_quota


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 1.5), ("max 100000", None)])
def test_the_cpu_quota_of_a_container_is_read(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4.0), ("-1", None)])
def test_the_cpu_quota_of_an_older_container_is_read(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == cores


def test_without_a_container_there_is_no_cpu_quota(tmp_path):
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize("command", [["plan"], ["train"], ["compare", "--rewards", "mtrlhf"]])
def test_a_temporary_folder_too_long_for_rays_sockets_is_named(curio, command):
    ended = curio(*command, "pocket", TMPDIR="/tmp/" + "a" * 90)
    assert ended.code == 2
    assert "TMPDIR: /tmp/aaa" in ended.error
    assert "Traceback" not in ended.error
    assert ended.heavy_modules == []
