"""Jobs: real processes behind the Hub's job routes."""

import os
import time
import uuid

import pytest
from huggingface_hub import JobStage
from huggingface_hub.errors import HfHubHTTPError, JobNotFoundError

DEADLINE_SECONDS = 180
TERMINAL = {"COMPLETED", "CANCELED", "ERROR", "DELETED"}


def run(api, script: str, **options):
    return api.run_job(image="python:3.12", command=["sh", "-c", script], **options)


def wait_for(api, job, stages):
    """Polls until the job is in one of `stages`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        info = api.inspect_job(job_id=job.id)
        if info.status.stage in stages:
            return info
        assert info.status.stage not in TERMINAL, info.status
        assert time.monotonic() < deadline, f"{info.status} after {DEADLINE_SECONDS} s"
        time.sleep(0.1)


def lines_of(api, job, **options) -> list[str]:
    """What the command wrote, without the lines in which hf-local says how it differs from the Hub."""
    return [line for line in api.fetch_job_logs(job_id=job.id, **options) if not line.startswith("hf-local: ")]


def test_a_job_runs_and_its_lines_are_read(api):
    job = run(api, 'echo "hi $WHO"; echo "secret has ${#PASSWORD} letters"; echo $JOB_ID; echo problem >&2', env={"WHO": "ada"}, secrets={"PASSWORD": "hunter2"})
    assert job.status.stage in ("SCHEDULING", "RUNNING")
    assert (job.docker_image, job.flavor, job.owner.name) == ("python:3.12", "cpu-basic", "ada")
    assert job.environment == {"WHO": "ada"}
    assert "hunter2" not in repr(job)
    done = wait_for(api, job, {"COMPLETED"})
    assert done.started_at and done.finished_at and done.created_at <= done.started_at <= done.finished_at
    lines = lines_of(api, job)
    assert sorted(lines) == sorted(["hi ada", "secret has 7 letters", job.id, "problem"])
    assert lines.index("hi ada") < lines.index("secret has 7 letters") < lines.index(job.id)
    assert len(list(api.fetch_job_logs(job_id=job.id, tail=2))) == 2


def test_lines_are_followed_while_the_job_runs(api):
    job = run(api, "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done")
    assert lines_of(api, job, follow=True) == [f"line {i}" for i in range(1, 6)]
    assert wait_for(api, job, {"COMPLETED"}).status.stage == JobStage.COMPLETED


def test_a_command_that_fails_is_an_error_with_its_exit_code(api):
    job = run(api, "echo before; exit 3")
    failed = wait_for(api, job, {"ERROR"})
    assert "3" in failed.status.message
    assert lines_of(api, job) == ["before"]


def test_a_command_that_is_not_there_is_an_error(api):
    job = api.run_job(image="python:3.12", command=["no-such-command-anywhere"])
    assert wait_for(api, job, {"ERROR"}).status.message


def test_a_job_that_takes_too_long_is_ended(api):
    job = run(api, "echo started; sleep 600", timeout=2)
    ended = wait_for(api, job, {"ERROR"})
    assert "timeout" in ended.status.message.lower()


def test_a_canceled_job_ends_with_all_its_processes(api):
    marker = f"conformance-{uuid.uuid4().hex}"
    # The first goes when asked; the second has to be made to. The last `:` keeps a shell from becoming its `sleep`.
    # Each tells when it is there, so that none is asked to go before it can refuse.
    ignores_term = f"trap '' TERM; : {marker}; echo up; sleep 600; :"
    job = run(api, f'sh -c ": {marker}; echo up; sleep 600; :" & sh -c "{ignores_term}" & wait')
    up = 0
    for line in api.fetch_job_logs(job_id=job.id, follow=True):
        up += line == "up"
        if up == 2:
            break
    assert len(processes_with(marker)) >= 2
    api.cancel_job(job_id=job.id)
    canceled = wait_for(api, job, {"CANCELED"})
    assert canceled.finished_at
    deadline = time.monotonic() + DEADLINE_SECONDS
    while running := processes_with(marker):
        assert time.monotonic() < deadline, f"still there: {running}"
        time.sleep(0.1)


def processes_with(marker: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in command:
            found.append(f"{pid} {command}")
    return found


def test_jobs_are_listed_by_stage_and_label(api, grace):
    label = uuid.uuid4().hex[:12]
    good = run(api, "true", labels={"suite": label, "kind": "good"})
    bad = run(api, "false", labels={"suite": label, "kind": "bad"})
    wait_for(api, good, {"COMPLETED"})
    wait_for(api, bad, {"ERROR"})
    assert [job.id for job in api.list_jobs(labels={"suite": label})] == [bad.id, good.id], "newest first"
    assert [job.id for job in api.list_jobs(labels={"suite": label, "kind": "good"})] == [good.id]
    assert [job.id for job in api.list_jobs(labels={"suite": label}, status="ERROR")] == [bad.id]
    assert {good.id, bad.id} <= {job.id for job in api.list_jobs()}
    assert good.id not in [job.id for job in grace.list_jobs(namespace="grace")]
    with pytest.raises(HfHubHTTPError) as caught:
        list(grace.list_jobs(namespace="ada"))
    assert caught.value.response.status_code == 403


def test_a_job_that_is_not_there_is_404(api):
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0123456789abcdef01234567")
    with pytest.raises(HfHubHTTPError) as caught:
        api.cancel_job(job_id="0123456789abcdef01234567")
    assert caught.value.response.status_code == 404


def test_only_a_writing_token_starts_jobs_and_only_in_its_own_namespace(api, reader, grace):
    for client in (reader, grace):
        with pytest.raises(HfHubHTTPError) as caught:
            run(client, "true", namespace="ada")
        assert caught.value.response.status_code == 403


def test_an_unknown_flavor_is_400(api):
    with pytest.raises(HfHubHTTPError) as caught:
        run(api, "true", flavor="h9000x64")
    assert caught.value.response.status_code == 400


def test_hardware_has_prices(api):
    hardware = {item.name: item for item in api.list_jobs_hardware()}
    assert hardware["cpu-basic"].accelerator is None
    assert hardware["cpu-basic"].unit_label == "minute"
    assert hardware["a10g-small"].accelerator.model == "A10G"
    assert hardware["a10g-small"].unit_cost_micro_usd == 16667
    assert all(item.unit_cost_micro_usd > 0 for item in hardware.values())
