"""ensemble: the mean over flips and quarter turns of another SR method."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from blindsr_ensemble import Ensemble
from blindsr_srmd import SRMD
from pydantic import ValidationError

from blindsr.api import SYMMETRIES, Kernel, NonBlindSR, downscale, psnr_y
from blindsr.api.testing import run_context, samples
from blindsr.pipeline.plan import make_plan
from pipelines import read, run


class Corner(NonBlindSR):
    """Nearest neighbour with something added in one corner of each tile, and of the kernel's largest value."""

    name: ClassVar[str] = "corner"

    def fit(self, lr: Any, kernel: Kernel, run: Any) -> Any:
        class Upscaler:
            halo = 3

            def __call__(self, tile: Any) -> Any:
                sr = tile.repeat(2, 0).repeat(2, 1)
                sr[0, 0] += 8
                return sr

        return Upscaler()


def test_it_is_the_mean_of_eight() -> None:
    lr = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    upscaler = Ensemble(of=Corner()).fit(lr, Kernel.gaussian(1.0, 2), run_context())
    expected = lr.repeat(2, 0).repeat(2, 1)
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] += 2  # each corner is the first one in two of the eight
    assert upscaler.halo == 3
    assert upscaler(lr) == pytest.approx(expected, abs=1e-6)
    assert len(SYMMETRIES) == 8


@pytest.mark.slow
def test_it_is_better_than_its_method_with_a_kernel_that_no_turn_leaves_as_it_is() -> None:
    hr = samples(count=1)[0].hr
    kernel = Kernel.gaussian(np.array([[4.0, 1.2], [1.2, 1.0]]), 2)
    lr = downscale(hr, kernel).clip(0, 1).astype(np.float32)
    alone, mean = (psnr_y(sr.fit(lr, kernel, run_context())(lr).clip(0, 1), hr, shave=8) for sr in (SRMD(), Ensemble(of=SRMD())))
    assert mean > alone + 0.03


def test_a_pipeline_names_its_method_and_the_weights(tmp_path: Path, small_photo: Path) -> None:
    text = f"name: quick\nscale: 2\ndata: {{lr: '{small_photo}'}}\n"
    pipeline = read(tmp_path, f"{text}methods:\n  SRMD+: {{kernel: bicubic, sr: {{ensemble: {{of: srmd}}}}}}\n")
    plan = make_plan(pipeline, pipeline.dataset())
    assert {Path(entry["path"]).parent.parent.name for entry in plan.weights} == {"blindsr_srmd"}
    assert run(plan, tmp_path / "out").failures == {}


def test_it_depends_on_the_seed_if_its_method_does() -> None:
    assert not Ensemble().stochastic
    assert Ensemble(of="zssr").stochastic  # type: ignore[arg-type]


def test_a_wrong_method_is_named() -> None:
    with pytest.raises(ValidationError, match="unfoldng"):
        Ensemble(of="unfoldng")  # type: ignore[arg-type]
