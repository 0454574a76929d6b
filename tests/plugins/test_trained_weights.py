"""Networks that users trained themselves, in the place of the shipped ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import blindsr_kernelnet
import blindsr_selection
import blindsr_srmd
import blindsr_unfolding
import blindsr_zssr
import numpy as np
import pytest
from blindsr_training.files import save_network
from numpy.typing import NDArray
from safetensors.torch import load_file

from blindsr.api import BlindSRError, Kernel, KernelEstimator, to_float
from blindsr.api.testing import run_context
from blindsr.components.interfaces import Component

CASES: dict[str, tuple[type[Component], dict[str, Any], Path]] = {
    "kernelnet": (blindsr_kernelnet.KernelNetEstimator, {}, blindsr_kernelnet.WEIGHTS),
    "corrected": (blindsr_selection.Corrected, {}, blindsr_selection.weights_file(2)),
    "srmd": (blindsr_srmd.SRMD, {}, blindsr_srmd.own_weights(2)),
    "unfolding": (blindsr_unfolding.Unfolding, {}, blindsr_unfolding.weights_file(2)),
    "zssr": (blindsr_zssr.ZSSR, {"init": "pretrained", "iterations": 3}, blindsr_zssr.WEIGHTS),
}


def _result(component: Any, lr: NDArray[np.float32]) -> NDArray[np.float64]:
    if isinstance(component, KernelEstimator):
        return np.asarray(component.estimate(lr, 2, run_context()).array)
    return np.asarray(component.fit(lr, Kernel.bicubic(2), run_context())(lr))


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_weights_does_what_the_shipped_ones_do_and_another_file_is_refused(
    name: str, tmp_path: Path, photo: NDArray[np.uint8]
) -> None:
    kind, parameters, shipped = CASES[name]
    own, lr = tmp_path / "own.safetensors", to_float(photo[100:180, 150:250])
    shutil.copy(shipped, own)
    component = kind.model_validate({**parameters, "weights": own})
    np.testing.assert_array_equal(_result(component, lr), _result(kind.model_validate(parameters), lr))
    assert shipped not in component.shipped_weights(2)
    other = kind.model_validate({**parameters, "weights": CASES["srmd" if name != "srmd" else "zssr"][2]})
    with pytest.raises(BlindSRError, match=f"{CASES['srmd' if name != 'srmd' else 'zssr'][2]}: "):
        _result(other, lr)


@pytest.mark.parametrize("name", ["corrected", "srmd", "unfolding"])
def test_weights_for_another_scale_are_refused(name: str, tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    kind, parameters, shipped = CASES[name]
    save_network(tmp_path / "own.safetensors", load_file(shipped), {"scale": 3}, header={})
    component = kind.model_validate({**parameters, "weights": tmp_path / "own.safetensors"})
    with pytest.raises(BlindSRError, match=r"own\.safetensors: was trained for x3, not for x2"):
        _result(component, to_float(photo[100:180, 150:250]))


def test_what_another_program_says_of_its_weights_does_not_matter(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    file = tmp_path / "own.safetensors"
    for about in ("x3", json.dumps("x3"), json.dumps({"scale": "x3"})):
        save_network(file, load_file(blindsr_srmd.own_weights(2)), {}, header={})
        header = file.read_bytes().replace(b'"about":"{}"', b'"about":' + json.dumps(about).encode())
        size = int.from_bytes(header[:8], "little") + len(header) - file.stat().st_size
        file.write_bytes(size.to_bytes(8, "little") + header[8:])
        component = blindsr_srmd.SRMD.model_validate({"weights": file})
        assert _result(component, to_float(photo[100:150, 150:200])).shape == (100, 100, 3)


def test_networks_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    file = str(blindsr_srmd.own_weights(2))
    for kind, given, message in (
        (blindsr_unfolding.Unfolding, {"checkpoint": file}, "give one"),
        (blindsr_unfolding.Unfolding, {"size": "small"}, "leave it out"),
        (blindsr_srmd.SRMD, {"checkpoint": file, "pca": file}, "give one"),
        (blindsr_zssr.ZSSR, {}, "init: pretrained"),
    ):
        with pytest.raises(ValueError, match=message):
            kind.model_validate({"weights": file, **given})
