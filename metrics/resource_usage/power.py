"""Energy and utilisation of a GPU, where NVIDIA's management library gives them (``pip install nvidia-ml-py``)."""

from typing import Any

import torch


class Power:
    """Reads one GPU; where it cannot be read everything is None, and :attr:`reason` says why.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.reason: str | None = None
        self._handle: Any = None
        if device.type != "cuda":
            self.reason = f"NVML is for NVIDIA's GPUs, this is {device.type}"
            return
        try:
            import pynvml

            pynvml.nvmlInit()
            index = device.index if device.index is not None else torch.cuda.current_device()
            # CUDA may show other GPUs, or in another order, than NVML has.
            identity = str(torch.cuda.get_device_properties(index).uuid)
            name = identity if identity.startswith("GPU-") else f"GPU-{identity}"
            self._nvml, self._handle = pynvml, pynvml.nvmlDeviceGetHandleByUUID(name)
        except Exception as error:  # not installed, no driver, no right: all the same here
            self.reason = f"NVML cannot be read ({type(error).__name__}: {error})"

    def energy_j(self) -> float | None:
        """Return the joules that the GPU has used since its driver was loaded."""
        found = self._read("nvmlDeviceGetTotalEnergyConsumption")
        return None if found is None else float(found) / 1000

    def utilisation(self) -> float | None:
        """Return the share of the last moments in which a kernel ran, 0 to 1."""
        found = self._read("nvmlDeviceGetUtilizationRates")
        return None if found is None else float(found.gpu) / 100

    def _read(self, function: str) -> Any:
        if self._handle is None:
            return None
        try:
            return getattr(self._nvml, function)(self._handle)
        except Exception as error:  # some GPUs count no energy
            self.reason = f"{function} failed ({error})"
            return None
