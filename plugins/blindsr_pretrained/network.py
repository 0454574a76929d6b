"""What EDSR and RCAN share: head, tail and loading: all but the blocks. Names are those of the official files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from blindsr.api import State, Weights
from blindsr_pretrained import layouts

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""The mean of DIV2K's training images, RGB in [0, 1], which both networks subtract."""

TAIL_REACH_PX = 2
"""LR pixels around one that the tail looks at: 1 for its convolution at the LR size, and less than 1 for those after it."""

STRIP_PX = 1 << 14
STRIP_ROWS = 8
"""The tail works on strips of about so many LR pixels, and of so many rows at least: its features take up to 8 (x2, x3) or
32 (x4) times what the body's do."""


class Network(nn.Module):
    """Head, body with a skip connection around it, and a tail that enlarges: float32, RGB, zero padding.

    Sources: Lim et al., CVPR workshops 2017, section 3.2; Zhang et al., ECCV 2018, section 3.1.
    """

    def __init__(self, blocks: Sequence[nn.Module], channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.value_range = 255.0
        """What the network takes white to be."""
        self.sub_mean = nn.Conv2d(3, 3, 1)
        self.head = nn.Sequential(convolution(3, channels))
        self.body = nn.Sequential(*blocks, convolution(channels, channels))
        self.tail = nn.Sequential(_upsampler(scale, channels), convolution(channels, 3))
        self.add_mean = nn.Conv2d(3, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The SR image (1, 3, scale H, scale W) of an image (1, 3, H, W) in [0, 1]; not clipped."""
        shallow = self.head(self.sub_mean(image * self.value_range))
        return self._enlarged(self.body(shallow).add_(shallow)) / self.value_range

    def _enlarged(self, features: torch.Tensor) -> torch.Tensor:
        """The tail of all features (1, C, H, W), strip by strip, which saves memory and gives the same result."""
        height, width = features.shape[-2:]
        sr = features.new_empty((1, 3, self.scale * height, self.scale * width))
        rows = max(STRIP_ROWS, STRIP_PX // width)
        for start in range(0, height, rows):
            stop, top = min(start + rows, height), max(start - TAIL_REACH_PX, 0)
            strip = self.add_mean(self.tail(features[:, :, top : stop + TAIL_REACH_PX]))
            sr[:, :, self.scale * start : self.scale * stop] = strip[:, :, self.scale * (start - top) : self.scale * (stop - top)]
        return sr


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def check_scale(weights: Weights, state: State, scale: int, *, what: str) -> None:
    """Compare the scale of a network, by the shapes of its tail, with the one that is asked for.

    Raises
    ------
    BlindSRError
        If it is another one, or they are not the shapes of such a network. `what` names the network.
    """
    channels = layouts.outputs(state, "head.0.weight")
    factors: list[int] = []
    while (entry := f"tail.0.{2 * len(factors)}.weight") in state:
        factors.append({4 * channels: 2, 9 * channels: 3}.get(layouts.outputs(state, entry), 0))
    found = {(2,): 2, (3,): 3, (2, 2): 4, (2, 2, 2): 8}.get(tuple(factors))
    if found is None:
        raise weights.error("its tail.0 is not the upsampler of a network for x2, x3, x4 or x8")
    if found != scale:
        raise weights.error(f"this {what} is for x{found}, and asked for is x{scale}: take the checkpoint for x{scale}")


def load(network: Network, weights: Weights, state: State, *, what: str) -> None:
    """Put the weights into a network that was built on the device "meta"; a missing mean is replaced by DIV2K's.

    Raises
    ------
    BlindSRError
        If an entry is missing, superfluous or of another shape. `what` names the network.
    """
    if not any(name.startswith(("sub_mean.", "add_mean.")) for name in state):
        identity, mean = torch.eye(3)[:, :, None, None], 255 * torch.tensor(DIV2K_MEAN)
        state = state | {"sub_mean.weight": identity, "sub_mean.bias": -mean, "add_mean.weight": identity, "add_mean.bias": mean}
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name, shape in expected.items():
        if name not in state:
            raise weights.error(f"{name} is missing from what looks like {what}")
        if tuple(state[name].shape) != shape:
            raise weights.error(f"{name} has the shape {tuple(state[name].shape)}; expected {shape}, as of {what}")
    if superfluous := sorted(state.keys() - expected.keys()):
        raise weights.error(f"{superfluous[0]} is no part of {what}, which it looks like otherwise: a variant of that network?")
    network.load_state_dict(state, assign=True)
    if float(state["sub_mean.bias"].abs().max()) <= 1:
        network.value_range = 1.0  # EDSR-PyTorch's --rgb_range 1; the official networks have 255
    network.eval()


def placed(network: Network, device: str) -> Network:
    """The network, moved to a device; on the CPU with channels last, which is about twice as fast there."""
    layout = torch.channels_last if device == "cpu" else torch.contiguous_format
    network.to(device)
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]  # a signature that torch's types lack


def _upsampler(scale: int, channels: int) -> nn.Sequential:
    steps = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
    layers: list[nn.Module] = []
    for step in steps:
        layers += [convolution(channels, step**2 * channels), nn.PixelShuffle(step)]
    return nn.Sequential(*layers)
