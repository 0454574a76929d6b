"""Recognition of a checkpoint's network by the names of its entries, and conversion of the names to the official layout."""

from __future__ import annotations

import re
from collections.abc import Iterable

from blindsr.api import State, Weights

SIGNS = (
    ("RCAN", r"body\.0\.body\.0\.body\.3\.conv_du\.0\.weight"),
    ("MDSR", r"pre_process\.0\..*"),
    ("EDSR", r"body\.0\.body\.2\.weight"),
    ("HAT", r"layers\.0\.residual_group\.overlap_attn\..*"),
    ("SwinIR", r"layers\.0\.residual_group\.blocks\.0\..*"),
    ("ESRGAN", r"(RRDB_trunk\.0\.RDB1|body\.0\.rdb1|model\.1\.sub\.0\.RDB1)\..*"),
)
"""Networks, and the pattern of an entry that only they have; the first match counts."""

COMPONENTS = {"EDSR": "edsr", "RCAN": "rcan", "SRMD": "srmd", "HAT": "spandrel", "SwinIR": "spandrel", "ESRGAN": "spandrel"}
"""The component that runs each network."""

BASICSR = (
    (r"conv_first\.", "head.0."),
    (r"upsample\.", "tail.0."),
    (r"conv_last\.", "tail.1."),
    (r"body\.(\d+)\.conv1\.", r"body.\1.body.0."),
    (r"body\.(\d+)\.conv2\.", r"body.\1.body.2."),
    (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.([02])\.", r"body.\1.body.\2.body.\3."),
    (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.1\.", r"body.\1.body.\2.body.3.conv_du.0."),
    (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.3\.", r"body.\1.body.\2.body.3.conv_du.2."),
)
"""Prefixes of BasicSR's names of EDSR and RCAN, and the official ones."""


def network_of(state: State) -> str | None:
    """The network whose weights these are, by their official names, or None if it is not one of those known here."""
    for network, sign in SIGNS:
        if any(re.fullmatch(sign, name) for name in state):
            return network
    first = state.get("model.0.weight")
    # The three colours, and 15 coefficients of the kernel, and perhaps the noise level.
    return "SRMD" if first is not None and first.shape[1:2] in ((18,), (19,)) else None


def official(weights: Weights, network: str) -> State:
    """The weights of a checkpoint of `network` ("EDSR" or "RCAN") by their official names, as float32.

    Raises
    ------
    BlindSRError
        If the checkpoint is of another network, as far as one can see.
    """
    state = _renamed(weights.state)
    found = network_of(state)
    if found != network:
        is_what = f"it looks like {found}" if found else f"its entries are another network's ({', '.join(list(state)[:2])}, ...)"
        advice = f"; `{COMPONENTS[found]}` is for those" if found in COMPONENTS else ""
        raise weights.error(f"expected a checkpoint of {network}, but {is_what}{advice}")
    return {name: tensor.float() for name, tensor in state.items()}


def length(state: State, prefix: str, entry: str = "") -> int:
    """How many of ``{prefix}.0.{entry}``, ``{prefix}.1.{entry}``, ... there are, without a gap."""
    count = 0
    while f"{prefix}.{count}.{entry}" in state:
        count += 1
    return count


def outputs(state: State, name: str) -> int:
    """How many channels a convolution with these weights gives; 1 if there is none, which `network.load` then reports."""
    return state[name].shape[0] if name in state and state[name].ndim else 1


def _renamed(state: State) -> State:
    """With official names, if they are BasicSR's of EDSR or RCAN; else as they are."""
    if "conv_after_body.weight" not in state:
        return state
    if "body.0.conv1.weight" in state:
        after = {"conv_after_body.": f"body.{length(state, 'body', 'conv1.weight')}."}
    elif "body.0.residual_group.0.rcab.0.weight" in state:
        groups = length(state, "body", "conv.weight")
        after = {"conv_after_body.": f"body.{groups}."}
        for group in range(groups):
            after[f"body.{group}.conv."] = f"body.{group}.body.{length(state, f'body.{group}.residual_group', 'rcab.0.weight')}."
    else:
        return state  # SwinIR, for one, has a conv_after_body too
    patterns = [*BASICSR, *((re.escape(old), new) for old, new in after.items())]
    return {_replaced(name, patterns): tensor for name, tensor in state.items()}


def _replaced(name: str, patterns: Iterable[tuple[str, str]]) -> str:
    for pattern, new in patterns:
        replaced, count = re.subn(f"^{pattern}", new, name)
        if count:
            return replaced
    return name
