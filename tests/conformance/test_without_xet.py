"""All of it again, by a client without Xet. It decides once, at import, so this takes a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants


@pytest.mark.skipif(constants.HF_HUB_DISABLE_XET, reason="this is that process")
def test_the_suite_passes_with_xet_disabled():
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    done = subprocess.run(command, env={**os.environ, "HF_HUB_DISABLE_XET": "1"}, capture_output=True, text=True, timeout=1800)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " passed" in done.stdout
