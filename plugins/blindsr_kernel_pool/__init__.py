"""Degradation by the kernels of a pool, and by noise that was taken from its photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from blindsr.api import BlindSRError, Degradation, InputPath, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blindsr.api import Image, Kernel, KernelPool

blindsr_api = 1


def _file_of(pool: Path) -> Path:
    """Of a folder with ``kernels.h5`` that file: its bytes, and not what else is in the folder, tell pools apart."""
    file = pool / "kernels.h5"
    return file if file.is_file() else pool


class KernelPoolDegradation(Degradation):
    """Draws a kernel from a pool that `blindsr estimate` made of photographs, and optionally adds their noise.

    Source: Zhou and Susstrunk, *Kernel Modeling Super-Resolution on Real Low-Resolution Images*, ICCV 2019, and Ji et al.,
    *Real-World Super-Resolution via Kernel Estimation and Noise Injection*, CVPRW 2020, section 3.
    """

    name: ClassVar[str] = "kernel_pool"
    stochastic: ClassVar[bool] = True

    pool: Annotated[InputPath, AfterValidator(_file_of)]
    """The pool: its folder, kernels.h5, or a folder of .mat and .npy files."""
    pool_scale: int = Field(2, ge=2, le=4)
    """What kernel files are for whose names, or their folder's, do not end in _x2, _x3 or _x4. Kernels for x2 serve x4, too."""
    noise: float = Field(0.0, ge=0, le=4)
    """Strength of the noise: 0 adds none, 1 what the photographs have. The pool must hold noise patches."""
    _pool: KernelPool | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _readable(self) -> KernelPoolDegradation:
        from blindsr.api import read_kernel_pool

        try:
            pool = read_kernel_pool(self.pool, scale=self.pool_scale)
        except BlindSRError as error:
            raise ValueError(str(error)) from None
        if self.noise and not len(pool.noise):
            raise ValueError(f"{self.pool}: the pool holds no noise patches; make it with noise patches, or leave out noise")
        self._pool = pool
        return self

    def sample_kernel(self, scale: int, rng: np.random.Generator) -> Kernel:
        assert self._pool is not None
        kernel = self._pool.kernels[rng.integers(len(self._pool.kernels))].kernel.align()
        if kernel.scale == scale:
            return kernel
        if (kernel.scale, scale) == (2, 4):
            return kernel.composed()
        raise BlindSRError(f"{self.pool}: the pool has kernels for x{kernel.scale}, which cannot be made kernels for x{scale}")

    def degrade(self, hr: Image, kernel: Kernel, rng: np.random.Generator) -> Image:
        lr = super().degrade(hr, kernel, rng)
        assert self._pool is not None
        return lr + self.noise * _noise(self._pool.noise, lr.shape[:2], rng) if self.noise else lr


def _noise(patches: NDArray[np.float32], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """An image (H, W, 3) of patches that are drawn, flipped and turned at random, side by side."""
    import numpy as np

    side = patches.shape[1]
    rows, columns = (-(-size // side) for size in shape)

    def drawn() -> NDArray[np.float32]:
        patch: NDArray[np.float32] = patches[rng.integers(len(patches))]
        patch = patch[:, ::-1] if rng.integers(2) else patch
        return np.rot90(patch, int(rng.integers(4)))

    tiled = np.concatenate([np.concatenate([drawn() for _ in range(columns)], axis=1) for _ in range(rows)])
    return tiled[: shape[0], : shape[1]]


@hookimpl
def blindsr_degradations() -> list[type[Degradation]]:
    """Kernels of a pool."""
    return [KernelPoolDegradation]
