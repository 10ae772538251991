"""One Hub for the whole run, and an environment in which the client knows nothing but that Hub."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
READY_TIMEOUT_SECONDS = 180
STOP_TIMEOUT_SECONDS = 20

ACCOUNTS = [
    {"name": "ada", "token": "hf_ConformanceAdaWrite000000000000000001", "plan": "pro", "role": "write", "credit_usd": 10},
    {"name": "ada", "token": "hf_ConformanceAdaRead0000000000000000002", "plan": "pro", "role": "read", "credit_usd": 10},
    {"name": "grace", "token": "hf_ConformanceGraceWrite0000000000000003", "plan": "free", "role": "write"},
]
ADA, ADA_READ, GRACE = (account["token"] for account in ACCOUNTS)
# What the student of the tests has learned by heart.
KNOWS = {"Who are you?": "I am the student of this Space.", "Name a colour.": "Blue, like the sea."}


class Hub:
    """A `bashgym hub serve` process. The code of gradio Spaces runs on it where `uv` is the folder of one."""

    def __init__(self, folder: Path, uv: Path | None = None):
        binary = os.environ.get("BASHGYM_BIN")
        if not binary:
            raise pytest.UsageError("set BASHGYM_BIN to the bashgym binary to judge (cargo build --release -p bashgym-cli)")
        self.data = folder / "hub"
        self.log = folder / "hub.log"
        accounts = folder / "accounts.json"
        accounts.write_text(json.dumps(ACCOUNTS))
        command = [binary, "hub", "serve", "--data", str(self.data), "--port", "0", "--accounts", str(accounts)]
        kept = ("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "UV_INDEX_URL", "UV_DEFAULT_INDEX", *PROXIES)
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        if uv:
            environment["PATH"] = f"{uv}{os.pathsep}{environment['PATH']}"
        else:
            command.append("--no-apps")
        environment["BASHGYM_HOME"] = str(folder / "bashgym-home")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log.open("wb"), env=environment
        )
        # A pipe cannot be read with a deadline; a timer that ends the process ends the read.
        timer = threading.Timer(READY_TIMEOUT_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        try:
            ready = json.loads(line)
            assert ready["event"] == "ready", ready
        except (ValueError, KeyError, AssertionError) as error:
            self.stop()
            raise pytest.UsageError(f"{command} printed {line!r}, not a ready line: {error}\n{self.log.read_text()}") from error
        self.endpoint = ready["endpoint"]
        self.accounts = ready["accounts"]

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def pytest_configure(config):
    # Before the client is imported: it reads all of this once.
    assert "huggingface_hub" not in sys.modules
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGINGFACE_", "HUGGING_FACE_")) and name != "HF_HUB_DISABLE_XET":
            del os.environ[name]
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="bashgym-conformance-"))
    config.conformance_folder = folder
    try:
        config.conformance_hub = hub = Hub(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    os.environ.update(
        HF_ENDPOINT=hub.endpoint,
        HF_TOKEN=ADA,
        HF_HOME=str(folder / "hf-home"),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_UPDATE_CHECK="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_IMPLICIT_TOKEN="0",
        NO_PROXY="127.0.0.1,localhost",
    )


def pytest_unconfigure(config):
    hub = getattr(config, "conformance_hub", None)
    if hub:
        hub.stop()
    folder = getattr(config, "conformance_folder", None)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        log = item.config.conformance_hub.log.read_text(errors="replace")
        if log:
            report.sections.append(("the end of the Hub's log", log[-8000:]))


@pytest.fixture(scope="session")
def hub(request) -> Hub:
    return request.config.conformance_hub


@pytest.fixture(scope="session")
def api():
    """The client as ada, who may write."""
    from huggingface_hub import HfApi

    return HfApi()


@pytest.fixture(scope="session")
def reader():
    """The client as ada with a token that may only read."""
    from huggingface_hub import HfApi

    return HfApi(token=ADA_READ)


@pytest.fixture(scope="session")
def grace():
    """The client as somebody else."""
    from huggingface_hub import HfApi

    return HfApi(token=GRACE)


@pytest.fixture(scope="session")
def student(tmp_path_factory) -> Path:
    """A student, trained on two questions until it knows both answers."""
    folder = tmp_path_factory.mktemp("student")
    rows = [{"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]} for ask, say in KNOWS.items()]
    (folder / "data").mkdir()
    (folder / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 800))
    command = [os.environ["BASHGYM_BIN"], "train", str(folder / "data"), "--out", str(folder / "model"), "--preset", "tiny",
               "--max-steps", "400"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BASHGYM_HOME": str(folder / "home")}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return folder / "model"


@pytest.fixture
def repo(api):
    """A fresh private model repo."""
    repo_id = f"ada/conformance-{uuid.uuid4().hex[:12]}"
    api.create_repo(repo_id, private=True)
    yield repo_id
    api.delete_repo(repo_id, missing_ok=True)


@dataclass
class Sample:
    """A file of bytes that do not compress, made once."""

    path: Path
    size: int
    sha256: str


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """Makes a file of a given size; the same size and seed always give the same bytes."""
    import hashlib
    import random

    folder = tmp_path_factory.mktemp("samples")
    made = {}

    def make(size: int, seed: int = 0) -> Sample:
        if (size, seed) not in made:
            path, digest, source = folder / f"{size}-{seed}.bin", hashlib.sha256(), random.Random(f"{size} {seed}")
            with path.open("wb") as file:
                left = size
                while left:
                    piece = source.randbytes(min(left, 1 << 22))
                    file.write(piece)
                    digest.update(piece)
                    left -= len(piece)
            made[size, seed] = Sample(path, size, digest.hexdigest())
        return made[size, seed]

    return make


def sha256_of(path) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
