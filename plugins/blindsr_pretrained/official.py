"""EDSR and RCAN, from checkpoints in the official layout or BasicSR's.

spandrel has RCAN, too, but needs torchvision and is an optional extra; what RCAN shares with EDSR is here anyway.
"""

from collections.abc import Iterable

import torch
from torch import nn

from blindsr.api import State, Weights
from blindsr_pretrained.layouts import length, official_state, outputs
from blindsr_pretrained.network import TAIL_REACH_PX, ChannelAttention, Network, Residual, convolution

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""The mean of DIV2K's training images, RGB in [0, 1], which both networks subtract."""

WIDE = 256
"""From so many channels on, training is only stable with scaled residuals (Lim et al., section 3.2)."""

MAX_WHOLE_PX = 2_000_000
"""LR images of up to so many pixels come whole to RCAN, in about 1 kB a pixel; DIV2K's have half as many at x2."""

TILE_HALO_PX = 32
"""LR pixels that the tiles of larger images overlap by on each side. The official test program has 10; what remains of the
tiles' difference from the whole comes from their means, which no halo mends."""


def edsr(weights: Weights, scale: int, *, residual_scaling: float | None = None) -> Network:
    """The EDSR of a checkpoint, on the CPU.

    Source: Lim et al., section 3.2: 32 blocks of 256 channels, which reach 68 LR pixels; the baseline's 16 of 64 reach 36.
    """
    state = official_state(weights, "EDSR")
    channels, blocks = outputs(state, "head.0.weight"), length(state, "body", "body.0.weight")
    scaling = residual_scaling or (0.1 if channels >= WIDE else 1.0)
    body = (Residual(*_convolutions(channels), scaling=scaling) for _ in range(blocks))
    network = _loaded(weights, state, scale, "EDSR", f"{blocks} blocks and {channels} channels", body)
    network.reach_px = 1 + 2 * blocks + 1 + TAIL_REACH_PX
    return network


def rcan(weights: Weights, scale: int) -> Network:
    """The RCAN of a checkpoint, on the CPU.

    Source: Zhang et al., sections 3.2 to 3.5: 10 groups of 20 blocks, 64 channels, squeezed to 4.
    """
    state = official_state(weights, "RCAN")
    channels, squeezed = outputs(state, "head.0.weight"), outputs(state, "body.0.body.0.body.3.conv_du.0.weight")
    groups, blocks = length(state, "body", "body.0.body.0.weight"), length(state, "body.0.body", "body.0.weight")

    def group() -> Residual:
        inner = (Residual(*_convolutions(channels), ChannelAttention(channels, squeezed)) for _ in range(blocks))
        return Residual(*inner, convolution(channels, channels))

    size = f"{groups} groups, {blocks} blocks each, and {channels} channels"
    return _loaded(weights, state, scale, "RCAN", size, (group() for _ in range(groups)))


def placed(network: Network, device: str) -> Network:
    """The network, moved to a device; on the CPU with channels last, which is about twice as fast there."""
    layout = torch.channels_last if device == "cpu" else torch.contiguous_format
    return network.to(device).to(memory_format=layout)  # type: ignore[call-overload, no-any-return]  # torch's types lack it


def _convolutions(channels: int) -> tuple[nn.Module, ...]:
    return convolution(channels, channels), nn.ReLU(inplace=True), convolution(channels, channels)


def _loaded(weights: Weights, state: State, scale: int, name: str, size: str, body: Iterable[nn.Module]) -> Network:
    """The network with these weights; a missing mean is replaced by DIV2K's. `body` is made where it costs no memory."""
    channels = outputs(state, "head.0.weight")
    _check_scale(weights, state, scale, channels, name)
    with torch.device("meta"):
        network = Network(body, channels, scale)
    if not any(entry.startswith(("sub_mean.", "add_mean.")) for entry in state):
        identity, mean = torch.eye(3)[:, :, None, None], 255 * torch.tensor(DIV2K_MEAN)
        state = state | {"sub_mean.weight": identity, "sub_mean.bias": -mean, "add_mean.weight": identity, "add_mean.bias": mean}
    what = f"an {name} of {size}"
    expected = {entry: tuple(tensor.shape) for entry, tensor in network.state_dict().items()}
    for entry, shape in expected.items():
        if entry not in state:
            raise weights.error(f"{entry} is missing from what looks like {what}")
        if tuple(state[entry].shape) != shape:
            raise weights.error(f"{entry} has the shape {tuple(state[entry].shape)}; expected {shape}, as of {what}")
    if superfluous := sorted(state.keys() - expected.keys()):
        raise weights.error(f"{superfluous[0]} is no part of {what}, which it looks like otherwise: a variant of that network?")
    network.load_state_dict(state, assign=True)
    if float(state["sub_mean.bias"].abs().max()) <= 1:
        network.value_range = 1.0  # EDSR-PyTorch's --rgb_range 1; the official networks have 255
    return network.eval()


def _check_scale(weights: Weights, state: State, scale: int, channels: int, name: str) -> None:
    """Compare the scale that is asked for with that of the shapes of the network's tail."""
    factors: list[int] = []
    while (entry := f"tail.0.{2 * len(factors)}.weight") in state:
        factors.append({4 * channels: 2, 9 * channels: 3}.get(outputs(state, entry), 0))
    found = {(2,): 2, (3,): 3, (2, 2): 4, (2, 2, 2): 8}.get(tuple(factors))
    if found is None:
        raise weights.error("its tail.0 is not the upsampler of a network for x2, x3, x4 or x8")
    if found != scale:
        raise weights.error(f"this {name} is for x{found}, and asked for is x{scale}: take the checkpoint for x{scale}")
