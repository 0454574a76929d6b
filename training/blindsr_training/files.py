"""What a training keeps in its folder: its state, from which it goes on, and the network that it makes."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import torch
from safetensors import safe_open
from safetensors.torch import save

from blindsr.api import BlindSRError, write_whole
from blindsr.imaging.files import explained

STATE_FILE = "training.pt"
STATE_FORMAT = "blindsr-training-1"
LOCK_SECONDS = 10
"""Processes that prepare data hold the lock, too, and notice within five seconds that their training was killed."""


def load_state(out: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state in a training's folder, or None where there is none.

    Parameters
    ----------
    settings
        What the training is to be; all but ``steps`` must equal the settings in the state.

    Raises
    ------
    BlindSRError
        If the file is no such state, or one of other settings.
    """
    path = out / STATE_FILE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        current, found = state.get("format") == STATE_FORMAT, dict(state["settings"])
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise damaged(out, type(error).__name__) from None
    if not current:
        raise damaged(out, "it is of another version of blindsr")
    changed = [name for name in {**settings, **found} if name != "steps" and found.get(name) != settings.get(name)]
    if changed:
        raise BlindSRError(f"{path}: is a training with other settings ({', '.join(changed)}); choose another folder")
    return state


def damaged(out: Path, reason: str) -> BlindSRError:
    """The error for a state that cannot be restored."""
    return BlindSRError(f"{out / STATE_FILE}: is no training that could go on ({reason}); remove it, or choose another folder")


def save_state(out: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a state, whole or not at all."""
    buffer = io.BytesIO()  # torch would report a full disk by an exception of its own
    torch.save({"format": STATE_FORMAT, "settings": dict(settings), **state}, buffer)
    write_bytes(out / STATE_FILE, buffer.getbuffer())


def save_network(
    path: Path, network: torch.nn.Module | Mapping[str, torch.Tensor], about: Mapping[str, Any], *, header: Mapping[str, str],
    extra: Mapping[str, torch.Tensor] | None = None,
) -> None:  # fmt: skip
    """Write a network as safetensors in half precision, with `extra` tensors as they are, and `about` (JSON) in its header."""
    state = network.state_dict() if isinstance(network, torch.nn.Module) else network
    tensors = {name: value.detach().half().contiguous().cpu() for name, value in state.items()} | dict(extra or {})
    write_bytes(path, save(tensors, {**header, "about": json.dumps(dict(about))}))


def network_about(path: Path) -> dict[str, Any]:
    """What `save_network` was told about a network."""
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads((file.metadata() or {}).get("about", "{}"))
    return found


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file, whole or not at all."""
    try:
        write_whole(path, lambda part: part.write_bytes(data))
    except BlindSRError as error:
        raise BlindSRError(f"{error}; what was written before is kept, and the same command continues it") from None


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, which is made if need be; the lock ends with the process, however that ends."""
    if out.exists() and not out.is_dir():
        raise BlindSRError(f"{out}: is a file; choose another folder")
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock")
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout:
            raise BlindSRError(f"{out}: another training is under way in this folder; wait for it, or choose another one") from None
    with lock:
        yield
