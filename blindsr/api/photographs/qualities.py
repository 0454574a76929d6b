"""What ``quality`` stands for."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

QualityName = Literal["fast", "good", "best"]


class Quality(NamedTuple):
    """A kernel estimator for each scale, an SR method, and whether the mean of eight results is taken (`SelfEnsemble`)."""

    kernels: Mapping[int, str]
    sr: str
    ensemble: bool


FAST = {2: "kernelnet", 3: "kernelnet", 4: "kernelnet"}
ACCURATE = {2: "corrected", 3: "refined", 4: "refined"}
QUALITIES: Mapping[str, Quality] = {
    "fast": Quality(FAST, "unfolding", ensemble=False),
    "good": Quality(ACCURATE, "unfolding", ensemble=False),
    "best": Quality(ACCURATE, "unfolding", ensemble=True),
}

MAX_NOISE = 50.0
"""Levels of 255; no SR method is told more."""


def parameters_for(method: str, noise: float) -> dict[str, Any]:
    """The parameters of a bundled method that suit a photograph with noise of this standard deviation in levels of 255.

    The borders of a photograph are real, so nothing is shaved; and to make a result agree with the photograph would restore its
    noise.
    """
    noise = min(noise, MAX_NOISE)
    known: Mapping[str, dict[str, Any]] = {
        "kernelgan": {"edge_shave": 0},
        "srmd": {"back_projections": 0},
        "unfolding": {"noise": noise, "data_step": False},
        "zssr": {"noise": max(noise / 255, 0.0125), "back_projections": 0},
    }
    return known.get(method, {})
