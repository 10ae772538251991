"""Scripts, schedules, metrics, labels and duplicates by the official client, unmodified."""

import os
import uuid

import pytest
from huggingface_hub import JobStage, Volume
from huggingface_hub.errors import HfHubHTTPError, JobNotFoundError

from test_jobs import lines_of, run, wait_for


def hub_call(hub, path, body):
    import httpx2

    answer = httpx2.post(f"{hub.endpoint}{path}", json=body, headers={"Authorization": f"Bearer {os.environ['HF_TOKEN']}"})
    answer.raise_for_status()
    return answer.json()


def test_several_jobs_are_waited_for(api):
    jobs = [run(api, script) for script in ("true", "exit 2", "true")]
    ended = api.wait_for_job([job.id for job in jobs], poll_interval=0.1)
    assert [job.status.stage for job in ended] == [JobStage.COMPLETED, JobStage.ERROR, JobStage.COMPLETED]
    with pytest.raises(TimeoutError):
        slow = run(api, "sleep 600")
        try:
            api.wait_for_job(slow.id, timeout=0.5, poll_interval=0.1)
        finally:
            api.cancel_job(job_id=slow.id)


def test_labels_are_replaced_and_a_job_is_run_again(api):
    job = run(api, "echo again", labels={"a": "1", "b": "2"})
    assert api.update_job_labels(job_id=job.id, labels={"c": "3"}).labels == {"c": "3"}
    wait_for(api, job, {"COMPLETED"})
    copy = api.rerun_job(job_id=job.id)
    assert copy.id != job.id and copy.labels == {"c": "3"}
    assert (copy.initiator.type, copy.initiator.id) == ("duplicated-job", job.id)
    wait_for(api, copy, {"COMPLETED"})
    assert lines_of(api, copy) == ["again"]


def test_metrics_are_read_while_a_job_runs_and_not_after(api):
    job = run(api, "sleep 600")
    wait_for(api, job, {"RUNNING"})
    (metrics,) = list(api.fetch_job_metrics(job_id=job.id))
    assert metrics["memory_total_bytes"] > metrics["memory_used_bytes"] >= 0
    api.cancel_job(job_id=job.id)
    wait_for(api, job, {"CANCELED"})
    assert list(api.fetch_job_metrics(job_id=job.id)) == []


def test_a_volume_is_there_and_pinned(api, repo, tmp_path):
    first = api.upload_file(path_or_fileobj=b"first", path_in_repo="in/x.txt", repo_id=repo).oid
    api.upload_file(path_or_fileobj=b"second", path_in_repo="in/x.txt", repo_id=repo)
    for revision, text in ((None, "second"), (first, "first")):
        volume = Volume(type="model", source=repo, mount_path="/model", revision=revision)
        job = api.run_job(image="python:3.12", command=["cat", "/model/in/x.txt"], volumes=[volume])
        assert job.volumes[0].mount_path == "/model"
        wait_for(api, job, {"COMPLETED"})
        assert lines_of(api, job) == [text]


def test_a_local_script_is_shipped_through_a_bucket(api, tmp_path):
    if os.environ.get("HF_HUB_DISABLE_XET"):
        pytest.skip("buckets need Xet")
    script = tmp_path / "hello there.py"
    script.write_text("print('hello')\n")
    job = api.run_uv_job(str(script), script_args=["--fast"])
    # Whether `uv` is on this machine or not, the files are in the bucket and mounted.
    assert job.command == ["uv", "run", "/data/hello_there.py", "--fast"]
    (volume,) = job.volumes
    assert (volume.type, volume.source, volume.mount_path, volume.read_only) == ("bucket", "ada/jobs-artifacts", "/data", False)
    reading = api.run_job(image="python:3.12", command=["cat", "/data/hello_there.py"], volumes=job.volumes)
    wait_for(api, reading, {"COMPLETED"})
    assert lines_of(api, reading) == ["print('hello')"]
    assert api.bucket_info("ada/jobs-artifacts").private


def test_a_scheduled_job_lives_its_life(api):
    label = uuid.uuid4().hex[:12]
    made = api.create_scheduled_job(image="python:3.12", command=["echo", "tick"], schedule="@yearly", labels={"suite": label})
    assert made.schedule == "@yearly" and not made.suspend and made.status.next_job_run_at
    assert [job.id for job in api.list_scheduled_jobs(labels={"suite": label})] == [made.id]
    job = api.trigger_scheduled_job(scheduled_job_id=made.id)
    assert (job.initiator.type, job.initiator.id) == ("scheduled-job", made.id)
    wait_for(api, job, {"COMPLETED"})
    assert lines_of(api, job) == ["tick"]
    api.suspend_scheduled_job(scheduled_job_id=made.id)
    shown = api.inspect_scheduled_job(scheduled_job_id=made.id)
    assert shown.suspend and shown.status.last_job.id == job.id
    api.resume_scheduled_job(scheduled_job_id=made.id)
    changed = api.update_scheduled_job_schedule(scheduled_job_id=made.id, schedule="0 9 * * 1")
    assert (changed.schedule, changed.suspend) == ("0 9 * * 1", False)
    assert api.update_scheduled_job_labels(scheduled_job_id=made.id, labels={"x": "y"}).job_spec.labels == {"x": "y"}
    api.delete_scheduled_job(scheduled_job_id=made.id)
    with pytest.raises(JobNotFoundError):
        api.inspect_scheduled_job(scheduled_job_id=made.id)
    with pytest.raises(HfHubHTTPError):
        api.create_scheduled_job(image="python:3.12", command=["true"], schedule="now and then")
