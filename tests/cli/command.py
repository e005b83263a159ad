"""`vitrina` called in the process of the tests, with settings for an engine."""

import structlog
from click.testing import CliRunner, Result

from vitrina.__main__ import main


def settings(engine: str, table_name: str) -> dict[str, str]:
    """Return the environment variables for a table of an engine."""
    return {
        "VITRINA_ENVIRONMENT": "development",
        "VITRINA_WRITER_ENDPOINT": engine,
        "VITRINA_TABLE_NAME": table_name,
        "VITRINA_BCRYPT_COST": "4",
        "VITRINA_CONNECT_TIMEOUT": "10",
        "VITRINA_READ_TIMEOUT": "20",
    }


class Vitrina:
    """The command line with environment variables."""

    def __init__(self, **environment: str) -> None:
        self.environment = environment

    def __call__(self, *arguments: str, typed: str | None = None, **environment: str) -> Result:
        """Run a command with `typed` on standard input; returns exit code and output."""
        before = structlog.get_config()
        try:
            return CliRunner().invoke(main, arguments, input=typed, env=self.environment | environment)
        finally:
            structlog.configure(**before)
