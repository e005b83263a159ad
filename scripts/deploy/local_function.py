"""Runs a Lambda function here under AWS's own runtime client, awslambdaric, with nothing but its layers and its code.

    with LocalFunction("vitrina.aws_lambda.api.handler", python=python, code=code, layers=[layer], ...) as function:
        response = function.invoke(event)

This end is the runtime API of AWS's documentation ("Using the Lambda runtime API for custom runtimes").
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

_VERSION: Final = "2018-06-01"
_ARN: Final = "arn:aws:lambda:us-east-1:000000000000:function:local"


class FunctionFailed(Exception):
    """The function raised an exception, ended or did not answer; the message is what it said."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's
        """Say nothing of a connection that the end of the function has reset."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class LocalFunction:
    """One sandbox of a function, which handles one event after the other. `timeout` is in seconds."""

    def __init__(
        self,
        handler: str,
        *,
        python: str,
        code: Path,
        layers: Sequence[Path],
        environment: Mapping[str, str],
        timeout: float = 30.0,
    ) -> None:
        self._events: queue.Queue[tuple[str, object]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._timeout = timeout
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the context
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._command = [python, "-m", "awslambdaric", handler]
        self._code = code
        self._environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": ":".join([str(code), *(str(layer / "python") for layer in layers)]),
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "local",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "PYTHONDONTWRITEBYTECODE": "1",  # A function's files are read-only.
            **environment,
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._process = subprocess.Popen(
            self._command, env=self._environment, cwd=self._code, stdout=self._output, stderr=subprocess.STDOUT
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: object) -> Any:  # noqa: ANN401 - any JSON
        """Return the response to an event. Raises FunctionFailed."""
        self._events.put((str(uuid.uuid4()), event))
        kind, body = self._answer(time.monotonic() + self._timeout)
        if kind != "response":
            raise FunctionFailed(body.decode(errors="replace"))
        return json.loads(body)

    def _answer(self, end: float) -> tuple[str, bytes]:
        while self._process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=0.2)
        raise FunctionFailed(self._said())

    def _said(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")[-4000:]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        function = self

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # One segment a response, which no delayed acknowledgement holds up.

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                """Wait for the next event: `/runtime/invocation/next`."""
                request_id, event = function._events.get()
                deadline = int((time.time() + function._timeout) * 1000)
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(deadline),
                    "Lambda-Runtime-Invoked-Function-Arn": _ARN,
                    "Content-Type": "application/json",
                }
                self._send(200, json.dumps(event).encode(), headers)

            def do_POST(self) -> None:
                """Take a response or an error: `/runtime/invocation/{id}/response` or `…/error`."""
                body = self.rfile.read(int(self.headers["Content-Length"])) if self.headers["Content-Length"] else b""
                while self.headers["Transfer-Encoding"] and (size := int(self.rfile.readline().strip() or b"0", 16)):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self._send(202, b"{}", {})
                function._answers.put((self.path.rpartition("/")[2], body))

            def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

        return RuntimeApi


def http_event(method: str, path: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an event of an HTTP API of API Gateway (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(headers or {}),
        "requestContext": {
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9"},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
