"""Network files: our own (.safetensors, with the kernel basis inside) and the published ones (KAIR's layout)."""

import functools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from blindsr.api import BlindSRError, State, read_weights
from blindsr_srmd.network import CHANNELS, LAYERS, SRMDNet
from blindsr_srmd.stretching import KernelBasis

PUBLISHED_COEFFICIENTS = 15
PUBLISHED_SIDE = 15
FIRST, LAST = "model.0.weight", f"model.{2 * LAYERS - 2}.weight"


class Model(NamedTuple):
    """A network and how it is told a kernel."""

    network: SRMDNet
    basis: KernelBasis
    """Of the kernels that it was trained on."""
    centered: bool = False
    """Whether it expects the blur before a bicubic downscaling (the published networks), not an SR kernel."""
    noise_map: bool = False
    """Whether its last input channel is the noise level."""


@functools.lru_cache(3)
def load_own(path: Path, scale: int | None = None) -> Model:
    """Read a network of our own, for a scale if one is given, as the training (`blindsr_training`) writes it; once a process."""
    otherwise = "is not a network of blindsr's SRMD; expected one that `blindsr_training srmd` wrote"
    return read_weights(path, scale).build(_own, otherwise)


def _own(state: State) -> Model:
    basis = KernelBasis(state.pop("basis").double().numpy(), state.pop("mean").double().numpy())
    network = SRMDNet(math.isqrt(len(state[LAST]) // 3), len(basis.basis), residual=True)
    network.load_state_dict(state)
    return Model(network.eval(), basis)


def load_published(path: Path, pca: Path, scale: int, *, noise: float = 0.0) -> Model:
    """Read published weights (state dict ``model.0.weight``, ``model.2.weight``, ... as in KAIR) and their PCA matrix.

    `pca` is the ``.mat`` file with the matrix ``P`` (15, 225). A `noise` of more than 0 is refused by weights that do not take it.
    """
    state = read_weights(path).state
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    first, last = shapes.get(FIRST, ()), shapes.get(LAST, ())
    if len(first) != 4 or len(last) != 4 or first[0] != CHANNELS or first[1] - 3 - PUBLISHED_COEFFICIENTS not in (0, 1):
        expected = f"{LAYERS} convolutions of {CHANNELS} channels, named model.0.weight, model.2.weight, ..."
        raise BlindSRError(f"{path}: is no SRMD network: expected {expected}")
    if last[0] != 3 * scale**2:
        found = {12: "x2", 27: "x3", 48: "x4"}.get(last[0], "another scale")
        raise BlindSRError(f"{path}: is for {found}, not for x{scale}")
    noise_map = first[1] - 3 - PUBLISHED_COEFFICIENTS == 1
    if noise and not noise_map:
        raise BlindSRError(f"{path}: takes no noise level; leave noise at 0, or use the weights srmd_x{scale}")
    network = SRMDNet(scale, first[1] - 3, residual=False)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    except RuntimeError as error:
        raise BlindSRError(f"{path}: is no SRMD network: {' '.join(str(error).split())[:200]}") from None
    return Model(network.eval(), _published_basis(pca), centered=True, noise_map=noise_map)


def _published_basis(path: Path) -> KernelBasis:
    from scipy.io import loadmat

    try:
        matrix = np.asarray(loadmat(path)["P"], np.float64)
    except Exception as error:  # the parsers of foreign formats raise whatever they like
        raise BlindSRError(f"{path}: holds no readable matrix 'P' ({type(error).__name__}: {error})") from None
    shape = (PUBLISHED_COEFFICIENTS, PUBLISHED_SIDE**2)
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise BlindSRError(f"{path}: 'P' has shape {matrix.shape}; expected {shape}, finite")
    # MATLAB flattens column by column.
    basis = matrix.reshape(PUBLISHED_COEFFICIENTS, PUBLISHED_SIDE, PUBLISHED_SIDE).transpose(0, 2, 1)
    return KernelBasis(basis, np.zeros((PUBLISHED_SIDE, PUBLISHED_SIDE)))
