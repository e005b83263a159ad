"""An installation works on AWS as it is simulated here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws_simulator.profile import aws
from tests.aws_simulator.proxy import in_thread, simulate
from tests.e2e import test_story as story
from tests.e2e.test_story import installed

__all__ = ["installed"]


@pytest.fixture(scope="module")
def environment(dynamodb_local: str) -> Iterator[dict[str, str]]:
    """The environment of an installation on AWS."""
    with in_thread(simulate(dynamodb_local, aws())) as urls:
        yield story.variables(urls.dynamodb)


async def test_an_installation_works_from_setup_to_shutdown(installed: dict[str, str], tmp_path: Path) -> None:
    await story.test_an_installation_works_from_setup_to_shutdown(installed, tmp_path, "1")
