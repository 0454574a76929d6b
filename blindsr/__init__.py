"""blindsr: estimate the blur of a low-resolution image from the image alone, and super-resolve it with that blur.

For scripts and notebooks: `upscale`, `run`, `estimate_kernel`, `estimate_pool`, `super_resolve`, `degrade`, `open_result`.
Names are loaded when they are first used, so that ``import blindsr`` costs nothing. Plugins import from `blindsr.api`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from blindsr.api.functions import degrade as degrade
    from blindsr.api.functions import estimate_kernel as estimate_kernel
    from blindsr.api.functions import super_resolve as super_resolve
    from blindsr.api.kernels.pool import estimate_pool as estimate_pool
    from blindsr.api.running import run as run
    from blindsr.api.upscaling import upscale as upscale
    from blindsr.errors import BlindSRError as BlindSRError
    from blindsr.imaging.downscaling import downscale as downscale
    from blindsr.imaging.kernel import Kernel as Kernel
    from blindsr.imaging.metrics import kernel_errors as kernel_errors
    from blindsr.imaging.metrics import psnr_y as psnr_y
    from blindsr.imaging.metrics import ssim_y as ssim_y
    from blindsr.imaging.reader import read_image as read_image
    from blindsr.imaging.resize import bicubic as bicubic
    from blindsr.storage.result import open_result as open_result

_MODULES = {
    "BlindSRError": "errors",
    "Kernel": "imaging.kernel",
    "bicubic": "imaging.resize",
    "degrade": "api.functions",
    "downscale": "imaging.downscaling",
    "estimate_kernel": "api.functions",
    "estimate_pool": "api.kernels.pool",
    "kernel_errors": "imaging.metrics",
    "open_result": "storage.result",
    "psnr_y": "imaging.metrics",
    "read_image": "imaging.reader",
    "run": "api.running",
    "ssim_y": "imaging.metrics",
    "super_resolve": "api.functions",
    "upscale": "api.upscaling",
}

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'blindsr' has no attribute {name!r}")
    value = getattr(import_module(f"blindsr.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
