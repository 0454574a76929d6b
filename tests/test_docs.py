"""The documentation: its Python and YAML examples, its commands, options, parameters and links are tried or looked up."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from blindsr_training.__main__ import main as trainings
from click.testing import CliRunner, Result
from PIL import Image

import blindsr
from blindsr.cli import cli

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNABLE = [document for document in DOCUMENTS if document.name != "plugin-tutorial.md"]  # its own test installs its plugin
IDS = [document.name for document in DOCUMENTS]

OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
PLACEHOLDER = re.compile(r"\.\.\.|[\[\]<>|]|\bHOST\b|\bPIPELINE\b|\bCOMMAND\b")
FOREIGN_OPTIONS = {"--nworkers", "--nthreads", "--no-nanny", "--python"}  # of dask and nox, which the text mentions
QUICK = """\
name: {name}
scale: 2
data: {{sample: astronaut}}
degradation: random_kernel
methods:
  Bicubic interpolation: {{type: 1, sr: bicubic}}
  KernelGAN + ZSSR: {{type: 3, kernel: bicubic, sr: bicubic, published: kernelgan_zssr}}
"""


class Block(NamedTuple):
    """A fenced block: its language (empty if none), its text, and the line it starts at."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command line: the whole text, comments included, and the line that it is at."""

    text: str
    line: int


def _blocks(document: Path) -> list[Block]:
    text = document.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in found]


def _spans(document: Path) -> list[Command]:
    """The code spans in a document's text."""
    text = re.sub(r"^```.*?^```", lambda match: "\n" * match[0].count("\n"), document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [
        Command(" ".join(match[1].split()), text.count("\n", 0, match.start()) + 1) for match in re.finditer(r"`([^`]+)`", text)
    ]


def _commands(document: Path, program: str = "blindsr") -> list[Command]:
    """The commands in the blocks of a document, one for each line; lines that are indented continue one."""
    found: list[Command] = []
    for block in _blocks(document):
        if block.language not in ("", "shell", "bash", "console"):
            continue
        for number, line in enumerate(block.text.splitlines()):
            match = re.search(rf"(?:^|&& )(?:\.venv/bin/)?({program} .*)", line)
            if match:
                found.append(Command(match[1], block.line + number))
            elif line.startswith("    ") and found and found[-1].line == block.line + number - 1:
                found[-1] = Command(f"{found[-1].text} {line.strip()}", block.line + number)
    return found


def _options(command: click.Command) -> set[str]:
    if isinstance(command, click.Group) and command is not cli:
        return set().union(*(_options(inner) for inner in command.commands.values()))
    return {"--help", *(name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts))}


