"""The checks of the gate, on several Python versions and with several sets of dependencies: ``nox --list``.

``nox -s lint typing coverage`` is what a pull request needs; ``nox`` runs everything, and skips Python versions that are not
installed. Arguments after ``--`` go to pytest: ``nox -s tests-3.12 -- -m "not slow"``.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13"]

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, with the versions of constraints.txt."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The tests, with the newest versions that the dependencies allow."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0], venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """The tests, with the lowest versions that pyproject.toml declares."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def coverage(session: nox.Session) -> None:
    """The tests with a coverage report, also as htmlcov/index.html."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("pytest", "--cov", "--cov-report=term", "--cov-report=html", *session.posargs)


@nox.session(python=PYTHONS[0])
def lint(session: nox.Session) -> None:
    """Style, format, and the layers of the packages."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(python=PYTHONS[0])
def typing(session: nox.Session) -> None:
    """Types, strictly."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("mypy")
