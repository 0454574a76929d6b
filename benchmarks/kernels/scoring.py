"""What an image is worth: bicubic interpolation, each estimated kernel, the true kernel."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from cases import Case

from blindsr.api import BlindSRError, Kernel, bicubic, kernel_errors, psnr_y, to_depth
from blindsr.api.testing import run_context
from blindsr.components.registry import Registry
from blindsr.execution.tiling import upscale
from blindsr.pipeline.yaml_source import parsed_component

INTERPOLATION, TRUE = "bicubic interpolation", "true kernel"


class Estimator(NamedTuple):
    """A kernel estimator, and what the user called it."""

    text: str
    component: Any


class Row(NamedTuple):
    """A kernel of an image, and the PSNR that it leads to; NaN for what there is not."""

    part: str
    condition: str
    image: str
    kernel: str
    error: float = np.nan
    expected_error: float = np.nan
    psnr: float = np.nan
    seconds: float = np.nan


def component(kind: Any, text: str, scale: int, **more: Any) -> Any:
    """The component of a name, or of ``{name: {parameter: value}}`` as in a pipeline; `more` are parameters, too."""
    return parsed_component(Registry.discover(), kind, text, scale, **more)


def sr_methods(text: str, scale: int, noises: Iterable[float]) -> dict[float, Any]:
    """The SR method for each noise: told it, where it takes that."""
    methods = {0.0: component("sr", text, scale)}
    for noise in set(noises) - {0.0}:
        try:
            methods[noise] = component("sr", text, scale, noise=noise)
        except BlindSRError:
            methods[noise] = methods[0.0]
    return methods


def scores(part: str, case: Case, estimators: Sequence[Estimator], sr: Any, *, device: str, seed: int) -> list[Row]:
    """The rows of a case; an estimator that refuses the image gets one without numbers."""
    place = part, case.condition, case.image
    scale = case.kernel.scale
    rows = [Row(*place, INTERPOLATION, psnr=_psnr(to_depth(bicubic(case.lr, scale=scale), np.uint8), case))]
    for estimator in estimators:
        start = time.perf_counter()
        try:
            kernel = estimator.component.estimate(case.lr, scale, run_context(seed=seed, device=device))
        except BlindSRError:
            rows.append(Row(*place, estimator.text))
            continue
        seconds = time.perf_counter() - start
        error = kernel_errors(kernel, case.kernel)["kernel_l2"]
        expected = getattr(kernel, "expected_error", None)
        psnr = _psnr(_super_resolved(case, kernel, sr, device, seed), case)
        rows.append(Row(*place, estimator.text, error, np.nan if expected is None else expected, psnr, seconds))
    return [*rows, Row(*place, TRUE, 0.0, psnr=_psnr(_super_resolved(case, case.kernel, sr, device, seed), case))]


def _super_resolved(case: Case, kernel: Kernel, sr: Any, device: str, seed: int) -> Any:
    return upscale(sr.fit(case.lr, kernel, run_context(seed=seed, device=device)), case.lr, kernel.scale, device=device)


def _psnr(image: Any, case: Case) -> float:
    return psnr_y(image, case.hr, shave=case.kernel.scale)
