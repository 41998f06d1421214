"""`nccl` inside vLLM's workers: vLLM's own engine, which leaves a group before it joins another."""

from __future__ import annotations

from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine


class RejoiningNcclEngine(NCCLWeightTransferEngine):
    """vLLM's engine keeps the communicator, and with it the memory, of every group that it joined.

    A group is formed anew whenever a replica comes back.
    """

    def init_transfer_engine(self, init_info: NCCLWeightTransferInitInfo) -> None:
        """Leave the former group, then join the new one."""
        self.shutdown()
        super().init_transfer_engine(init_info)
