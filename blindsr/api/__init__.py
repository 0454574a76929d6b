"""All that a plugin may import: ``from blindsr.api import KernelEstimator, Kernel, hookimpl``.

These names are what API version 1 promises (docs/api-policy.md); every other module of blindsr is private and may change.
A name is loaded when it is first used, so that a plugin that declares its components loads neither numpy nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blindsr.components.hookspecs import blindsr_degradations as blindsr_degradations
    from blindsr.components.hookspecs import blindsr_kernel_estimators as blindsr_kernel_estimators
    from blindsr.components.hookspecs import blindsr_nonblind_sr as blindsr_nonblind_sr
    from blindsr.components.interfaces import API_VERSION as API_VERSION
    from blindsr.components.interfaces import Component as Component
    from blindsr.components.interfaces import Degradation as Degradation
    from blindsr.components.interfaces import InputFile as InputFile
    from blindsr.components.interfaces import InputFolder as InputFolder
    from blindsr.components.interfaces import KernelEstimator as KernelEstimator
    from blindsr.components.interfaces import NonBlindSR as NonBlindSR
    from blindsr.components.interfaces import RunContext as RunContext
    from blindsr.components.interfaces import Upscaler as Upscaler
    from blindsr.components.interfaces import hookimpl as hookimpl
    from blindsr.components.weights import State as State
    from blindsr.components.weights import Weights as Weights
    from blindsr.components.weights import read_weights as read_weights
    from blindsr.errors import BlindSRError as BlindSRError
    from blindsr.errors import printable as printable
    from blindsr.imaging.downscaling import back_project as back_project
    from blindsr.imaging.downscaling import back_projection_reach_px as back_projection_reach_px
    from blindsr.imaging.downscaling import downscale as downscale
    from blindsr.imaging.files import write_whole as write_whole
    from blindsr.imaging.kernel import Kernel as Kernel
    from blindsr.imaging.kernel import compose as compose
    from blindsr.imaging.kernel import gaussian_array as gaussian_array
    from blindsr.imaging.kernel import nonnegative_kernel as nonnegative_kernel
    from blindsr.imaging.kernel import precision_of as precision_of
    from blindsr.imaging.metrics import kernel_errors as kernel_errors
    from blindsr.imaging.metrics import psnr_y as psnr_y
    from blindsr.imaging.metrics import ssim_y as ssim_y
    from blindsr.imaging.reader import Image as Image
    from blindsr.imaging.reader import read_image as read_image
    from blindsr.imaging.reader import to_depth as to_depth
    from blindsr.imaging.reader import to_float as to_float
    from blindsr.imaging.resize import CUBIC_RADIUS as CUBIC_RADIUS
    from blindsr.imaging.resize import bicubic as bicubic
    from blindsr.imaging.resize import cubic as cubic
    from blindsr.imaging.symmetries import IDENTITY as IDENTITY
    from blindsr.imaging.symmetries import SYMMETRIES as SYMMETRIES
    from blindsr.imaging.symmetries import Symmetry as Symmetry
    from blindsr.imaging.symmetries import symmetries_of as symmetries_of

_NAMES = {
    "components.hookspecs": ("blindsr_degradations", "blindsr_kernel_estimators", "blindsr_nonblind_sr"),
    "components.interfaces": (
        "API_VERSION", "Component", "Degradation", "InputFile", "InputFolder", "KernelEstimator", "NonBlindSR",
        "RunContext", "Upscaler", "hookimpl",
    ),
    "components.weights": ("State", "Weights", "read_weights"),
    "errors": ("BlindSRError", "printable"),
    "imaging.downscaling": ("back_project", "back_projection_reach_px", "downscale"),
    "imaging.files": ("write_whole",),
    "imaging.kernel": ("Kernel", "compose", "gaussian_array", "nonnegative_kernel", "precision_of"),
    "imaging.metrics": ("kernel_errors", "psnr_y", "ssim_y"),
    "imaging.reader": ("Image", "read_image", "to_depth", "to_float"),
    "imaging.resize": ("CUBIC_RADIUS", "bicubic", "cubic"),
    "imaging.symmetries": ("IDENTITY", "SYMMETRIES", "Symmetry", "symmetries_of"),
}  # fmt: skip
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'blindsr.api' has no attribute {name!r}")
    value = getattr(import_module(f"blindsr.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
