"""Recognition of a checkpoint's network by the names of its entries, and conversion of the names to the official layout."""

import re
from functools import reduce
from itertools import count

from blindsr.api import State, Weights

SIGNS = (
    ("RCAN", "rcan", r"body\.0\.body\.0\.body\.3\.conv_du\.0\.weight"),
    ("MDSR", "", r"pre_process\.0\..*"),
    ("EDSR", "edsr", r"body\.0\.body\.2\.weight"),
    ("HAT", "spandrel", r"layers\.0\.residual_group\.overlap_attn\..*"),
    ("SwinIR", "spandrel", r"layers\.0\.residual_group\.blocks\.0\..*"),
    ("ESRGAN", "spandrel", r"(RRDB_trunk\.0\.RDB1|body\.0\.rdb1|model\.1\.sub\.0\.RDB1)\..*"),
)
"""Networks, the components that run them, and the pattern of an entry that only they have; the first match counts."""

BASICSR = (
    (r"^conv_first\.", "head.0."),
    (r"^upsample\.", "tail.0."),
    (r"^conv_last\.", "tail.1."),
    (r"^body\.(\d+)\.conv1\.", r"body.\1.body.0."),
    (r"^body\.(\d+)\.conv2\.", r"body.\1.body.2."),
    (r"^body\.(\d+)\.residual_group\.(\d+)\.rcab\.([02])\.", r"body.\1.body.\2.body.\3."),
    (r"^body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.1\.", r"body.\1.body.\2.body.3.conv_du.0."),
    (r"^body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.3\.", r"body.\1.body.\2.body.3.conv_du.2."),
)
"""Prefixes of BasicSR's names of EDSR and RCAN, and the official ones."""


def official_state(weights: Weights, network: str) -> State:
    """The weights of a checkpoint of `network` ("EDSR" or "RCAN") by their official names, as float32; others are refused."""
    state = _renamed(weights.state)
    found, component = _network_of(state)
    if found != network:
        is_what = f"it looks like {found}" if found else f"its entries are another network's ({', '.join(list(state)[:2])}, ...)"
        advice = f"; `{component}` is for those" if component else ""
        raise weights.error(f"expected a checkpoint of {network}, but {is_what}{advice}")
    return {name: tensor.float() for name, tensor in state.items()}


def length(state: State, prefix: str, entry: str) -> int:
    """How many of ``{prefix}.0.{entry}``, ``{prefix}.1.{entry}``, ... there are, without a gap."""
    return next(number for number in count() if f"{prefix}.{number}.{entry}" not in state)


def outputs(state: State, name: str) -> int:
    """How many channels a convolution with these weights gives; 1 if there is none, which is then reported as missing."""
    return state[name].shape[0] if name in state and state[name].ndim else 1


def _network_of(state: State) -> tuple[str, str]:
    """The network whose weights these are, by their official names, and the component that runs it; empty if not known."""
    for network, component, sign in SIGNS:
        if any(re.fullmatch(sign, name) for name in state):
            return network, component
    first = state.get("model.0.weight")
    # The three colours, and 15 coefficients of the kernel, and perhaps the noise level.
    return ("SRMD", "srmd") if first is not None and first.shape[1:2] in ((18,), (19,)) else ("", "")


def _renamed(state: State) -> State:
    """With official names, if they are BasicSR's of EDSR or RCAN; else as they are."""
    blocks = length(state, "body", "conv1.weight") or length(state, "body", "conv.weight")
    if "conv_after_body.weight" not in state or not blocks:  # SwinIR, for one, has a conv_after_body too
        return state
    inner = {group: length(state, f"body.{group}.residual_group", "rcab.0.weight") for group in range(blocks)}
    after = [(rf"^body\.{group}\.conv\.", f"body.{group}.body.{inside}.") for group, inside in inner.items()]
    patterns = [*BASICSR, (r"^conv_after_body\.", f"body.{blocks}."), *after]
    return {
        reduce(lambda text, pattern: re.sub(pattern[0], pattern[1], text), patterns, name): tensor for name, tensor in state.items()
    }
