"""What every test may use, and the rule that a CI run skips nothing."""

import os
from collections.abc import Iterator

import pytest
from comfy_harness.server import ComfyServer


@pytest.fixture(scope="session")
def comfy_server() -> Iterator[ComfyServer]:
    """A running ComfyUI with this project among its custom nodes, shared by all tests."""
    with ComfyServer() as server:
        yield server


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    """The skipped tests, in a CI run only: a machine that is made for the tests lacks nothing."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats.get("skipped", []) if reporter and os.environ.get("CI") else []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for report in _skipped(config):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"FAILED for skipping in CI: {report.nodeid}: {reason}", red=True)
