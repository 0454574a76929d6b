"""A component that tells what its process is like: importable by worker processes, and importing next to nothing itself."""

from __future__ import annotations

import os
import sys
from multiprocessing import parent_process
from typing import TYPE_CHECKING, ClassVar

from blindsr.components.interfaces import KernelEstimator, RunContext
from blindsr.imaging.kernel import Kernel

if TYPE_CHECKING:
    from blindsr.components.interfaces import Image


class Telling(KernelEstimator):
    """Tells what its process is like, in warnings, and prints."""

    name: ClassVar[str] = "telling"

    def estimate(self, lr: Image, scale: int, run: RunContext) -> Kernel:
        run.warn(f"gpu {os.environ.get('CUDA_VISIBLE_DEVICES')}")
        run.warn(f"threads {os.environ.get('OMP_NUM_THREADS')}")
        run.warn(f"h5py {'h5py' in sys.modules}")
        run.warn(f"main {getattr(sys.modules['__main__'], '__file__', None)}")
        print("from Python")
        if parent_process():  # or it would be what pytest captures
            os.write(1, b"from C")
        run.warn(str(os.getpid()))
        return Kernel(Kernel.bicubic(scale).array, scale, expected_error=0.125)
