"""How the kernel files of a pool are named, for people and for the programs that train with them."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from blindsr.errors import BlindSRError
from blindsr.imaging.files import file_name
from blindsr.imaging.kernel import Convention

PoolLayout = Literal["mat", "npy", "png", "realsr", "trainner", "h5"]


class KernelLayout(NamedTuple):
    """The path of a kernel file in the pool, by the photograph's name and the scale."""

    place: Callable[[str, int], str]
    correlates: bool = False
    """Whether it is for a program that correlates, and knows no other convention."""


def _flat(suffix: str) -> KernelLayout:
    return KernelLayout(lambda name, scale: file_name(name, f"_kernel_x{scale}.{suffix}"))


KERNEL_LAYOUTS: Mapping[str, KernelLayout | None] = {
    "mat": _flat("mat"),
    "npy": _flat("npy"),
    "png": _flat("png"),
    # KernelGAN's own layout; Real-SR's create_kernel_dataset.py reads */*_kernel_x4.mat.
    "realsr": KernelLayout(lambda name, scale: f"{file_name(name)}/{file_name(name, f'_kernel_x{scale}.mat')}", True),
    # traiNNer reads */kernel_x4.npy, and uses the middle 13 x 13 values.
    "trainner": KernelLayout(lambda name, scale: f"{file_name(name)}/kernel_x{scale}.npy", True),
    "h5": None,
}
"""By their names; None: kernels.h5 only."""


def layout_for(name: str, convention: Convention) -> KernelLayout | None:
    """The layout of this name; a `BlindSRError` if there is none, or it does not go with the convention."""
    if name not in KERNEL_LAYOUTS:
        raise BlindSRError(f"`layout` {name}: unknown; there are {', '.join(KERNEL_LAYOUTS)}")
    found = KERNEL_LAYOUTS[name]
    if convention != "kernelgan" and (found is None or found.correlates):
        raise BlindSRError(f"`convention` {convention}: kernels of `layout` {name} are correlated with; leave the convention out")
    return found
