"""EDSR and RCAN: the published layouts, the networks compared with their equations, the "+", tiles, and refused files."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import blindsr_pretrained
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from blindsr_pretrained import EDSR, RCAN, Spandrel, foreign, network, official
from blindsr_pretrained.upscaler import NetworkUpscaler
from pydantic import ValidationError

from blindsr.components.weights import Weights
from blindsr.errors import BlindSRError
from blindsr.execution import tiling
from blindsr.execution.perform import perform
from blindsr.execution.tasks import Task
from blindsr.imaging.kernel import Kernel
from blindsr.pipeline.outcome import StepInputs

MEAN = 255 * torch.tensor([0.4488, 0.4371, 0.4040])
Shapes = dict[str, tuple[int, ...]]
State = dict[str, torch.Tensor]


pytestmark = pytest.mark.usefixtures("one_thread")


class Run:
    """A run context that records warnings."""

    def __init__(self) -> None:
        self.device = "cpu"
        self.rng = np.random.default_rng(0)
        self.torch_rng = torch.Generator().manual_seed(0)
        self.warnings: list[str] = []

    def progress(self, done: int, total: int) -> None: ...

    def log(self, name: str, step: int, value: float) -> None: ...

    def warn(self, text: str) -> None:
        self.warnings.append(text)


# The published layouts, written out independently.


def conv(name: str, channels_in: int, channels_out: int, size: int = 3) -> Shapes:
    return {f"{name}.weight": (channels_out, channels_in, size, size), f"{name}.bias": (channels_out,)}


def ends(scale: int, channels: int, last: int) -> Shapes:
    shapes = conv("sub_mean", 3, 3, 1) | conv("add_mean", 3, 3, 1) | conv("head.0", 3, channels)
    shapes |= conv(f"body.{last}", channels, channels)
    shapes |= conv("tail.0.0", channels, channels * (9 if scale == 3 else 4))
    if scale == 4:
        shapes |= conv("tail.0.2", channels, 4 * channels)
    return shapes | conv("tail.1", channels, 3)


def edsr_layout(scale: int, blocks: int = 3, channels: int = 8) -> Shapes:
    shapes = ends(scale, channels, blocks)
    for block in range(blocks):
        shapes |= conv(f"body.{block}.body.0", channels, channels) | conv(f"body.{block}.body.2", channels, channels)
    return shapes


def rcan_layout(scale: int, groups: int = 2, blocks: int = 3, channels: int = 8, squeezed: int = 2) -> Shapes:
    shapes = ends(scale, channels, groups)
    for group in range(groups):
        for block in range(blocks):
            inner = f"body.{group}.body.{block}.body"
            shapes |= conv(f"{inner}.0", channels, channels) | conv(f"{inner}.2", channels, channels)
            shapes |= conv(f"{inner}.3.conv_du.0", channels, squeezed, 1) | conv(f"{inner}.3.conv_du.2", squeezed, channels, 1)
        shapes |= conv(f"body.{group}.body.{blocks}", channels, channels)
    return shapes


def weights(layout: Shapes, seed: int = 0, value_range: float = 255) -> State:
    """Random weights that preserve the magnitude of the signal, and the mean of DIV2K."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: torch.randn(shape, generator=generator) / max(1, int(np.prod(shape[1:]))) ** 0.5 for name, shape in layout.items()
    }
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        state[f"{name}.weight"] = torch.eye(3)[:, :, None, None]
        state[f"{name}.bias"] = sign * MEAN * value_range / 255
    return state


def saved(path: Path, content: Any, **how: Any) -> Path:
    torch.save(content, path, **how)
    return path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def fitted(method: Any, scale: int, lr: np.ndarray, run: Run | None = None) -> NetworkUpscaler:
    lr.flags.writeable = False
    upscaler = method.fit(lr, Kernel.bicubic(scale), run or Run())
    assert isinstance(upscaler, NetworkUpscaler)
    return upscaler


# The networks' equations, with convolutions only.


