"""Safe reading of weights from checkpoint files: no code in them is run."""

from __future__ import annotations

import json
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from blindsr.errors import BlindSRError, printable
from blindsr.imaging.files import explained

WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model")
"""Names under which training programs store the weights in a larger dictionary, in order of preference."""

MAX_DEPTH = 2
"""How deep the weights may lie in nested dictionaries."""

State = dict[str, torch.Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint by name, on the CPU, all values finite."""

    path: Path
    state: State

    def build(self, make: Callable[[State], T], otherwise: str) -> T:
        """What `make` makes of the tensors, in float32.

        Where their names or shapes are not those that it needs, a `BlindSRError` says `otherwise` about the file.
        """
        try:
            return make({name: tensor.float() for name, tensor in self.state.items()})
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise self.error(otherwise) from None

    def error(self, text: str) -> BlindSRError:
        """An error about this file: one line that begins with its path."""
        return _error(self.path, text)


def read_weights(path: Path, scale: int | None = None) -> Weights:
    """Read the weights in a file: safetensors by its suffix, otherwise what ``torch.save`` made of a dictionary of tensors.

    Raises `BlindSRError` if it is no such file, is damaged, needs Python code to run, holds no weights, or ones that are not
    finite, or if they are for another scale than this, as far as the file tells: those of blindsr's trainings do.
    """
    content, trained_for = _content(path)
    if scale and trained_for not in (None, scale):
        raise _error(path, f"was trained for x{trained_for}, not for x{scale}; name weights for x{scale}")
    state = _tensors(content)
    if not state:
        raise _error(path, "holds no weights; expected a dictionary of tensors (a state_dict)")
    if all(name.startswith("module.") for name in state):  # torch.nn.DataParallel's
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise _error(path, f"{name} is not a plain tensor; expected dense weights: not sparse, quantised, or expanded")
        if not torch.isfinite(tensor.float() if tensor.is_floating_point() else tensor).all():
            raise _error(path, f"{name} has values that are NaN or infinite; the training failed, or the file is damaged")
    return Weights(path, state)


def _content(path: Path) -> tuple[Any, int | None]:
    """What the file holds, and the scale that its header names."""
    import safetensors.torch

    if not path.is_file():
        raise _error(path, "no such file")
    safe = path.suffix.lower() == ".safetensors"
    with explained(path), path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd about a file that is refused in the next line
        try:
            if not safe:
                return torch.load(file, map_location="cpu", weights_only=True), None
            data = file.read()
            return safetensors.torch.load(data), _scale(data)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes torch raise nearly anything, even OSError
            code = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
            if safe:
                what = "is not a safetensors file, or damaged"
            elif code:
                what = f"is refused: to load it would run Python code ({code[1]}); expected tensors alone (a state_dict)"
            elif "TorchScript" in str(error):
                what = "is a TorchScript program; expected tensors alone (a state_dict)"
            else:
                what = "is not a PyTorch checkpoint, or damaged; expected what torch.save makes of a state_dict"
            raise _error(path, what) from error


def _scale(data: bytes) -> int | None:
    """What the header of safetensors tells of the training, in JSON."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        scale = json.loads(header["__metadata__"]["about"])["scale"]
    except (KeyError, TypeError, ValueError):  # another program's
        return None
    return scale if isinstance(scale, int) else None


def _tensors(content: Any, depth: int = 0) -> State:
    if not isinstance(content, Mapping):
        return {}
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping) and depth < MAX_DEPTH:
            return _tensors(content[wrapper], depth + 1)
    return {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}


def _error(path: Path, text: str) -> BlindSRError:
    return BlindSRError(printable(f"{path}: {text}"))
