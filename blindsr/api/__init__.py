"""All that a plugin may import: ``from blindsr.api import KernelEstimator, Kernel, hookimpl``.

These names are what API version 1 promises (docs/api-policy.md); every other module of blindsr is private and may change.
What needs numpy or torch is loaded when it is first used, so that a plugin that declares its components loads neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from blindsr.components.hookspecs import blindsr_degradations, blindsr_kernel_estimators, blindsr_nonblind_sr, hookimpl
from blindsr.components.interfaces import API_VERSION, Component, Degradation, KernelEstimator, NonBlindSR, RunContext, Upscaler
from blindsr.components.nested import AnyKernelEstimator, AnyNonBlindSR, Composite
from blindsr.components.parameters import InputFile, InputFolder, InputPath
from blindsr.errors import BlindSRError, printable

if TYPE_CHECKING:
    from blindsr.api.data_step import DataStep, border_decay_px, data_step_alpha, project, transfer_function, with_border
    from blindsr.api.ensemble import SelfEnsemble
    from blindsr.components.weights import State, Weights, read_weights
    from blindsr.execution.resources import fast_dtype
    from blindsr.imaging.downscaling import back_project, back_projection_reach_px, downscale
    from blindsr.imaging.files import write_whole
    from blindsr.imaging.kernel import (
        Kernel,
        centered_taps,
        compose,
        from_centered_taps,
        gaussian_array,
        in_one_frame,
        nonnegative_kernel,
        precision_of,
    )
    from blindsr.imaging.metrics import kernel_errors, psnr_y, ssim_y
    from blindsr.imaging.noise import noise_level
    from blindsr.imaging.reader import Image, read_image, to_depth, to_float
    from blindsr.imaging.resize import CUBIC_RADIUS, bicubic, cubic
    from blindsr.imaging.symmetries import IDENTITY, SYMMETRIES, Symmetry, symmetries_of
    from blindsr.storage.kernel_pool import KernelPool, PooledKernel, read_kernel_pool

_LAZY = {
    "api.data_step": ("DataStep", "border_decay_px", "data_step_alpha", "project", "transfer_function", "with_border"),
    "api.ensemble": ("SelfEnsemble",),
    "components.weights": ("State", "Weights", "read_weights"),
    "execution.resources": ("fast_dtype",),
    "imaging.downscaling": ("back_project", "back_projection_reach_px", "downscale"),
    "imaging.files": ("write_whole",),
    "imaging.kernel": (
        "Kernel",
        "centered_taps",
        "compose",
        "from_centered_taps",
        "gaussian_array",
        "in_one_frame",
        "nonnegative_kernel",
        "precision_of",
    ),
    "imaging.metrics": ("kernel_errors", "psnr_y", "ssim_y"),
    "imaging.noise": ("noise_level",),
    "imaging.reader": ("Image", "read_image", "to_depth", "to_float"),
    "imaging.resize": ("CUBIC_RADIUS", "bicubic", "cubic"),
    "imaging.symmetries": ("IDENTITY", "SYMMETRIES", "Symmetry", "symmetries_of"),
    "storage.kernel_pool": ("KernelPool", "PooledKernel", "read_kernel_pool"),
}
_MODULES = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "API_VERSION", "CUBIC_RADIUS", "IDENTITY", "SYMMETRIES", "AnyKernelEstimator", "AnyNonBlindSR",
    "BlindSRError", "Component", "Composite", "DataStep", "Degradation", "Image", "InputFile", "InputFolder", "InputPath",
    "Kernel", "KernelEstimator", "KernelPool", "NonBlindSR", "PooledKernel", "RunContext", "SelfEnsemble", "State",
    "Symmetry", "Upscaler", "Weights", "back_project", "back_projection_reach_px", "bicubic", "blindsr_degradations",
    "blindsr_kernel_estimators", "blindsr_nonblind_sr", "border_decay_px", "centered_taps", "compose", "cubic", "data_step_alpha",
    "downscale", "fast_dtype", "from_centered_taps", "gaussian_array", "hookimpl", "in_one_frame", "kernel_errors", "noise_level",
    "nonnegative_kernel", "precision_of", "printable", "project", "psnr_y", "read_image", "read_kernel_pool",
    "read_weights", "ssim_y", "symmetries_of", "to_depth", "to_float", "transfer_function", "with_border", "write_whole",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'blindsr.api' has no attribute {name!r}")
    value = getattr(import_module(f"blindsr.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
