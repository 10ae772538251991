"""The server's description against the server: schemathesis makes the requests, nothing undocumented comes back.

The Hub is the one of the whole run, so that whatever is asked of it is answered on this machine. A cap of zero keeps
made-up jobs from being started, and the routes that could lift it are left out, as are streams, which do not end.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

EXAMPLES = "6"
RUN_TIMEOUT_SECONDS = 300
# The suite runs once more without Xet, which the server's API has nothing to do with.
pytestmark = pytest.mark.skipif(bool(os.environ.get("HF_HUB_DISABLE_XET")), reason="the same with and without Xet")
LEFT_OUT = "^/ws$|^/api/events$|/logs/stream$|/metrics$|^/api/budget/|^/api/session$"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def server(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "user"),
        "BASHGYM_HOME": str(folder / "home"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.accounts[0]["token"],
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [os.environ["BASHGYM_BIN"], "--format", "json", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "ready"
    yield ready
    process.terminate()
    assert process.wait(60) == 0
    assert ready["key"].encode() not in (folder / "server.log").read_bytes()


def ask(server, method, path, body=None):
    request = urllib.request.Request(
        server["url"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server['key']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def test_nothing_undocumented_comes_back(server, tmp_path):
    ask(server, "PUT", "/api/budget/all/total", {"micro_usd": 0})
    schema = tmp_path / "openapi.json"
    schema.write_bytes(ask(server, "GET", "/api/openapi.json"))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        str(schema),
        f"--url={server['url']}",
        f"--header=Authorization:Bearer {server['key']}",
        f"--max-examples={EXAMPLES}",
        "--phases=examples,coverage,fuzzing",
        f"--checks={CHECKS}",
        f"--exclude-path-regex={LEFT_OUT}",
        "--generation-deterministic",
        "--continue-on-failure",
        "--request-timeout=70",
        "--warnings=off",
        "--no-color",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_TIMEOUT_SECONDS, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]


def test_a_made_up_job_was_never_started(server):
    page = json.loads(ask(server, "GET", "/api/usage/entries"))
    assert page["items"] == []
