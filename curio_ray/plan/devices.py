"""What computes: memory, bandwidth and speed by data sheet, of GPUs and of a CPU's thread."""

from __future__ import annotations

from dataclasses import dataclass

from curio_ray.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Device:
    """Usable memory [GiB], bandwidth [bytes/s], dense bfloat16 speed [operations/s].

    `step_s` is what a decoding step takes besides its arithmetic and memory traffic.
    """

    name: str
    memory_gib: float
    bandwidth: float
    speed: float
    step_s: float = 0.002


GPUS = {
    device.name: device
    for device in (
        Device("L4", 22.5, 300e9, 121e12),
        Device("A10G", 22.5, 600e9, 70e12),
        Device("L40S", 45.0, 864e9, 362e12),
        Device("A100-40G", 39.5, 1555e9, 312e12),
        Device("A100-80G", 79.5, 2039e9, 312e12),
        Device("H100", 79.5, 3350e9, 989e12),
        Device("H200", 140.0, 4800e9, 989e12),
        Device("B200", 179.0, 8000e9, 2250e12),
    )
}
DEFAULT_GPU = "H100"
# In float32, as measured on a server's core; its memory is the machine's.
CPU_THREAD = Device("CPU thread", 0.0, 15e9, 150e9, step_s=0.012)


def find_gpu(name: str) -> Device:
    """The GPU of that name.

    Raises:
        ConfigError: the list does not have it.
    """
    if name not in GPUS:
        raise ConfigError(f"--gpu: '{name}' is not in the list; write one of {', '.join(GPUS)}")
    return GPUS[name]