class Equations:
    def __init__(self, state: State, scale: int, value_range: float = 255) -> None:
        self.state, self.scale, self.range = {name: tensor.double() for name, tensor in state.items()}, scale, value_range

    def conv(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def shuffled(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        """Channel ``c * factor**2 + i * factor + j`` goes to row i and column j of each block."""
        result = torch.zeros(1, x.shape[1] // factor**2, x.shape[2] * factor, x.shape[3] * factor, dtype=x.dtype)
        for i in range(factor):
            for j in range(factor):
                result[:, :, i::factor, j::factor] = x[:, i * factor + j :: factor**2]
        return result

    def around(self, body: Any, lr: np.ndarray) -> np.ndarray:
        mean = MEAN.double()[None, :, None, None] * self.range / 255
        first = self.conv("head.0", self.range * torch.from_numpy(lr.copy()).double().permute(2, 0, 1)[None] - mean)
        x = body(first) + first
        for step, factor in enumerate({2: (2,), 3: (3,), 4: (2, 2)}[self.scale]):
            x = self.shuffled(self.conv(f"tail.0.{2 * step}", x), factor)
        return ((self.conv("tail.1", x) + mean) / self.range)[0].permute(1, 2, 0).numpy()

    def edsr(self, lr: np.ndarray, *, blocks: int, scaling: float) -> np.ndarray:
        def body(x: torch.Tensor) -> torch.Tensor:
            for b in range(blocks):
                x = x + scaling * self.conv(f"body.{b}.body.2", self.conv(f"body.{b}.body.0", x).clamp(min=0))
            return self.conv(f"body.{blocks}", x)

        return self.around(body, lr)

    def rcan(self, lr: np.ndarray, *, groups: int, blocks: int) -> np.ndarray:
        def block(name: str, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(f"{name}.2", self.conv(f"{name}.0", x).clamp(min=0))
            means = y.sum((2, 3), keepdim=True) / (y.shape[2] * y.shape[3])
            gates = self.conv(f"{name}.3.conv_du.2", self.conv(f"{name}.3.conv_du.0", means).clamp(min=0))
            return x + y / (1 + torch.exp(-gates))

        def body(x: torch.Tensor) -> torch.Tensor:
            for g in range(groups):
                start = x
                for b in range(blocks):
                    x = block(f"body.{g}.body.{b}.body", x)
                x = start + self.conv(f"body.{g}.body.{blocks}", x)
            return self.conv(f"body.{groups}", x)

        return self.around(body, lr)


@pytest.mark.parametrize(
    ("layout", "scale", "published"),
    [
        # Thousands of parameters: the paper's 43M, and the tables of later papers (CARN, SwinIR) with a digit or two more.
        pytest.param(edsr_layout(2, 16, 64), 2, 1_370, id="baseline-x2"),
        pytest.param(edsr_layout(3, 16, 64), 3, 1_555, id="baseline-x3"),
        pytest.param(edsr_layout(4, 16, 64), 4, 1_518, id="baseline-x4"),
        pytest.param(edsr_layout(2, 32, 256), 2, 40_730, id="edsr-x2"),
        pytest.param(edsr_layout(3, 32, 256), 3, 43_680, id="edsr-x3"),
        pytest.param(edsr_layout(4, 32, 256), 4, 43_090, id="edsr-x4"),
        pytest.param(rcan_layout(2, 10, 20, 64, 4), 2, 15_445, id="rcan-x2"),
        pytest.param(rcan_layout(3, 10, 20, 64, 4), 3, 15_629, id="rcan-x3"),
        pytest.param(rcan_layout(4, 10, 20, 64, 4), 4, 15_592, id="rcan-x4"),
    ],
)
def test_the_published_layouts_load_and_have_the_published_sizes(layout: Shapes, scale: int, published: int) -> None:
    zeros = {name: torch.zeros(1).expand(shape) for name, shape in layout.items()}
    load = official.rcan if "body.0.body.0.body.3.conv_du.0.weight" in layout else official.edsr
    net = load(Weights(Path("official.pt"), zeros), scale)
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == layout
    parameters = sum(tensor.numel() for name, tensor in net.named_parameters() if "mean" not in name)
    assert parameters / 1000 == pytest.approx(published, rel=2e-4, abs=0.6)
    if load is official.edsr:
        assert net.reach_px == (68 if parameters > 40e6 else 36)
        assert {block.scaling for block in list(net.body)[:-1]} == {0.1 if parameters > 40e6 else 1.0}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsr_computes_its_equations(tmp_path: Path, scale: int) -> None:
    state, lr = weights(edsr_layout(scale, blocks=3), scale), picture(13, 10)
    path = saved(tmp_path / "edsr.pt", state)
    for given, scaling in ((None, 1.0), (0.3, 0.3)):
        sr = fitted(EDSR(checkpoint=path, self_ensemble=False, residual_scaling=given), scale, lr)(lr)
        expected = Equations(state, scale).edsr(lr, blocks=3, scaling=scaling)
        assert sr.shape == (13 * scale, 10 * scale, 3)
        assert np.abs(sr - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rcan_computes_its_equations(tmp_path: Path, scale: int) -> None:
    state, lr = weights(rcan_layout(scale, groups=2, blocks=3), scale), picture(12, 11)
    # Without this, all random gates are about 0.5, and a wrong one would not be noticed.
    state = {name: 3 * tensor if "conv_du" in name else tensor for name, tensor in state.items()}
    path = saved(tmp_path / "RCAN_BIX2.pt", state)
    sr = fitted(RCAN(checkpoint=path, self_ensemble=False), scale, lr)(lr)
    expected = Equations(state, scale).rcan(lr, groups=2, blocks=3)
    assert np.abs(sr - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_residual_scaling_of_wide_networks_is_a_tenth(tmp_path: Path) -> None:
    state, lr = weights(edsr_layout(2, blocks=1, channels=256)), picture(5, 6)
    sr = fitted(EDSR(checkpoint=saved(tmp_path / "edsr.pt", state), self_ensemble=False), 2, lr)(lr)
    expected = Equations(state, 2).edsr(lr, blocks=1, scaling=0.1)
    assert np.abs(sr - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_network_for_images_in_0_to_1_is_told_by_its_mean(tmp_path: Path) -> None:
    state, lr = weights(edsr_layout(2, blocks=2), value_range=1), picture(8, 9)
    sr = fitted(EDSR(checkpoint=saved(tmp_path / "edsr.pt", state), self_ensemble=False), 2, lr)(lr)
    expected = Equations(state, 2, value_range=1).edsr(lr, blocks=2, scaling=1)
    assert np.abs(sr - expected).max() < 1e-5 * np.abs(expected).max()


def basicsr(state: State, blocks: int) -> State:
    """The same weights with the names of BasicSR, which does not store the mean."""
    last = max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    result = {}
    for name, tensor in state.items():
        match name.split("."):
            case ["head", "0", what]:
                new = f"conv_first.{what}"
            case ["tail", "0", step, what]:
                new = f"upsample.{step}.{what}"
            case ["tail", "1", what]:
                new = f"conv_last.{what}"
            case ["body", index, what] if index == str(last):
                new = f"conv_after_body.{what}"
            case ["body", index, "body", "0" | "2" as layer, what] if "conv_du" not in "".join(state):
                new = f"body.{index}.conv{1 + int(layer) // 2}.{what}"
            case ["body", group, "body", block, what] if block == str(blocks):
                new = f"body.{group}.conv.{what}"
            case ["body", group, "body", block, "body", "3", "conv_du", layer, what]:
                new = f"body.{group}.residual_group.{block}.rcab.3.attention.{1 + int(layer)}.{what}"
            case ["body", group, "body", block, "body", layer, what]:
                new = f"body.{group}.residual_group.{block}.rcab.{layer}.{what}"
            case _:
                continue
        result[new] = tensor
    return result


@pytest.mark.parametrize("method", [EDSR, RCAN])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_basicsrs_files_give_the_same(tmp_path: Path, method: Any, scale: int) -> None:
    state = weights(edsr_layout(scale, blocks=3) if method is EDSR else rcan_layout(scale, groups=2, blocks=3))
    theirs, lr = basicsr(state, blocks=3), picture(9, 7)
    assert len(theirs) == len(state) - 4
    assert "conv_after_body.weight" in theirs
    ours = saved(tmp_path / "official.pt", state), saved(tmp_path / "basicsr.pth", {"params": theirs})
    results = [fitted(method(checkpoint=path, self_ensemble=False), scale, lr)(lr) for path in ours]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "half", "parallel", "training"])
def test_every_form_of_file_gives_the_same(tmp_path: Path, form: str) -> None:
    state, lr = weights(edsr_layout(2, blocks=1)), picture(6, 5)
    if form == "half":
        state = {name: tensor.half() for name, tensor in state.items()}
    path = tmp_path / "edsr.pt"
    if form == "safetensors":
        from safetensors.torch import save_file

        path = tmp_path / "edsr.safetensors"
        save_file(state, path)
    elif form == "parallel":
        saved(path, {f"module.{name}": tensor for name, tensor in state.items()})
    elif form == "training":
        saved(path, {"epoch": 3, "params": {"head.0.weight": torch.zeros(1)}, "params_ema": state, "optimizer": {"lr": 1e-4}})
    else:
        saved(path, state, _use_new_zipfile_serialization=form != "legacy")
    sr = fitted(EDSR(checkpoint=path, self_ensemble=False), 2, lr)(lr)
    expected = Equations({name: tensor.float() for name, tensor in state.items()}, 2).edsr(lr, blocks=1, scaling=1)
    assert np.abs(sr - expected).max() < (1e-3 if form == "half" else 1e-5) * np.abs(expected).max()


@pytest.mark.parametrize("method", [EDSR, RCAN])
def test_the_self_ensemble_is_the_mean_over_flips_and_turns(tmp_path: Path, method: Any) -> None:
    state, lr = weights(edsr_layout(2) if method is EDSR else rcan_layout(2)), picture(9, 6)
    path = saved(tmp_path / "net.pt", state)
    alone, plus = (fitted(method(checkpoint=path, self_ensemble=on), 2, lr) for on in (False, True))

    result = plus(lr)
    expected = np.zeros_like(result)
    for image, undo in ((lr, lambda x: x), (lr[:, ::-1], lambda x: x[:, ::-1])):
        for turns in range(4):
            expected += undo(np.rot90(alone(np.rot90(image, turns)), -turns)) / 8
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)

    for flipped in (lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x.transpose(1, 0, 2), np.rot90):
        turned = plus(np.ascontiguousarray(flipped(lr)))
        assert np.abs(turned - flipped(result)).max() < 1e-5
        assert np.abs(alone(np.ascontiguousarray(flipped(lr))) - flipped(alone(lr))).max() > 1e-2


def test_the_self_ensemble_leaves_the_image_alone() -> None:
    image = picture(4, 6)
    kept = image.copy()
    result = NetworkUpscaler(lambda x: x.mul_(255).div(255), "cpu", self_ensemble=True, halo=None)(image)
    assert np.array_equal(image, kept)
    np.testing.assert_allclose(result, image, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_tails_strips_change_nothing(monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    net = official.edsr(Weights(Path("x"), weights(edsr_layout(scale, blocks=1))), scale)
    image = torch.rand(1, 3, 29, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = net(image)
        monkeypatch.setattr(network, "STRIP_PX", 1)
        monkeypatch.setattr(network, "STRIP_ROWS", 3)
        strips = net(image)
    assert (strips - whole).abs().max() < 1e-5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_edsrs_tiles_equal_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    lr = picture(50, 70)
    path = saved(tmp_path / "edsr.pt", weights(edsr_layout(scale, blocks=3)))
    upscaler = fitted(EDSR(checkpoint=path), scale, lr)
    assert upscaler.halo == 1 + 2 * 3 + 1 + 2
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(tiling, "TILE_SR_PX", 20 * scale)
    tiled = tiling.upscale(upscaler, lr, scale, np.uint16, lambda *done: calls.append(done))
    whole = upscaler(lr)
    assert len(calls) == 2 * 4  # round(50 / 20) by round(70 / 20)
    assert np.abs(tiled / 65535 - whole.clip(0, 1)).max() < 2 / 65535
    assert float(np.mean((whole > 0) & (whole < 1))) > 0.1  # clipping hides little


def test_edsrs_halo_is_no_larger_than_its_reach(tmp_path: Path) -> None:
    lr = picture(31, 40)
    upscaler = fitted(EDSR(checkpoint=saved(tmp_path / "edsr.pt", weights(edsr_layout(2, blocks=3))), self_ensemble=False), 2, lr)
    changed = lr.copy()
    changed[:, 20:] = 1 - changed[:, 20:]
    differs = np.abs(upscaler(changed) - upscaler(lr)).max(axis=(0, 2)) > 0
    # To the right of an LR pixel lies its right half; the tail at x2 then looks at 1.5 LR pixels, rounded up to 2.
    assert upscaler.halo == 20 - int(np.argmax(differs)) // 2


def test_rcan_sees_the_whole_image_while_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method, run = RCAN(checkpoint=saved(tmp_path / "rcan.pt", weights(rcan_layout(2))), self_ensemble=False), Run()
    lr = picture(40, 50)
    monkeypatch.setattr(official, "MAX_WHOLE_PX", 40 * 50)
    assert fitted(method, 2, lr, run).halo is None
    assert run.warnings == []

    monkeypatch.setattr(official, "MAX_WHOLE_PX", 40 * 50 - 1)
    upscaler = fitted(method, 2, lr, run)
    assert upscaler.halo == 32
    assert len(run.warnings) == 1
    assert "RCAN looks at the whole image, but 50 x 40 pixels are too many at once (at most 1,999)" in run.warnings[0]
    monkeypatch.setattr(tiling, "TILE_SR_PX", 40)
    assert tiling.upscale(upscaler, lr, 2).shape == (80, 100, 3)


def test_a_step_of_a_pipeline(tmp_path: Path) -> None:
    state = weights(edsr_layout(2, blocks=1))
    # The blocks and the tail add only the mean, so the result is a flat image of that colour.
    state = {name: tensor if "mean" in name else torch.zeros_like(tensor) for name, tensor in state.items()}
    method = EDSR.model_validate(
        {"checkpoint": saved(tmp_path / "edsr.pt", state).name, "self_ensemble": True}, context={"base": tmp_path}
    )
    lr = np.zeros((7, 9, 3), np.uint8)
    outcome = perform(Task("upscale", method, 2, StepInputs(lr=lr, kernel=Kernel.bicubic(2)), seed="ab", kernel_seed="cd"))
    assert outcome.warnings == []
    np.testing.assert_array_equal(outcome.arrays["sr"], np.broadcast_to(np.uint8([114, 111, 103]), (14, 18, 3)))


# Files that are refused.


class Code:
    """Writes a file when it is unpickled by an unsafe reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def torchscript(path: Path) -> Path:
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 2, 2)), path)
    return path


def refusal(method: type[EDSR | RCAN | Spandrel], path: Path, scale: int = 2) -> str:
    with pytest.raises(BlindSRError) as caught:
        method(checkpoint=path).fit(picture(4, 4), Kernel.bicubic(scale), Run())
    text = str(caught.value)
    named = f"{path.resolve()}: "
    assert text.startswith(named)
    assert "\n" not in text
    return text.removeprefix(named)


def test_a_missing_file_is_reported_while_the_pipeline_is_read(tmp_path: Path) -> None:
    for method in (EDSR, RCAN, Spandrel):
        with pytest.raises(ValidationError, match=r"no such file: .*absent\.pt"):
            method.model_validate({"checkpoint": "absent.pt"}, context={"base": tmp_path})


@pytest.mark.parametrize("method", [EDSR, RCAN])
@pytest.mark.parametrize(("has", "asked"), [(2, 4), (3, 2), (4, 2), (4, 3)])
def test_another_scale_is_refused(tmp_path: Path, method: Any, has: int, asked: int) -> None:
    path = saved(tmp_path / "net.pt", weights(edsr_layout(has) if method is EDSR else rcan_layout(has)))
    text = f"this {method.__name__} is for x{has}, and asked for is x{asked}: take the checkpoint for x{asked}"
    assert refusal(method, path, asked) == text


def test_x8_is_named_too(tmp_path: Path) -> None:
    state = weights(edsr_layout(4) | conv("tail.0.4", 8, 32))
    assert refusal(EDSR, saved(tmp_path / "net.pt", state), 4).startswith("this EDSR is for x8, and asked for is x4")


def test_another_network_is_refused_by_name(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "a.pt", weights(edsr_layout(2))), saved(tmp_path / "b.pt", weights(rcan_layout(2)))
    assert refusal(RCAN, one) == "expected a checkpoint of RCAN, but it looks like EDSR; `edsr` is for those"
    assert refusal(EDSR, other) == "expected a checkpoint of EDSR, but it looks like RCAN; `rcan` is for those"
    swin = {"conv_first.weight": torch.ones(1), "layers.0.residual_group.blocks.0.norm1.weight": torch.ones(1)}
    swin["conv_after_body.weight"] = torch.ones(1)
    text = refusal(EDSR, saved(tmp_path / "c.pth", {"params": swin}))
    assert text == "expected a checkpoint of EDSR, but it looks like SwinIR; `spandrel` is for those"
    alien = {"a\x1b[31m": torch.ones(1), "b": torch.ones(1), "c": torch.ones(1)}
    text = refusal(EDSR, saved(tmp_path / "d.pth", alien))
    assert text == "expected a checkpoint of EDSR, but its entries are another network's (a?[31m, b, ...)"


@pytest.mark.parametrize("name", ["srmd_x2.pth", "srmdnf_x4.pth"])
def test_the_official_srmd_is_recognised(shared: Path, name: str) -> None:
    text = refusal(EDSR, shared / "weights" / name)
    assert text == "expected a checkpoint of EDSR, but it looks like SRMD; `srmd` is for those"


def test_variants_of_a_network_are_refused(tmp_path: Path) -> None:
    state = weights(rcan_layout(2, groups=2, blocks=3))
    what = "an RCAN of 2 groups, 3 blocks each, and 8 channels"

    def text(changed: State) -> str:
        return refusal(RCAN, saved(tmp_path / "net.pt", changed))

    assert text(state | {"la.gamma": torch.ones(1)}) == (
        f"la.gamma is no part of {what}, which it looks like otherwise: a variant of that network?"
    )
    lacking = {name: tensor for name, tensor in state.items() if name != "body.1.body.2.body.2.bias"}
    assert text(lacking) == f"body.1.body.2.body.2.bias is missing from what looks like {what}"
    grey = state | {"head.0.weight": torch.ones(8, 1, 3, 3)}
    assert text(grey) == f"head.0.weight has the shape (8, 1, 3, 3); expected (8, 3, 3, 3), as of {what}"
    assert "tail.0 is not the upsampler" in text(state | {"tail.0.0.weight": torch.ones(40, 8, 3, 3)})
    for odd in ("head.0.weight", "tail.0.0.weight", "body.0.body.0.body.3.conv_du.0.weight"):
        text(state | {odd: torch.tensor(1.0)})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    state = weights(edsr_layout(2))
    state["body.1.body.0.weight"][0, 0, 0, 0] = value
    assert refusal(EDSR, saved(tmp_path / "net.pt", state)).startswith("body.1.body.0.weight has values that are NaN or infinite")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("method", [EDSR, RCAN, Spandrel])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, method: Any, legacy: bool) -> None:
    ran = tmp_path / "ran"
    path = saved(tmp_path / "net.pt", {"weights": Code(ran)}, _use_new_zipfile_serialization=not legacy)
    pickle.loads(pickle.dumps(Code(ran)))
    assert ran.exists()  # an unsafe reader would run it
    ran.unlink()
    assert re.match(r"is refused: to load it would run Python code \((\w+\.)?exec\)", refusal(method, path))
    assert not ran.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    text = refusal(EDSR, saved(tmp_path / "net.pt", torch.nn.Conv2d(3, 3, 1)))
    assert text.startswith("is refused: to load it would run Python code (torch.nn.modules.conv.Conv2d)")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    for content in (b"", b"hello, this is text\n", b"\x89PNG\r\n\x1a\n" + bytes(99), pickle.dumps({"a": 1}), bytes(1000)):
        path.write_bytes(content)
        assert refusal(EDSR, path).startswith("is not a PyTorch checkpoint, or damaged")
        renamed = tmp_path / "net.safetensors"
        renamed.write_bytes(content)
        assert refusal(EDSR, renamed) == "is not a safetensors file, or damaged"
    assert refusal(EDSR, saved(path, {"epoch": 3})).startswith("holds no weights")
    assert refusal(EDSR, saved(path, [torch.ones(1)])).startswith("holds no weights")
    assert refusal(EDSR, torchscript(path)).startswith("is a TorchScript program")
    assert "is not a plain tensor" in refusal(EDSR, saved(path, {"a": torch.eye(3).to_sparse()}))


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files_are_refused(tmp_path: Path, legacy: bool) -> None:
    buffer = io.BytesIO()
    torch.save(weights(edsr_layout(2, blocks=1)), buffer, _use_new_zipfile_serialization=not legacy)
    content, path = buffer.getvalue(), tmp_path / "net.pt"
    for part in np.linspace(0.02, 0.98, 13):
        path.write_bytes(content[: int(part * len(content))])
        assert refusal(EDSR, path).startswith("is not a PyTorch checkpoint, or damaged")


def test_the_declaration_loads_nothing_heavy() -> None:
    code = (
        "import sys, blindsr_pretrained; sys.exit(', '.join({'numpy', 'torch', 'safetensors', 'spandrel'} & set(sys.modules)) or 0)"
    )
    folder = Path(blindsr_pretrained.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": f"{folder}:{folder.parent}"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# Networks that spandrel loads.


@pytest.fixture(scope="module")
def spandrel() -> Any:
    """The package, if it is installed with a matching torchvision: one for another torch fails with a RuntimeError."""
    try:
        import spandrel
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"needs spandrel and torchvision: {error}")
    assert torchvision.__version__
    return spandrel


@pytest.mark.parametrize("missing", ["spandrel", "torchvision"])
def test_a_missing_spandrel_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "torchvision":  # as spandrel fails without torchvision, or with one for another torch
        package = tmp_path / "spandrel.py"
        package.write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
        monkeypatch.syspath_prepend(tmp_path)
        for name in [name for name in sys.modules if name.split(".")[0] == "spandrel"]:
            monkeypatch.delitem(sys.modules, name)
    else:
        monkeypatch.setitem(sys.modules, "spandrel", None)
    path = saved(tmp_path / "net.pt", weights(rcan_layout(2)))
    with pytest.raises(BlindSRError, match=r"torchvision that fits torch: install blindsr\[pretrained\] \(.+\)$"):
        Spandrel(checkpoint=path).fit(picture(4, 4), Kernel.bicubic(2), Run())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_spandrels_rcan_and_ours_agree(spandrel: Any, tmp_path: Path, scale: int) -> None:
    path, lr = saved(tmp_path / "rcan.pt", weights(rcan_layout(scale, channels=16, squeezed=1))), picture(20, 14)
    ours, theirs = (fitted(method(checkpoint=path, self_ensemble=False), scale, lr)(lr) for method in (RCAN, Spandrel))
    assert np.abs(ours.clip(0, 1) - theirs).max() < 1e-5
    assert float(np.mean((ours > 0) & (ours < 1))) > 0.1
    np.testing.assert_array_equal(lr, picture(20, 14))


def test_spandrels_networks_are_checked(spandrel: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "rcan.pt", weights(rcan_layout(4)))
    assert refusal(Spandrel, path) == "this RCAN is for x4, and asked for is x2: take a checkpoint for x2"
    alien = saved(tmp_path / "alien.pt", {"a": torch.ones(1), "b": torch.ones(1)})
    assert refusal(Spandrel, alien) == f"spandrel {spandrel.__version__} knows no network with such entries (a, b, ...)"
    lacking = {name: tensor for name, tensor in weights(rcan_layout(2)).items() if name != "tail.1.bias"}
    assert refusal(Spandrel, saved(tmp_path / "lacking.pt", lacking)).startswith("spandrel cannot load it (")


def test_how_spandrels_networks_are_cut(spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        class architecture:  # noqa: N801
            name = "SwinIR"

    monkeypatch.setattr(foreign, "MAX_WHOLE_PX", 99)
    small, large = picture(9, 11), picture(10, 10)
    for tiling_of_it, halo, warnings in (("SUPPORTED", 32, 0), ("DISCOURAGED", 32, 1), ("INTERNAL", None, 0)):
        Model.tiling = spandrel.ModelTiling[tiling_of_it]  # type: ignore[attr-defined]
        run = Run()
        assert foreign.halo(Model, small, run) is None
        assert foreign.halo(Model, large, run) == halo
        assert len(run.warnings) == warnings
