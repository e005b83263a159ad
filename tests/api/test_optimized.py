"""`python -OO` strips docstrings: the document has no summaries, and nothing else changes."""

import subprocess
import sys
from typing import Any

import orjson

from tests.api.openapi.released import RELEASED, contract
from vitrina.api.http.problems import TABLE, describe
from vitrina.api.openapi.components import sample

_PRINT = """
import orjson
from vitrina.api.http.problems import TABLE, describe
from vitrina.api.openapi.components import sample
from vitrina.api.openapi.document import document
from vitrina.cli.api import declared_routes

assert False, "stripped by -OO"
problems = {row.code: describe(sample(error), instance="/") for error, row in TABLE.items()}
print(orjson.dumps({"document": document(declared_routes()), "problems": problems}).decode())
"""


def test_problems_and_the_contract_do_not_depend_on_docstrings() -> None:
    done = subprocess.run([sys.executable, "-OO", "-c", _PRINT], capture_output=True, check=True, text=True)
    optimized: dict[str, Any] = orjson.loads(done.stdout)
    assert optimized["problems"] == {row.code: describe(sample(error), instance="/") for error, row in TABLE.items()}
    assert contract(optimized["document"]) == orjson.loads(RELEASED.read_bytes())
    assert optimized["document"]["paths"]["/v1/products"]["get"]["summary"] == ""
