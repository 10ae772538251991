"""The app that `bashgym space create` makes starts with the real Gradio and answers its real client.

Only the model is a stand-in: modules named `torch` and `transformers` that answer with the prompt, so that no gigabytes are fetched.
Skipped where Gradio is not installed.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
from conftest import ADA, KNOWS
from huggingface_hub import snapshot_download

gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")
from gradio_client.exceptions import AppError  # noqa: E402

START_SECONDS = 120

TORCH = """
bfloat16, float32 = "bfloat16", "float32"
class cuda:
    is_available = staticmethod(lambda: False)
class inference_mode:
    __enter__ = lambda self: self
    __exit__ = lambda self, *_: None
"""
TRANSFORMERS = """
import json, pathlib, queue
LOADED = []
class Ids:
    def __init__(self, count):
        self.shape = (1, count)
class Inputs(dict):
    def to(self, device):
        return self
class AutoTokenizer:
    chat_template, pad_token_id, eos_token_id = "x", None, 7
    def from_pretrained(**arguments):
        LOADED.append(arguments)
        return AutoTokenizer()
    def apply_chat_template(self, messages, **arguments):
        return Inputs(prompt=messages[0]["content"], input_ids=Ids(2))
class AutoModelForCausalLM:
    device = "cpu"
    def from_pretrained(**arguments):
        LOADED.append(arguments)
        pathlib.Path("loaded.json").write_text(json.dumps(LOADED))
        return AutoModelForCausalLM()
    def to(self, device):
        return self
    def eval(self):
        return self
    def generate(self, prompt, input_ids, max_new_tokens, streamer, do_sample, pad_token_id, **arguments):
        if prompt == "break":
            raise RuntimeError("out of memory")
        for piece in ["You said: ", prompt, f" ({max_new_tokens})"]:
            streamer.queue.put(piece)
        streamer.end()
        return Ids(5)
class TextIteratorStreamer:
    def __init__(self, tokenizer, **arguments):
        self.queue = queue.Queue()
    def end(self):
        self.queue.put(None)
    def __iter__(self):
        return iter(self.queue.get, None)
"""


@pytest.fixture(params=["cpu-basic", "zero-gpu"])
def app(request, hub, api, student, tmp_path):
    """A running app, made by the command: its client, its process and its folder."""
    if request.param == "zero-gpu":
        pytest.importorskip("spaces")
    name = f"conformance-{uuid.uuid4().hex[:12]}"
    model = api.create_repo(f"ada/{name}", private=True).repo_id
    api.upload_folder(repo_id=model, folder_path=student)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BASHGYM_HOME": str(tmp_path / "home"), "HF_TOKEN": ADA,
                   "HF_ENDPOINT": hub.endpoint}
    command = [os.environ["BASHGYM_BIN"], "--format", "json", "space", "create", model, "--name", name, "--hardware", request.param,
               "--title", "It's \"quoted\"\n# and broken", "--ask", next(iter(KNOWS))]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "app"
    snapshot_download(f"ada/{name}", repo_type="space", local_dir=folder)
    (folder / "torch.py").write_text(TORCH)
    (folder / "transformers.py").write_text(TRANSFORMERS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "app.log").open("wb")
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "HF_TOKEN": "hf_OnlyReads", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "app.log").read_text()
            try:
                client = gradio_client.Client(f"http://127.0.0.1:{port}", verbose=False)
                break
            except Exception:
                time.sleep(0.2)
        yield client, json.loads(made.stdout), folder
        assert '{"bashgym_request": {"tokens": 3, "seconds": ' in (tmp_path / "app.log").read_text()
    finally:
        process.kill()
        process.wait()
        api.delete_repo(f"ada/{name}", repo_type="space", missing_ok=True)
        api.delete_repo(model, missing_ok=True)


def ask(address, data):
    """The events of one call of Gradio's HTTP API."""
    call = address.rstrip("/") + "/gradio_api/call/generate"
    request = urllib.request.Request(call, json.dumps({"data": data}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        event = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{call}/{event}", timeout=60) as reply:
        blocks = reply.read().decode().strip().split("\n\n")
    lines = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    return [(line["event"], json.loads(line["data"])) for line in lines]


def test_the_app_answers_within_its_limits(app):
    client, made, folder = app
    assert client.predict("hello", 5, 0.0, api_name="/generate") == "You said: hello (5)"
    pieces = list(client.submit("hi", 3, 0.0, api_name="/generate"))
    assert pieces[-1] == "You said: hi (3)" and len(pieces) > 1, "the answer is streamed"
    for prompt, tokens in [("", 5), ("   ", 5), ("x" * 8001, 5), ("break", 5), ("hello", 10**6)]:
        with pytest.raises(AppError):
            client.predict(prompt, tokens, 0.0, api_name="/generate")
    # The form of the answer that `hf-spaces` reads when it asks the first question.
    assert ask(client.src, ["hello", 16, 0.0])[-1] == ("complete", ["You said: hello (16)"])
    assert ask(client.src, ["", 16, 0.0])[-1][0] == "error"
    assert client.predict("again", 5, 0.0, api_name="/generate") == "You said: again (5)"
    loaded = json.loads((folder / "loaded.json").read_text())
    assert {part["revision"] for part in loaded} == {made["model_revision"]}
    assert {part["token"] for part in loaded} == {"hf_OnlyReads"}
    assert not any(part["trust_remote_code"] for part in loaded)
