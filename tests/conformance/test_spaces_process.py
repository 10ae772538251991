"""A Space with code of its own runs as a process: the real `uv` builds it, the real `gradio` serves it, the real `gradio_client` asks it.

A Hub of its own, beside that of the other tests, on which the code of Spaces runs. Skipped where there is no `uv` beside this Python.
"""

import json
import re
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import gradio_client
import pytest
from conftest import ADA, Hub
from huggingface_hub import HfApi, SpaceStage

UV = Path(sys.executable).parent
pytestmark = pytest.mark.skipif(not (UV / "uv").is_file(), reason="there is no uv")

README = "---\ntitle: Loud\nsdk: gradio\nsdk_version: 6.31.0\n---\n"
APP = """
import os
import time

import gradio
import humanize


def shout(text, times):
    said = ""
    for _ in range(int(times)):
        said += text.upper() + os.environ["STYLE"]
        yield said


def secret():
    return f"{os.environ['KEY'][0]} of {humanize.intcomma(1_000_000)}"


with gradio.Blocks() as app:
    text, times, out = gradio.Textbox(), gradio.Number(), gradio.Textbox()
    gradio.Button().click(shout, [text, times], out, api_name="shout")
    gradio.Button().click(secret, [], out, api_name="secret")

app.launch()
"""
FILES = {"README.md": README, "app.py": APP, "requirements.txt": "humanize==4.15.0\n"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = Hub(tmp_path_factory.mktemp("process-hub"), uv=UV)
    yield hub
    assert hub.stop() == 0


@pytest.fixture(scope="module")
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=ADA)


def make(api, files, **options):
    name = f"ada/process-{uuid.uuid4().hex[:12]}"
    api.create_repo(name, repo_type="space", space_sdk="gradio", private=True, space_hardware="zero-a10g", **options)
    for path, text in files.items():
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=name, repo_type="space")
    return name


@pytest.fixture(scope="module")
def space(api):
    name = make(api, FILES, space_secrets=[{"key": "KEY", "value": "one"}], space_variables=[{"key": "STYLE", "value": "!"}])
    runtime = api.wait_for_space(name, timeout=600, poll_interval=0.5)
    log = list(api.fetch_space_logs(name, build=True)) + list(api.fetch_space_logs(name, build=False))
    assert runtime.stage == SpaceStage.RUNNING, "".join(log)
    return name


def address(api, space):
    return api.space_info(space).host


def test_the_runtime_says_that_its_code_runs(api, space):
    raw = api.get_space_runtime(space).raw
    assert raw["process"].startswith("process: the code") and "simulated" not in raw and "embedded" not in raw
    build = "".join(api.fetch_space_logs(space, build=True))
    assert "humanize==4.15.0" in build and "gradio==6.31.0" in build and "Build done" in build, build
    assert "Running on" in "".join(api.fetch_space_logs(space, build=False))


def test_the_client_streams_what_the_code_yields_and_the_code_has_its_settings(api, space):
    client = gradio_client.Client(address(api, space), token=ADA, verbose=False)
    job = client.submit("hey", 3, api_name="/shout")
    assert job.result(60) == "HEY!HEY!HEY!"
    assert job.outputs() == ["HEY!", "HEY!HEY!", "HEY!HEY!HEY!"]
    assert client.predict(api_name="/secret") == "o of 1,000,000"


def test_its_page_loads_and_is_for_nobody_without_the_token(api, space):
    url = address(api, space)

    def get(url, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.read().decode()

    with pytest.raises(urllib.error.HTTPError) as refused:
        get(url)
    assert refused.value.code == 401
    page = get(url, ADA)
    assert "<gradio-app" in page
    assert ADA not in page
    config = json.loads(get(f"{url}config", ADA))
    assert config["root"] == url.rstrip("/")
    script = re.search(r'src="(?:\./)?(assets/[^"]+\.js)"', page)
    assert script and get(f"{url}{script[1]}", ADA)


def test_what_cannot_be_built_says_why(api):
    name = make(api, FILES | {"requirements.txt": "humanize==0.0.0.0\n"})
    assert api.wait_for_space(name, timeout=300, poll_interval=0.5).stage == SpaceStage.BUILD_ERROR
    assert "humanize" in "".join(api.fetch_space_logs(name, build=True))
    api.delete_repo(name, repo_type="space")