def _without_quotes(text: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'", "''", text)


def _benchmark_options(place: str = "") -> set[str]:
    """The options of a benchmark, a script or a folder, or of all of them."""
    path = ROOT / "benchmarks" / place
    scripts = path.rglob("*.py") if path.is_dir() else [path]
    return {option for script in scripts for option in re.findall(r"add_argument\(\s*\"(--[\w-]+)\"", script.read_text())}


ALL_OPTIONS = {"--version", *_options(cli)}.union(*(_options(command) for command in cli.commands.values()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_commands_and_options_exist(document: Path) -> None:
    wrong = []
    for command in [*_commands(document), *(span for span in _spans(document) if span.text.startswith("blindsr "))]:
        words = command.text.split()[1:]
        name = next((word for word in words if not word.startswith("-") and not PLACEHOLDER.search(word)), None)
        used = set(OPTION.findall(_without_quotes(command.text)))
        if name is None:
            known = ALL_OPTIONS
        elif name in cli.commands:
            known = _options(cli.commands[name]) | _options(cli)
        else:
            wrong.append(f"{document.name}:{command.line}: blindsr has no command '{name}'")
            continue
        wrong += [f"{document.name}:{command.line}: blindsr {name} has no option {option}" for option in sorted(used - known)]
    assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_options_in_the_text_exist(document: Path) -> None:
    known = (ALL_OPTIONS | _benchmark_options()).union(FOREIGN_OPTIONS, *(_options(c) for c in trainings.commands.values()))
    named = [(span.line, OPTION.match(span.text)) for span in _spans(document) if span.text.startswith("--")]
    assert not [f"{document.name}:{line}: {option[0]}" for line, option in named if option and option[0] not in known]


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_benchmarks_have_the_options(document: Path) -> None:
    for name in re.findall(r"python benchmarks/([\w./]+)", document.read_text()):
        commands = _commands(document, f"python benchmarks/{name}")
        used = {option for command in commands for option in OPTION.findall(_without_quotes(command.text.split(" #")[0]))}
        assert not used - _benchmark_options(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert not [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_components_in_the_text_have_the_parameters(document: Path) -> None:
    listed = CliRunner().invoke(cli, ["plugins"]).stdout
    parameters: dict[str, set[str]] = {}
    for match in re.finditer(r"^ {2}(\w+) .*\n((?: {4}.*\n)*)", listed, flags=re.MULTILINE):
        parameters.setdefault(match[1], set()).update(re.findall(r"^ {4}(\w+) = ", match[2], flags=re.MULTILINE))
    assert parameters["kernelgan"] >= {"iterations", "edge_shave"}
    named = re.findall(r"\{(\w+): \{(\w+): ", " ".join(span.text for span in _spans(document)))
    named = [(component, name) for component, name in named if component != "name"]  # the general form
    assert not [(component, name) for component, name in named if name not in parameters.get(component, ())]


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", sorted({name for document in DOCUMENTS for name in re.findall(r"python -m (blindsr[\w.]*)", document.read_text())})
)
def test_modules_that_are_run_have_the_options(module: str) -> None:
    options: dict[str, set[str]] = {}  # by the subcommand, empty where there is none
    for document in DOCUMENTS:
        for command in _commands(document, f"python -m {module}"):
            subcommand = re.match(rf"python -m {re.escape(module)} ([a-z]+) ", command.text)
            options.setdefault(subcommand[1] if subcommand else "", set()).update(OPTION.findall(command.text))
    for subcommand, used in options.items():
        asked = [sys.executable, "-m", module, *subcommand.split(), "--help"]
        shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert not used - set(OPTION.findall(shown)) - {"-m"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_files_of_the_checkout_exist(document: Path) -> None:
    named = re.findall(
        r"\b(?:blindsr|benchmarks|docs|pipelines|plugins|tests)/[\w./]*\w", "\n".join(span.text for span in _spans(document))
    )
    named += re.findall(r"python (benchmarks/[\w./]+)", document.read_text())
    real = [path for path in named if not re.search(r"[A-Z]{3}", path)]  # NAME and PACKAGE stand for others
    assert not [path for path in real if not (ROOT / path).exists()]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with every file that the documents name, small, and with results under the names that they use."""
    from skimage import data

    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    for name in ("PHOTOS", "kernels"):
        (folder / name).mkdir()
    photograph = data.chelsea()
    for name in ("photo1.jpg", "photo2.png", "photo.jpg", "photo.png"):
        Image.fromarray(photograph[60:220, 100:300]).save(folder / name)
    for name, rows in (("a", 0), ("b", 100)):
        Image.fromarray(photograph[rows : rows + 192, 80:336]).save(folder / "PHOTOS" / f"{name}.png")
    shutil.copytree(folder / "PHOTOS", folder / "SHARP")
    blindsr.Kernel.bicubic(2).save(folder / "kernels" / "astronaut.mat")
    for name in ("my", "table1", "kernelgan_zssr"):
        (folder / f"{name}.yaml").write_text(QUICK.format(name=name))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _succeeds("degrade", "PHOTOS", "--output", "DIV2KRK")
        for name in ("set14rk", "urban5rk"):
            shutil.copytree(folder / "DIV2KRK", folder / name)
        for scale, name in (("2", "DIV2KRK"), ("4", "DIV2KRK"), ("2", "set14rk"), ("2", "urban5rk"), ("4", "urban5rk")):
            _succeeds("run", "table1.yaml", "--data", name, "--scale", scale, "--limit", "1", *QUICKLY)
        _succeeds("run", "kernelgan_zssr.yaml", *QUICKLY)
        (folder / "kernelgan_zssr.yaml").unlink()  # the bundled pipeline is meant by this name
        yield folder


QUICKLY = ("--workers", "0", "--device", "cpu")


def _succeeds(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, f"blindsr {shlex.join(arguments)}\n{result.output}"
    return result


def _quickly(arguments: list[str]) -> list[str]:
    """A documented command, made quick: a run of a bundled pipeline is only planned, and KernelGAN trains for two steps."""
    match arguments:
        case ["run", pipeline, *_] if (pipeline.startswith("pipelines/") or "." not in pipeline) and "--dry-run" not in arguments:
            return [*arguments, "--dry-run"]
        case ["run", *_]:
            return [*arguments, *QUICKLY]
        case ["estimate", *_] if "kernelgan" in arguments:
            return [*arguments, "--set", "iterations=2"]
    return arguments


@pytest.mark.slow
@pytest.mark.parametrize("document", RUNNABLE, ids=[document.name for document in RUNNABLE])
def test_commands_work(document: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sandbox)
    for command in _commands(document):
        arguments = shlex.split(command.text, comments=True)[1:]
        if not PLACEHOLDER.search(" ".join(arguments)):
            result = CliRunner().invoke(cli, _quickly(arguments))
            assert result.exit_code == 0, f"{document.name}:{command.line}: {command.text}\n{result.output}"


@pytest.mark.parametrize("document", RUNNABLE, ids=[document.name for document in RUNNABLE])
def test_pipelines_can_be_planned(document: Path, sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sandbox)
    for block in _blocks(document):
        if block.language == "yaml" and re.search(r"^methods:", block.text, flags=re.MULTILINE):
            (sandbox / "example.yaml").write_text(block.text)
            planned = _succeeds("run", "example.yaml", "--dry-run")
            assert "Traceback" not in planned.output


def _missing_modules(code: str) -> list[str]:
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in imported if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in imported if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    names += ["pandas"] if "to_pandas" in code else []
    return [name for name in names if importlib.util.find_spec(name.split(".")[0]) is None]


@pytest.mark.slow
@pytest.mark.parametrize("document", RUNNABLE, ids=[document.name for document in RUNNABLE])
def test_python_examples_work(document: Path, sandbox: Path) -> None:
    """The examples of a document, as one script; those whose modules are not installed (of clusters, say) must only be Python."""
    codes = [block.text for block in _blocks(document) if block.language == "python"]
    code = "\n".join(code for code in codes if not _missing_modules(code))
    script = sandbox / "example.py"
    script.write_text(code)
    ran = subprocess.run([sys.executable, script], cwd=sandbox, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_version_is_the_same_everywhere() -> None:
    assert f"\nversion: {blindsr.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{blindsr.__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_the_examples_are_found() -> None:
    """A document in another style than the patterns above expect would pass untried."""
    assert {command.text.split()[1] for command in _commands(ROOT / "README.md")} >= {"run", "estimate", "table"}
    assert {command.text.split()[1] for command in _commands(ROOT / "docs/guide.md")} >= {"run", "degrade", "table"}
    assert {block.language for block in _blocks(ROOT / "docs/guide.md")} >= {"python", "yaml"}
