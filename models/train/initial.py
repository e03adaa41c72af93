"""Starting from a model file instead of from random weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

from .networks import Conv, Yolo


@torch.no_grad()
def restore_norms(network: Yolo, batches: Iterable[Tensor]) -> None:
    """Gives a loaded network, whose norms are identities that carry the biases, norms that can be trained.

    Each norm gets the mean and the variance of what its convolution makes of `batches` [n, 3, h, w], and the scale and shift that
    undo them: the network computes what it did before.
    """
    sums: dict[Conv, Tensor] = {}

    def note(norm: torch.nn.Module, inputs: tuple[Tensor, ...], conv: Conv) -> None:
        x = inputs[0].double()
        moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        sums[conv] = sums[conv] + moments if conv in sums else moments

    convs = [module for module in network.modules() if isinstance(module, Conv)]
    hooks = [conv.bn.register_forward_pre_hook(lambda norm, inputs, conv=conv: note(norm, inputs, conv)) for conv in convs]
    count = 0
    network.eval()
    for batch in batches:
        network(batch)
        count += 1
    for hook in hooks:
        hook.remove()
    for conv in convs:
        mean, square = sums[conv] / count
        variance = (square - mean**2).clamp(min=1e-6)
        conv.bn.bias.add_(mean)
        conv.bn.weight.copy_((variance + conv.bn.eps).sqrt())
        conv.bn.running_mean.copy_(mean)
        conv.bn.running_var.copy_(variance)
