"""The commands of AWS's command line that documents, workflows and messages name exist, with their parameters.

AWS's own models (botocore) say which operations there are, and what each takes and requires.
"""

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from botocore import xform_name
from botocore.session import Session

from tests.documents.pages import README, ROOT, RUNBOOK, code_spans, text

_EVERYWHERE: Final = {"query", "output", "region", "profile"}
_BY_HAND: Final = {
    ("cloudformation", "deploy"): {"stack-name", "template-file", "capabilities", "parameter-overrides"},
    ("configure", "get"): set[str](),
    ("ecr", "get-login-password"): set[str](),
    ("s3", "mb"): set[str](),
    ("s3", "rb"): {"force"},
    ("sso", "login"): set[str](),
}
"""Commands that the command line makes of several operations, or of none, with those of their options that are used."""
_ENDS: Final = frozenset("();<>|&`")
"""Characters that end a command in a shell."""
_SESSION: Final = Session()


def sources() -> Iterator[tuple[str, str]]:
    """Yield each file that names commands, and what of it is code."""
    for page in (README, RUNBOOK):
        blocks = re.findall(r"^```sh\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)
        yield page, "\n".join([*blocks, *code_spans(page)])
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        yield path.name, path.read_text()
    for path in sorted((ROOT / "scripts" / "deploy").glob("*.py")):
        joined = re.sub(r'"\n\s*f?"', "", path.read_text())
        yield path.name, "\n".join(re.findall(r"`[^`\n]+`", joined))


def commands(code: str) -> Iterator[list[str]]:
    """Yield the words of each command behind `aws`, up to what ends a command in a shell."""
    for found in re.finditer(r"(?<![\w./-])aws (?=[a-z])(.*)", re.sub(r"\\\n\s*", " ", code)):
        lexer = shlex.shlex(found[1], posix=True, punctuation_chars="".join(_ENDS))
        lexer.whitespace_split = True
        yield list(itertools.takewhile(lambda word: not set(word) & _ENDS, lexer))


def check(words: list[str]) -> None:
    """Fail unless a command exists with the options that it is given and no other that it requires."""
    (service, operation), given = words[:2], options(words)
    if (service, operation) in _BY_HAND:
        assert given.keys() <= _BY_HAND[service, operation] | _EVERYWHERE, words
        return
    if operation == "wait":
        waiters = {xform_name(name, "-"): name for name in _SESSION.get_waiter_model(service).waiter_names}
        operation = xform_name(_SESSION.get_waiter_model(service).get_waiter(waiters[words[2]]).operation, "-")
    model = _SESSION.get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names, words
    shape = model.operation_model(names[operation]).input_shape
    members = {xform_name(name, "-"): member for name, member in shape.members.items()} if shape else {}
    switches = {f"no-{name}": member for name, member in members.items() if member.type_name == "boolean"}
    assert given.keys() <= members.keys() | switches.keys() | _EVERYWHERE, words
    assert {xform_name(name, "-") for name in (shape.required_members if shape else ())} <= given.keys(), words
    for name, value in given.items():
        enum = getattr(members.get(name), "enum", None)
        assert not enum or value in enum or value.startswith("$"), words


def options(words: list[str]) -> dict[str, str]:
    """Return the options of a command with their first values; empty for those without one."""
    following = [*words[1:], ""]
    return {
        word[2:]: "" if value.startswith("--") else value
        for word, value in zip(words, following, strict=True)
        if word.startswith("--")
    }


@pytest.mark.parametrize(("name", "code"), [pytest.param(*each, id=each[0]) for each in sources()])
def test_every_command_of_aws_exists_with_what_it_is_given(name: str, code: str) -> None:
    found = [words for words in commands(code) if len(words) > 1]
    assert found or name != RUNBOOK
    for words in found:
        check(words)


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in (
        "sqs purge-queues --queue-url $Url",
        "sqs purge-queue",
        "sqs purge-queue --queue $Url",
        "cloudformation create-change-set --stack-name a --change-set-name b --change-set-type MOVE",
        "s3 rb s3://bucket --all",
    ):
        with pytest.raises(AssertionError):
            check(shlex.split(wrong))


def test_the_runbook_begins_with_the_settings_of_a_stack(tmp_path: Path) -> None:
    """Its first lines can be pasted into a shell: they make variables of what describe-stacks prints as text."""
    block = re.findall(r"^```sh\n(.*?)^```$", text(RUNBOOK), re.MULTILINE | re.DOTALL)[0]
    aws = tmp_path / "aws"
    aws.write_text(
        "#!/bin/sh\nprintf 'TableName\\tshop-Table-1\\nQueueName\\tshop-notices\\nSigningKeysSecret\\tarn:aws:x\\n'\n"
    )
    aws.chmod(0o700)
    lines = [line for line in block.splitlines() if line.startswith("export ")]
    script = "\n".join([*lines, 'echo "$VITRINA_TABLE_NAME $VITRINA_QUEUE_NAME $VITRINA_SIGNING_KEYS_SECRET"'])
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True, env=path)
    assert done.stdout == "shop-Table-1 shop-notices arn:aws:x\n"
