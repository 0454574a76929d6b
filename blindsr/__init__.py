"""blindsr: estimate the blur of a low-resolution image from the image alone, and super-resolve it with that blur.

Names are loaded on first use, so that ``import blindsr`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from blindsr.errors import BlindSRError as BlindSRError
    from blindsr.imaging.kernel import Kernel as Kernel
    from blindsr.imaging.metrics import kernel_errors as kernel_errors
    from blindsr.imaging.metrics import psnr_y as psnr_y
    from blindsr.imaging.metrics import ssim_y as ssim_y
    from blindsr.imaging.reader import read_image as read_image
    from blindsr.imaging.resize import bicubic as bicubic
    from blindsr.imaging.resize import downscale as downscale
    from blindsr.storage.result import open_result as open_result

_HOMES = {
    "BlindSRError": "errors",
    "Kernel": "imaging.kernel",
    "bicubic": "imaging.resize",
    "downscale": "imaging.resize",
    "kernel_errors": "imaging.metrics",
    "open_result": "storage.result",
    "psnr_y": "imaging.metrics",
    "read_image": "imaging.reader",
    "ssim_y": "imaging.metrics",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"blindsr.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'blindsr' has no attribute {name!r}")
