"""`vitrina users`: the only way to create a super_admin (R1)."""

import os
import pty
import subprocess
import sys

import pytest

from tests.cli.command import Vitrina, settings

PASSWORD = "purple monkey dishwasher 9"


@pytest.fixture
def vitrina(engine: str, table_name: str) -> Vitrina:
    """The command line for an empty table."""
    command = Vitrina(**settings(engine, table_name))
    assert command("table", "create").exit_code == 0
    return command


def create(
    vitrina: Vitrina, *, email: str = "sol@example.com", name: str = "Sol", typed: str = PASSWORD
) -> tuple[int, str]:
    """Create a super_admin; returns the exit code and the output."""
    done = vitrina("users", "create-super-admin", "--email", email, "--name", name, typed=typed)
    return done.exit_code, done.output


def test_a_super_admin_is_made_with_a_password_from_standard_input(vitrina: Vitrina) -> None:
    """The first line counts, with any line ending; the output never contains it."""
    for number, typed in enumerate([PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\nmore\n"]):
        code, output = create(vitrina, email=f"sol{number}@example.com", typed=typed)
        assert code == 0, output
        assert output.startswith(f"created super_admin sol{number}@example.com (")
        assert PASSWORD not in output


def test_an_email_that_is_taken_ends_with_1(vitrina: Vitrina) -> None:
    """E-mails are compared without case."""
    assert create(vitrina)[0] == 0
    assert create(vitrina, email="SOL@example.com") == (1, "Error: Another account has this e-mail.\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "the password must have 12 to 128 characters"),
        ("short", "the password must have 12 to 128 characters"),
        ("x" * 129, "the password must have 12 to 128 characters"),
        ("password1234", "the password is too easy to guess"),
        ("sol@example.com", "the password is too easy to guess"),
    ],
)
def test_a_password_that_will_not_do_ends_with_2(vitrina: Vitrina, typed: str, said: str) -> None:
    """Too short, too long, too common, or equal to the account's e-mail."""
    code, output = create(vitrina, typed=typed)
    assert (code, said in output) == (2, True), output
    assert not typed or typed not in output


@pytest.mark.parametrize(
    ("email", "name", "option"),
    [("sol", "Sol", "--email"), ("sol@example.com", "  ", "--name"), ("sol@example.com", "a\x07b", "--name")],
)
def test_an_email_or_a_name_that_will_not_do_ends_with_2(vitrina: Vitrina, email: str, name: str, option: str) -> None:
    """The rules are those of the HTTP API."""
    code, output = create(vitrina, email=email, name=name)
    assert (code, f"Invalid value for '{option}': it " in output) == (2, True), output


def test_there_is_no_option_for_a_password(vitrina: Vitrina) -> None:
    """An argument would appear in the shell's history and in every user's process list."""
    done = vitrina("users", "create-super-admin", "--help")
    assert "--password" not in done.output
    arguments = ("--email", "sol@example.com", "--name", "Sol", "--password", PASSWORD)
    assert vitrina("users", "create-super-admin", *arguments).exit_code == 2


def test_all_super_admins_but_the_last_can_be_removed(vitrina: Vitrina) -> None:
    """R1: the last super_admin stays."""
    for email in ("sol@example.com", "luna@example.com"):
        assert create(vitrina, email=email)[0] == 0
    done = vitrina("users", "remove-super-admin", "--email", "SOL@example.com")
    assert (done.exit_code, done.stdout) == (0, "removed super_admin SOL@example.com\n")
    done = vitrina("users", "remove-super-admin", "--email", "luna@example.com")
    assert done.exit_code == 1
    assert done.stderr == "Error: luna@example.com is the last super_admin: create another one first\n"
    done = vitrina("users", "remove-super-admin", "--email", "sol@example.com")
    assert (done.exit_code, done.stderr) == (1, "Error: there is no super_admin sol@example.com\n")
    assert vitrina("table", "check").exit_code == 0


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(vitrina: Vitrina) -> None:
    """After two different entries the command asks again."""
    terminal, other_end = pty.openpty()
    arguments = ["users", "create-super-admin", "--email", "sol@example.com", "--name", "Sol"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vitrina", *arguments],
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        env=os.environ | vitrina.environment,
        start_new_session=True,
    )
    os.close(other_end)
    seen = b""

    def read_until(words: bytes) -> None:
        nonlocal seen
        while words not in seen:
            seen += os.read(terminal, 1024)

    try:
        for prompt, typed in [
            (b"Password: ", PASSWORD),
            (b"Repeat the password: ", "another one that differs"),
            (b"do not match", ""),
            (b"Password: ", PASSWORD),
            (b"Repeat the password: ", PASSWORD),
        ]:
            read_until(prompt)
            if typed:
                seen = seen.partition(prompt)[2]
                os.write(terminal, typed.encode() + b"\n")
        read_until(b"created super_admin sol@example.com")
        assert process.wait(30) == 0
        assert PASSWORD.encode() not in seen
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
