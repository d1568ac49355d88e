"""What does training cost: time of each part, memory, throughput, operations, energy?"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

if TYPE_CHECKING:
    from metrics.resource_usage.batch_sweep import sweep_batch_sizes
    from metrics.resource_usage.flops import forward_flops
    from metrics.resource_usage.monitor import ResourceMonitor

__all__ = ["ResourceMonitor", "forward_flops", "sweep_batch_sizes"]
__getattr__ = on_first_use(
    __name__, {"ResourceMonitor": "monitor", "forward_flops": "flops", "sweep_batch_sizes": "batch_sweep"}
)
