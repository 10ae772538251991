"""`kill -9` of the Hub: after a restart a repo is at the old or at the new head, and no job is shown that is not there."""

import os
import subprocess
import sys
import time

import pytest
from huggingface_hub import HfApi

from conftest import ADA, Hub, sha256_of
from test_jobs import processes_with

DEADLINE_SECONDS = 180
TERMINAL = {"COMPLETED", "CANCELED", "ERROR", "DELETED"}

UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi().upload_file(path_or_fileobj=sys.argv[1], path_in_repo="model.bin", repo_id="ada/crash", commit_message="New")
"""


def wait_until(condition, what: str):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not after {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.02)
    return answer


def bytes_below(folder) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                pass
    return total


@pytest.fixture
def start(tmp_path):
    """Starts a Hub of its own on one data folder, as often as asked."""
    hubs = []

    def start() -> tuple[Hub, HfApi]:
        hubs.append(Hub(tmp_path))
        return hubs[-1], HfApi(endpoint=hubs[-1].endpoint, token=ADA)

    yield start
    for hub in hubs:
        hub.stop()


@pytest.mark.parametrize("received", [1_000_000, 60_000_000, 110_000_000])
def test_an_upload_that_was_cut_leaves_the_old_head_and_can_be_done_again(start, sample, tmp_path, received):
    hub, api = start()
    old, new = sample(3_000_000, seed=7), sample(120_000_000, seed=8)
    api.create_repo("ada/crash")
    head = api.upload_file(path_or_fileobj=old.path, path_in_repo="model.bin", repo_id="ada/crash").oid
    before = bytes_below(hub.data)
    client = subprocess.Popen(
        [sys.executable, "-c", UPLOAD, str(new.path)],
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: bytes_below(hub.data) - before >= received, f"{received} bytes have arrived")
        hub.process.kill()
        hub.process.wait()
    finally:
        client.kill()
        client.wait()

    hub, api = start()
    found = api.model_info("ada/crash")
    assert [commit.title for commit in api.list_repo_commits("ada/crash")][0] in ("New", "Upload model.bin with huggingface_hub")
    expected = old if found.sha == head else new
    path = api.hf_hub_download("ada/crash", "model.bin", cache_dir=tmp_path / "cache")
    assert sha256_of(path) == expected.sha256, "the old file or the new one"

    api.upload_file(path_or_fileobj=new.path, path_in_repo="model.bin", repo_id="ada/crash")
    assert sha256_of(api.hf_hub_download("ada/crash", "model.bin", cache_dir=tmp_path / "cache")) == new.sha256


def test_a_job_whose_hub_was_killed_is_not_shown_as_running_without_a_process(start):
    marker = f"conformance-crash-{os.getpid()}-{time.monotonic_ns()}"
    hub, api = start()
    job = api.run_job(image="python:3.12", command=["sh", "-c", f": {marker}; echo up; sleep 600; :"])
    wait_until(lambda: api.inspect_job(job_id=job.id).status.stage == "RUNNING" and processes_with(marker), "the job runs")
    hub.process.kill()
    hub.process.wait()
    _, api = start()

    def settled():
        info = api.inspect_job(job_id=job.id)
        return info if info.status.stage in TERMINAL else None

    after = api.inspect_job(job_id=job.id)
    assert after.status.stage != "RUNNING" or processes_with(marker)
    ended = wait_until(settled, "the job has ended") if not processes_with(marker) else after
    if ended.status.stage in TERMINAL:
        assert ended.status.message, "it says why"
        wait_until(lambda: not processes_with(marker), "its processes are gone")
    else:
        api.cancel_job(job_id=job.id)
        wait_until(settled, "a job that went on can be canceled")
        wait_until(lambda: not processes_with(marker), "its processes are gone")
