"""The command ``blindsr doctor``: whether this installation works, and what could be added."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from blindsr import __version__
from blindsr.cli.app import cli, say
from blindsr.errors import described

if TYPE_CHECKING:
    from blindsr.components.registry import Registry

MODULES = {"opencv-python": "cv2", "pillow": "PIL", "ruamel-yaml": "ruamel.yaml", "scikit-image": "skimage"}
"""What is imported of a distribution, where that has another name."""
MIN_FREE_GB = 1.0


class Extra(NamedTuple):
    """An optional extra of the package: the modules that it brings, and what for."""

    modules: tuple[str, ...]
    purpose: str


EXTRAS: Mapping[str, Extra] = {
    "dask": Extra(("distributed",), "runs on a Dask cluster (blindsr run --dask)"),
    "heif": Extra(("pillow_heif",), "HEIC photographs (blindsr upscale, blindsr estimate)"),
    "plot": Extra(("matplotlib",), "plots for papers (blindsr plot)"),
    "pretrained": Extra(("spandrel", "torchvision"), "other people's SR networks (the methods of the plugin pretrained)"),
    "raw": Extra(("rawpy",), "cameras' raw files (blindsr upscale, blindsr estimate)"),
}


class Finding(NamedTuple):
    """One line of the examination. Only ``broken`` is a fault; what is ``absent`` can be added."""

    section: str
    name: str
    state: Literal["ok", "absent", "broken"]
    text: str


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Examine this installation: versions, device, plugins, networks, optional extras, disks.

    The exit code is 1 if something is broken.
    """
    from blindsr.components.registry import Registry

    registry = Registry.discover()
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions, _device, lambda: _plugins(registry), lambda: _networks(registry), _extras, _folders,
    )  # fmt: skip
    findings = [finding for part in parts for finding in part()]
    broken = sum(finding.state == "broken" for finding in findings)
    if as_json:
        click.echo(json.dumps({"healthy": not broken, "findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        for section in dict.fromkeys(finding.section for finding in findings):
            click.secho(section, bold=True)
            for finding in findings:
                if finding.section == section:
                    say(f"  {finding.state:<7} {finding.name:<18} {finding.text}")
        say(f"{broken} broken" if broken else "nothing is broken")
    ctx.exit(1 if broken else 0)


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "python", "ok", f"{platform.python_version()}, {platform.platform()}")
    yield Finding("versions", "blindsr", "ok", f"{__version__}, {Path(__file__).parents[1]}")
    try:
        requirements = [text for text in metadata.requires("blindsr") or () if "extra ==" not in text]
    except metadata.PackageNotFoundError:
        yield Finding("versions", "blindsr", "broken", "is not installed, so no plugin is found; pip install it")
        return
    for requirement in requirements:
        yield _required(requirement)


def _required(requirement: str) -> Finding:
    """Whether a distribution is there, new enough, and can be imported."""
    name, least = re.match(r"([\w.-]+)(?:.*>=\s*([\w.]+))?", requirement).groups()  # type: ignore[union-attr]
    try:
        found = metadata.version(name)
        importlib.import_module(MODULES.get(name, name))
    except metadata.PackageNotFoundError:
        return Finding("versions", name, "broken", f"is missing; pip install '{requirement}'")
    except Exception as error:  # a library that it needs is missing, say
        return Finding("versions", name, "broken", f"{found} cannot be imported ({described(error)})")
    if least and _numbers(found) < _numbers(least):
        return Finding("versions", name, "broken", f"{found} is too old; pip install '{requirement}'")
    return Finding("versions", name, "ok", found)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.split("+", maxsplit=1)[0])]


def _device() -> Iterator[Finding]:
    try:
        import torch
    except Exception:  # told with the versions
        return
    from blindsr.execution.resources import available_cores, fast_dtype

    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    yield Finding("device", "cpu", "ok", f"{available_cores()} cores, {threads} threads, {capability}")
    native = fast_dtype("cpu") == torch.bfloat16
    yield Finding("device", "bfloat16", "ok", "computed by the CPU itself" if native else "only emulated by the CPU")
    if not torch.cuda.is_available():
        yield Finding(
            "device", "cuda", "absent", f"no GPU, or a torch without CUDA ({torch.__version__}); --device auto is the CPU"
        )
    for number in range(torch.cuda.device_count()):
        try:
            about = torch.cuda.get_device_properties(number)
            float(torch.ones(2, device=f"cuda:{number}").sum())
        except Exception as error:  # a driver that does not fit, a GPU that somebody else holds
            yield Finding(
                "device", f"cuda:{number}", "broken", f"cannot compute ({described(error).splitlines()[0]}); use --device cpu"
            )
        else:
            half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
            yield Finding("device", f"cuda:{number}", "ok", f"{about.name}, {about.total_memory / 1e9:.0f} GB, {half}")


def _plugins(registry: Registry) -> Iterator[Finding]:
    offered: dict[str, set[str]] = {}
    for (_, name), entry in registry.entries.items():
        offered.setdefault(entry.source, set()).add(name)
    for source, names in offered.items():
        yield Finding("plugins", source, "ok", ", ".join(sorted(names)))
    for problem in registry.problems:
        yield Finding("plugins", problem.plugin, "broken", f"of {problem.source}: {problem.reason}")


def _networks(registry: Registry) -> Iterator[Finding]:
    """Whether the weights that come with plugins are there."""
    for (_, name), entry in registry.entries.items():
        try:
            component = entry.component()
            files = {file for scale in component.scales for file in component.shipped_weights(scale)}
        except Exception:  # it needs parameters, or other plugins  # noqa: S112
            continue
        if missing := sorted(str(file) for file in files if not file.is_file()):
            text = f"its weights are missing ({', '.join(missing)}); reinstall {entry.source}"
            yield Finding("plugins", name, "broken", text)


def _extras() -> Iterator[Finding]:
    for name, extra in EXTRAS.items():
        missing = []
        for module in extra.modules:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError:
                missing.append(module)
            except Exception as error:
                yield Finding("extras", name, "broken", f"{module} cannot be imported ({described(error)})")
                break
        else:
            remedy = f"; pip install 'blindsr[{name}]'" if missing else ""
            yield Finding("extras", name, "absent" if missing else "ok", f"{extra.purpose}{remedy}")


def _folders() -> Iterator[Finding]:
    """Whether files can be written where they will be: temporary ones, and results of commands in the working directory."""
    for name, find in (("temporary files", tempfile.gettempdir), ("working directory", os.getcwd)):
        try:
            folder = find()
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(4096))
                file.flush()
            free = shutil.disk_usage(folder).free / 1e9
        except OSError as error:
            state: Literal["absent", "broken"] = "absent" if name == "working directory" else "broken"
            yield Finding("folders", name, state, f"cannot be written ({error})")
            continue
        low = free < MIN_FREE_GB
        yield Finding("folders", name, "broken" if low else "ok", f"{folder}, {free:.1f} GB free")
