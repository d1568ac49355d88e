"""Where a federation's arrays lie: mapped from files, or as stored on the card that computes with them."""

from dataclasses import replace

import torch
from torch import Tensor

from fedlayers.core.federation import ClientExamples, Examples, Federation


def placed(federation: Federation, device: torch.device) -> Federation:
    """Return a federation whose arrays lie on a device, as they are stored: images as bytes.

    Batches are then gathered and normalised there, by the same operations in the same order as on a CPU. For a CPU
    the arrays stay mapped from their files, and so they do where less than half of the card's memory would be left
    free: batches are then made on the CPU and travel one by one.
    """
    parts: list[Examples | ClientExamples] = [*federation.splits.values()]
    parts += [federation.server_test, federation.pooled_train]
    arrays = {_address(tensor): tensor for part in parts for tensor in (part.features, part.labels)}
    if device.type == "cpu" or not _leaves_half(sum(tensor.nbytes for tensor in arrays.values()), device):
        return federation
    # Parts share their arrays, there as here.
    there = {address: tensor.to(device) for address, tensor in arrays.items()}

    def of_clients(part: ClientExamples) -> ClientExamples:
        return replace(part, features=there[_address(part.features)], labels=there[_address(part.labels)])

    def of_server(part: Examples) -> Examples:
        features, labels = there[_address(part.features)], there[_address(part.labels)]
        return replace(part, features=features, labels=labels, scale=part.scale.to(device), shift=part.shift.to(device))

    return replace(
        federation,
        splits={scope: of_clients(part) for scope, part in federation.splits.items()},
        server_test=of_server(federation.server_test),
        pooled_train=of_server(federation.pooled_train),
    )


def _address(tensor: Tensor) -> tuple[int, torch.dtype, torch.Size]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape


def _leaves_half(size_bytes: int, device: torch.device) -> bool:
    free, total = torch.get_device_module(device).mem_get_info(device)
    return bool(free - size_bytes >= total / 2)
