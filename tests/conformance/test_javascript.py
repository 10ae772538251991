"""The official JavaScript clients, unmodified: OpenAI's against the gateway, Hugging Face's against the Hub's router."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ADA
from gateway_world import world  # noqa: F401

HERE = Path(__file__).parent / "js"
NODE_TIMEOUT_SECONDS = 300
pytestmark = pytest.mark.skipif(bool(os.environ.get("HF_HUB_DISABLE_XET")), reason="the same with and without Xet")


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """The clients as the lock file has them, in a folder of their own."""
    if not shutil.which("node") or not shutil.which("npm"):
        if os.environ.get("BASHGYM_REQUIRE_NODE"):
            pytest.fail("node and npm are needed for the JavaScript clients (Debian: apt-get install nodejs npm)")
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("js")
    for name in ("package.json", "package-lock.json", ".npmrc", "openai.test.mjs", "huggingface.test.mjs"):
        shutil.copy(HERE / name, folder / name)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts"], cwd=folder, capture_output=True, text=True, timeout=NODE_TIMEOUT_SECONDS
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("suite", ["openai.test.mjs", "huggingface.test.mjs"])
def test_the_client_is_content(clients, world, hub, suite):  # noqa: F811
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(clients),
        "GATEWAY_URL": world.url,
        "GATEWAY_KEY": world.key,
        "HUB_URL": hub.endpoint,
        "HUB_TOKEN": ADA,
        "STUDENT": world.student,
        "EMBEDDER": world.embedder,
        "CLASSIFIER": world.classifier,
    }
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", suite],
        cwd=clients, env=environment, capture_output=True, text=True, timeout=NODE_TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    # A file without a test passes too.
    assert "# pass 0" not in done.stdout and "# skipped 0" in done.stdout, done.stdout[-2000:]
    if suite.startswith("openai"):
        assert world.teacher.hung_up.get(timeout=60)
