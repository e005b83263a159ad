"""Fixtures of all tests: the engines, isolation from the environment, and the rules for a run on CI."""

import functools
import logging as standard
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

from tests.engines import CANNOT_RUN, ON_CI, UNPROVEN, Engines
from vitrina import logging

if TYPE_CHECKING:
    from tests.aws_simulator.proxy import Urls

hypothesis.settings.register_profile("patient", deadline=None)  # a pause of the machine must not fail a test
hypothesis.settings.load_profile("patient")

ENGINES = pytest.StashKey[Engines]()
SIMULATED = "aws"
"""The engine that is DynamoDB Local behind tests/aws_simulator."""


@pytest.fixture(scope="session")
def engines(pytestconfig: pytest.Config) -> Engines:
    """All engines."""
    return pytestconfig.stash[ENGINES]


@pytest.fixture(scope="session")
def moto(engines: Engines) -> str:
    """The URL of moto, which needs no Java; for sequential tests only."""
    return engines.url("moto")


@pytest.fixture(scope="session")
def dynamodb_local(engines: Engines) -> str:
    """The URL of DynamoDB Local, the reference for DynamoDB's semantics; MiniStack's where it cannot run."""
    return engines.url("dynamodb_local")


@pytest.fixture(scope="session")
def ministack(engines: Engines) -> str:
    """The URL of MiniStack, the engine of the demo: DynamoDB, its streams, SQS and SES."""
    return engines.url("ministack")


@pytest.fixture(scope="session")
def simulated_aws(engines: Engines) -> Iterator["Urls"]:
    """The endpoints of AWS as tests/aws_simulator makes it; its tables are ready at once."""
    # Imported here, as AWS's libraries are: many runs need neither, and reading them takes most of their start.
    from tests.aws_simulator.control_plane import ControlPlane  # noqa: PLC0415
    from tests.aws_simulator.profile import aws  # noqa: PLC0415
    from tests.aws_simulator.proxy import in_thread, simulate  # noqa: PLC0415

    behaviours = [each for each in aws() if not isinstance(each, ControlPlane)]
    with in_thread(simulate(engines.url("dynamodb_local"), behaviours, queue=engines.url("ministack"))) as urls:
        yield urls


@pytest.fixture(scope="session")
def engine(engines: Engines, request: pytest.FixtureRequest) -> str:
    """The URL of the engine that the test's `engine` mark names; DynamoDB Local's without a mark."""
    if request.param == SIMULATED:
        urls: Urls = request.getfixturevalue("simulated_aws")
        return urls.dynamodb
    return engines.url(request.param)


@pytest.fixture
def table_name() -> str:
    """A unique table name."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def new_credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let AWS clients look for credentials again, where the test sets them by this object."""
    from vitrina import aws  # noqa: PLC0415

    monkeypatch.setattr(aws, "_session", functools.cache(aws._session.__wrapped__))
    return monkeypatch


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    with unchanged_logging():
        yield


@contextmanager
def unchanged_logging() -> Iterator[None]:
    """Restore the logging configuration that a command, a worker or a test has changed."""
    before, handlers, level = structlog.get_config(), standard.root.handlers[:], standard.root.level
    # A separate MonkeyPatch, since a test may undo its own patches.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "_sink", None)
        patch.setattr(logging, "_request_sink", logging._request_sink)
        yield
        logging.shutdown()
    structlog.configure(**before)
    standard.root.handlers[:] = handlers
    standard.root.setLevel(level)
    standard.captureWarnings(capture=False)


def pytest_configure(config: pytest.Config) -> None:
    """Isolate the tests from the developer's settings and AWS account."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "VITRINA_"))]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The engines speak plain HTTP, and each client would read the 140 authorities of certifi, which takes 28 ms.
        "AWS_CA_BUNDLE": str(Path(__file__).with_name("no-authority.pem")),
    }
    config.stash[ENGINES] = Engines(missing=_worker_input(config).get("missing"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare DynamoDB Local once before the workers (`pytest -n`) start, each of which runs its own."""
    if session.config.getoption("tx") and not _worker_input(session.config):
        try:
            session.config.stash[ENGINES].check()
        except CANNOT_RUN as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - pytest-xdist has no types
    """Pass to a worker whether DynamoDB Local can run."""
    node.workerinput["missing"] = node.config.stash[ENGINES].missing


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each engine that its mark names."""
    if "engine" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("engine")
        names = mark.args if mark else ("dynamodb_local",)
        if unknown := set(names) - Engines.kinds.keys() - {SIMULATED}:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: no such engine: {', '.join(unknown)}")
        metafunc.parametrize("engine", names, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first, so that no worker ends the run alone with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start all engines that the chosen tests need at once and in parallel, since Java takes seconds to start.

    A worker does not know which tests it will get, so it starts an engine with the first test that needs it.
    """
    if not session.config.option.collectonly and not _worker_input(session.config):
        needed = {name for item in session.items for name in _engines_of(item)}
        try:
            session.config.stash[ENGINES].start(sorted(needed))
        except CANNOT_RUN as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that require DynamoDB Local where it cannot run."""
    requires_dynamodb_local = item.get_closest_marker("requires_dynamodb_local")
    if requires_dynamodb_local and item.config.stash[ENGINES].missing:
        pytest.skip(f"only DynamoDB Local can prove this: {requires_dynamodb_local.args[0]}")


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Stop the engines; on CI, fail a run that skipped a test."""
    session.config.stash[ENGINES].stop()
    if ON_CI and _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    """Print what this run does not prove, below all other summaries."""
    yield
    if ON_CI and _skipped(config):
        terminalreporter.write_line(f"FAILED: {_skipped(config)} tests were skipped, and CI=true allows none", red=True)
    missing = config.stash[ENGINES].missing
    if missing:
        terminalreporter.section("not proven by this run", yellow=True)
        terminalreporter.write_line(f"DynamoDB Local could not run: {missing}")
        terminalreporter.write_line(f"Its tests ran on MiniStack, which leaves unproven: {'; '.join(UNPROVEN)}.")


def _worker_input(config: pytest.Config) -> dict[str, Any]:
    """Return the input that the controller passes to a pytest-xdist worker; empty in any other process."""
    worker_input: dict[str, Any] = getattr(config, "workerinput", {})
    return worker_input


def _engines_of(item: pytest.Item) -> set[str]:
    if not isinstance(item, pytest.Function):
        return set()
    names = set(item.fixturenames) & Engines.kinds.keys()
    names |= {str(item.callspec.params["engine"])} if "engine" in item.fixturenames else set()
    return names - {SIMULATED} | ({"dynamodb_local", "ministack"} if SIMULATED in names else set())


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", [])) if reporter else 0
