"""The network's file: safetensors in half precision, the network and its calibration."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from blindsr.api import State, read_weights
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
    plain = Calibration.none()._asdict()
    calibration = {
        name.removeprefix(PREFIX): value.float() for name, value in weights.state.items() if name.startswith(PREFIX)
    } or plain
    if {name: value.shape for name, value in calibration.items()} != {name: value.shape for name, value in plain.items()}:
        raise weights.error("has a calibration of another form; calibrate it again")
    network = weights.build(_network, "is no network of the kernelnet plugin; expected one that its training wrote")
    return Trained(network, Calibration(**calibration))


def _network(state: State) -> KernelNet:
    network = KernelNet()
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith(PREFIX)})
    return network.eval()
