"""The network's file: safetensors in half precision, the network and its calibration."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from blindsr.api import read_weights
from blindsr_kernelnet.calibration import Calibration
from blindsr_kernelnet.network import KernelNet

FORMAT = "blindsr-kernelnet-1"
PREFIX = "calibration."


class Trained(NamedTuple):
    """A network, and what its answers are worth."""

    network: KernelNet
    calibration: Calibration


@functools.lru_cache(1)
def load(path: Path) -> Trained:
    """Read what the training wrote, in float32; once a process. A file without a calibration gets `Calibration.none`.

    Raises
    ------
    BlindSRError
        If the file is missing, damaged, or something else.
    """
    weights = read_weights(path)
    state = {name: value.float() for name, value in weights.state.items()}
    calibration = {name.removeprefix(PREFIX): state.pop(name) for name in list(state) if name.startswith(PREFIX)}
    network, plain = KernelNet(), Calibration.none()._asdict()
    calibration = calibration or plain
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise weights.error("is no network of the kernelnet plugin") from None
    if {name: value.shape for name, value in calibration.items()} != {name: value.shape for name, value in plain.items()}:
        raise weights.error("has a calibration of another form; calibrate it again")
    return Trained(network.eval(), Calibration(**calibration))
