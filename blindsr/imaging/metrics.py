"""PSNR and SSIM on the Y channel, and kernel errors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsr.errors import BlindSRError
from blindsr.imaging.kernel import Kernel, center_of_mass, in_one_frame
from blindsr.imaging.reader import peak_of
from blindsr.imaging.resize import check_image


@dataclass(frozen=True)
class Metric:
    """A number of a row that tables show, and the function that computes it, if it is computed from images or kernels."""

    name: str
    """In results and on the command line."""
    title: str
    """Heading of its column in a table."""
    unit: str
    """"1" for a pure number."""
    higher_is_better: bool | None
    """None for what is not ranked: seconds, expected errors."""
    format: str
    """Format specification of a value in a table."""
    of_images: Callable[..., float] | None = None
    """``of_images(sr, hr, shave=scale)``; an image that it cannot be computed of raises `BlindSRError`."""
    of_kernels: Callable[[Kernel, Kernel], float] | None = None
    """``of_kernels(estimated, true)``"""


PROTOCOL = {"channel": "Y", "data_range": 255}
"""How PSNR and SSIM are measured, for results to say so."""

SSIM_SETTINGS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
SSIM_WINDOW_PX = 11


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """Y of BT.601 in 16..235 (float64, not rounded) of an RGB image (H, W, 3): uint8, uint16, or floats in [0, 1]."""
    peak = 1 if image.dtype.kind == "f" else peak_of(image.dtype)
    if peak == 1 and not (image.min() >= 0 and image.max() <= 1):
        raise BlindSRError(f"float images must lie in [0, 1], not {image.min():.4g} to {image.max():.4g}; scale or clip them first")
    rgb = image.astype(np.float64) * (255 / peak)
    luma: NDArray[np.float64] = 16 + rgb @ np.array([65.481, 128.553, 24.966]) / 255
    return luma


def psnr_y(sr: NDArray[Any], hr: NDArray[Any], *, shave: int) -> float:
    """Peak signal-to-noise ratio in dB, by the protocol of the KernelGAN paper's Table 1 (VDSR's script).

    Parameters
    ----------
    sr, hr
        RGB images of one shape (H, W, 3): uint8, uint16, or floats in [0, 1], which are not rounded.
    shave
        Pixels left out at each side; the protocol's is the scale.

    Returns
    -------
    ``10 log10(255^2 / MSE)`` on Y; infinite for equal images.

    Raises
    ------
    BlindSRError
        If the images have different shapes, nothing is left after shaving, or their type or range is another.

    Examples
    --------
    >>> hr = np.full((16, 16, 3), 0.5)
    >>> round(psnr_y(hr + 0.01, hr, shave=2), 2)
    41.32
    """
    y_sr, y_hr = _shaved_luma(sr, hr, shave)
    error = np.mean(np.square(y_sr - y_hr))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim_y(sr: NDArray[Any], hr: NDArray[Any], *, shave: int) -> float:
    """Structural similarity on Y: 11 x 11 Gaussian window, sigma 1.5, K = (0.01, 0.03), population covariance, valid region.

    Arguments as in `psnr_y`. Source: Wang et al., IEEE TIP 13(4), 2004, in scikit-image's implementation.
    """
    from skimage.metrics import structural_similarity

    y_sr, y_hr = _shaved_luma(sr, hr, shave)
    height, width = y_sr.shape
    if min(height, width) < SSIM_WINDOW_PX:
        raise BlindSRError(f"SSIM needs at least {SSIM_WINDOW_PX} pixels a side after shaving, not {width} x {height}")
    return float(structural_similarity(y_sr, y_hr, **SSIM_SETTINGS))  # type: ignore[no-untyped-call]


def kernel_errors(estimated: Kernel, true: Kernel) -> dict[str, float]:
    """How far an estimated kernel is from the true one, whatever the shift between them.

    Both are moved by cubic interpolation to one centre of mass on one grid. ``kernel_l2`` is |estimated - true| / |true|, 0 is
    best; ``kernel_correlation`` the largest normalised cross-correlation over all shifts, 1 is best.

    Examples
    --------
    >>> errors = kernel_errors(Kernel.gaussian(1.0, scale=2), Kernel.gaussian(1.44, scale=2))
    >>> {name: round(value, 3) for name, value in errors.items()}
    {'kernel_l2': 0.273, 'kernel_correlation': 0.985}
    """
    return {"kernel_l2": _kernel_l2(estimated, true), "kernel_correlation": _kernel_correlation(estimated, true)}


def _kernel_l2(estimated: Kernel, true: Kernel) -> float:
    a, b = _centered(estimated, true)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _kernel_correlation(estimated: Kernel, true: Kernel) -> float:
    a, b = _centered(estimated, true)
    size = [2 * n - 1 for n in a.shape]  # of all shifts; by numpy, since importing scipy.signal takes longer than many a step
    correlation = np.fft.irfft2(np.fft.rfft2(a, size) * np.fft.rfft2(b, size).conj(), size)
    return float(correlation.max() / (np.linalg.norm(a) * np.linalg.norm(b)))


def _centered(*kernels: Kernel) -> Iterator[NDArray[np.float64]]:
    """The arrays of kernels in frames of one size, moved so that the centres of mass are in the middle."""
    from scipy import ndimage

    size = max(25, *(n + 4 + n % 2 for kernel in kernels for n in kernel.shape)) | 1
    for canvas in in_one_frame([kernel.array for kernel in kernels], size):
        row, column = center_of_mass(canvas)
        yield ndimage.shift(canvas, (size // 2 - row, size // 2 - column), order=3, mode="constant")


def _shaved_luma(sr: NDArray[Any], hr: NDArray[Any], shave: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_image(sr, hr)
    if sr.shape != hr.shape or sr.ndim != 3 or sr.shape[2] != 3:
        raise BlindSRError(f"only RGB images of one size can be compared, not {sr.shape} with {hr.shape}")
    height, width = sr.shape[:2]
    if min(height, width) <= 2 * shave:
        raise BlindSRError(f"an image of {width} x {height} pixels has nothing left after shaving {shave} from each side")
    inner = slice(shave, -shave or None)
    return luma(sr[inner, inner]), luma(hr[inner, inner])


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR (dB)", "dB", True, ".2f", of_images=psnr_y),
        Metric("ssim", "SSIM", "1", True, ".4f", of_images=ssim_y),
        Metric("kernel_l2", "kernel error", "1", False, ".3f", of_kernels=_kernel_l2),
        Metric("kernel_correlation", "kernel correlation", "1", True, ".3f", of_kernels=_kernel_correlation),
        Metric("expected_error", "expected kernel error", "1", None, ".3f"),
        Metric("seconds_estimate", "kernel (s)", "s", None, ".1f"),
        Metric("seconds_upscale", "SR (s)", "s", None, ".1f"),
    )
}
"""All metrics by name, in the order of a table's columns. A new metric is a new entry here."""
