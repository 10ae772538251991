"""A server with its gateway: a trained student and tiny encoders on the run's Hub, and a scripted teacher."""

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripted_teacher import Teacher

FIXTURES = Path(__file__).parents[2] / "crates" / "bashgym-engine" / "tests" / "fixtures" / "bert"


@dataclass
class World:
    url: str
    key: str
    teacher: Teacher
    student: str
    embedder: str
    classifier: str


def uploaded(api, folder):
    repo_id = f"ada/model-{uuid.uuid4().hex[:10]}"
    api.create_repo(repo_id)
    api.upload_folder(repo_id=repo_id, folder_path=folder)
    return repo_id


@pytest.fixture(scope="module")
def world(hub, api, tmp_path_factory):
    trained = os.environ.get("BASHGYM_MODEL_DIR")
    if not trained:
        pytest.skip("needs a trained student: BASHGYM_MODEL_DIR (cargo xtask conformance makes one)")
    folder = tmp_path_factory.mktemp("gateway")
    student, embedder, classifier = (
        uploaded(api, path) for path in (trained, FIXTURES / "embedder", FIXTURES / "classifier")
    )
    teacher = Teacher()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "user"),
        "BASHGYM_HOME": str(folder / "home"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.accounts[0]["token"],
        "TEACHER_KEY": "key-of-the-teacher",
    }
    command = [os.environ["BASHGYM_BIN"], "--format", "json", "serve", "--student", student, "--strategy", "student_only"]
    command += ["--allow-unknown-price", "--teacher", "scripted", "--teacher-url", teacher.url, "--teacher-price", "3/15", "--teacher-key-env", "TEACHER_KEY"]
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, env=environment
        )
    line = process.stdout.readline()
    assert line, log.read_text()
    ready = json.loads(line)
    yield World(f"{ready['url']}/v1", ready["key"], teacher, student, embedder, classifier)
    process.terminate()
    assert process.wait(60) == 0, log.read_text()[-4000:]
    teacher.stop()
    text = log.read_text()
    assert ready["key"] not in text and "key-of-the-teacher" not in text
