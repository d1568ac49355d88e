"""Weights: split off, put back and packed without a change."""

import pytest
import torch
from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.weights import from_safetensors_bytes, load_state, split_state, to_safetensors_bytes


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def test_split_gives_detached_copies_in_the_modules_order() -> None:
    module = network()
    parameters, buffers = split_state(module)
    assert list(parameters) == [name for name, _ in module.named_parameters()]
    assert list(buffers) == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert not any(tensor.requires_grad for tensor in parameters.values())
    parameters["0.weight"].zero_()
    buffers["1.running_var"].zero_()
    assert split_state(module)[0]["0.weight"].abs().sum() > 0
    assert torch.equal(split_state(module)[1]["1.running_var"], torch.ones(3))


def test_load_is_the_inverse_of_split_and_works_in_place() -> None:
    source, target = network(), network()
    source(torch.randn(8, 4))
    addresses = [tensor.data_ptr() for tensor in target.state_dict().values()]
    load_state(target, *split_state(source))
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name
    assert addresses == [tensor.data_ptr() for tensor in target.state_dict().values()]
    assert all(parameter.requires_grad for parameter in target.parameters())


def test_tied_weights_are_split_once_and_stay_tied() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight = module[0].weight
    parameters, buffers = split_state(module)
    assert list(parameters) == ["0.weight"]
    load_state(module, {"0.weight": torch.eye(3)}, buffers)
    assert torch.equal(module(torch.eye(3)), torch.eye(3))


def test_a_module_without_tensors() -> None:
    assert split_state(nn.ReLU()) == ({}, {})
    load_state(nn.ReLU(), {}, {})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"0.weight": None},
            r"fit the model Sequential, got nothing for '0.weight' where the model has shape \(3, 4\)",
        ),
        ({"9.bias": torch.ones(1)}, r"got shape \(1,\) for '9.bias' where the model has nothing"),
        # A single number would be spread over the whole tensor if only names were compared.
        ({"0.bias": torch.ones(1)}, r"got shape \(1,\) for '0.bias' where the model has shape \(3,\)"),
    ],
)
def test_weights_of_another_model_are_refused(change: dict[str, torch.Tensor | None], sentence: str) -> None:
    parameters, buffers = split_state(network())
    changed = {name: tensor for name, tensor in {**parameters, **change}.items() if tensor is not None}
    with pytest.raises(UserError, match=sentence):
        load_state(network(), changed, buffers)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_bytes_keep_values_types_and_shapes(dtype: torch.dtype) -> None:
    tensors = {
        "z": torch.tensor(3).to(dtype),
        "a.b": torch.arange(6).reshape(2, 3).to(dtype),
        "none": torch.zeros(0, 2, dtype=dtype),
    }
    back = from_safetensors_bytes(to_safetensors_bytes(tensors))
    assert list(back) == list(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == dtype
        assert torch.equal(back[name], tensor)


def test_bytes_of_views_transposes_and_leaves() -> None:
    flat = torch.arange(12.0)
    tensors = {
        "part": flat[:4],
        "same": flat[:4],
        "turned": flat[4:].reshape(2, 4).T,
        "leaf": torch.ones(2, requires_grad=True),
    }
    back = from_safetensors_bytes(to_safetensors_bytes(tensors))
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert not back["leaf"].requires_grad


def test_equal_tensors_give_equal_bytes_and_nothing_is_nothing() -> None:
    assert to_safetensors_bytes({"a": torch.ones(3)}) == to_safetensors_bytes({"a": torch.ones(3)})
    assert from_safetensors_bytes(to_safetensors_bytes({})) == {}


def test_files_of_other_programs_come_sorted_by_name() -> None:
    from safetensors.torch import save

    foreign = save({"b": torch.ones(1), "a": torch.ones(1, dtype=torch.float16)})
    assert list(from_safetensors_bytes(foreign)) == ["a", "b"]


@pytest.mark.parametrize("damage", [b"", b"no weights", to_safetensors_bytes({"a": torch.ones(9)})[:-3]])
def test_damaged_bytes_are_refused(damage: bytes) -> None:
    with pytest.raises(UserError, match=r"weights must be a complete safetensors file, got \d+ bytes that are not"):
        from_safetensors_bytes(damage)
