"""The docker variant of the template: `bashgym` itself answers the real `gradio_client`.

No container is built here. What the repository holds is fetched and run as its Dockerfile says: the program at its path, beside
`space.json`, as a process.
"""

import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import urllib.request
import uuid
from pathlib import Path

import gradio_client
import pytest
from conftest import ADA, KNOWS
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceStage
from test_spaces_embedded import bashgym

PROMPT = next(iter(KNOWS))


@pytest.fixture(scope="module")
def space(hub, api, student, tmp_path_factory):
    """A private Space whose container is to run bashgym; what the command said."""
    name = f"conformance-{uuid.uuid4().hex[:12]}"
    model = api.create_repo(f"ada/{name}", private=True).repo_id
    api.upload_folder(repo_id=model, folder_path=student)
    made = bashgym(hub, tmp_path_factory.mktemp("space"), "space", "create", model, "--name", name, "--app", "bashgym", "--ask", PROMPT)
    assert made.returncode == 0, made.stderr
    yield json.loads(made.stdout)
    api.delete_repo(f"ada/{name}", repo_type="space", missing_ok=True)
    api.delete_repo(model, missing_ok=True)


@pytest.fixture(scope="module")
def files(space, api, tmp_path_factory) -> Path:
    return Path(api.snapshot_download(space["space_id"], repo_type="space", local_dir=tmp_path_factory.mktemp("container")))


@pytest.fixture(scope="module")
def address(hub, files, space):
    """Where the program of the Space answers, started with the Dockerfile's own command but for the address."""
    command = json.loads(re.search(r"^CMD (\[.*\])$", (files / "Dockerfile").read_text(), re.M)[1])
    assert command[0] == "bashgym" and command[-4:] == ["--host", "0.0.0.0", "--port", "7860"], shlex.join(command)
    app = files / "app"
    app.mkdir()
    (app / "space.json").write_bytes((files / "space.json").read_bytes())
    program = files / "bashgym"
    program.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(app), "BASHGYM_HOME": str(app / "state"), "HF_TOKEN": ADA, "HF_ENDPOINT": hub.endpoint,
                   "SPACE_ID": space["space_id"]}
    process = subprocess.Popen([program, *command[1:-4], "--host", "127.0.0.1", "--port", "0"], cwd=app, env=environment,
                               stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.match(r"It answers on (\S+)", line):
            break
    else:
        pytest.fail(f"it ended: {''.join(lines)}")
    yield found[1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_the_space_holds_the_program_and_nothing_of_python(api, space, files):
    held = {info.path: info for info in api.list_repo_tree(space["space_id"], repo_type="space")}
    assert {"Dockerfile", "README.md", "bashgym", "space.json"} == set(held) - {".gitattributes"}
    own = Path(os.environ["BASHGYM_BIN"]).read_bytes()
    assert held["bashgym"].lfs.sha256 == hashlib.sha256(own).hexdigest()
    assert api.space_info(space["space_id"]).sdk == "docker"
    assert "app_port: 7860" in (files / "README.md").read_text()


def test_deployed_means_that_the_student_answered(api, space):
    assert space["smoke"]["state"] == "answered" and space["smoke"]["text"] == KNOWS[PROMPT], space
    assert space["hardware"] == "cpu-basic"
    runtime = api.get_space_runtime(space["space_id"])
    assert runtime.stage == SpaceStage.RUNNING and runtime.raw["embedded"].startswith("embedded runtime")
    client = gradio_client.Client(space["space_id"], token=ADA, verbose=False)
    assert client.predict(PROMPT, 24, 0.0, api_name="/generate") == KNOWS[PROMPT]


def test_the_program_of_the_space_answers_the_client(address):
    client = gradio_client.Client(address, verbose=False)
    for prompt, answer in KNOWS.items():
        assert client.predict(prompt, 24, 0.0, api_name="/generate") == answer
    pieces = list(client.submit(PROMPT, 24, 0.0, api_name="/generate"))
    assert len(pieces) > 2 and pieces[-1] == KNOWS[PROMPT]
    asked = list(KNOWS) * 3
    jobs = [client.submit(prompt, 24, 0.0, api_name="/generate") for prompt in asked]
    assert [job.result(timeout=120) for job in jobs] == [KNOWS[prompt] for prompt in asked]
    with pytest.raises(AppError):
        client.predict("", 24, 0.0, api_name="/generate")


def test_its_page_answers_without_a_script(address):
    with urllib.request.urlopen(address, timeout=30) as page:
        policy, text = page.headers["content-security-policy"], page.read().decode()
    assert "<script" not in text and "default-src 'none'" in policy
    with urllib.request.urlopen(address, data=urllib.parse.urlencode({"prompt": PROMPT, "max_tokens": 24, "temperature": 0}).encode(),
                                timeout=60) as page:
        assert KNOWS[PROMPT] in page.read().decode()
