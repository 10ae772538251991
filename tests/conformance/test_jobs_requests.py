"""The same calls by the official client and by `bashgym jobs`, against an endpoint that writes down what it is asked."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from huggingface_hub import HfApi, Volume

TOKEN = "hf_RecordingToken00000000000000000000001"
JOB = "66aa00bb11cc22dd33ee5501"
OWNER = {"id": "66aa00bb11cc22dd33ee4401", "name": "ada", "type": "user", "avatarUrl": "/a.svg"}
SPEC = {"dockerImage": "python:3.12", "command": ["python"], "arguments": [], "environment": {}, "secrets": [],
        "flavor": "cpu-basic", "timeout": 3600, "labels": {"a": "b"}}
INFO = {"type": "job", "id": JOB, "createdAt": "2026-10-09T08:00:00.000Z", **SPEC, "owner": OWNER,
        "createdBy": OWNER, "initiator": OWNER, "status": {"stage": "COMPLETED", "message": None, "failureCount": 0}}
SCHEDULED = {"type": "scheduled-job", "id": JOB, "createdAt": "2026-10-09T08:00:00.000Z", "schedule": "@hourly", "suspend": False,
             "concurrency": False, "status": {"lastJob": None, "nextJobRunAt": "2026-10-09T09:00:00.000Z"}, "owner": OWNER,
             "initiator": OWNER, "jobSpec": SPEC}

# What differs, and why. Nothing else may.
DIFFERENCES = {
    "cancel looks first": "GET of the job before `jobs cancel`: a job that is over is a conflict with its stage (exit code 7)",
    "logs ask once": "the official client looks at the job after the stream even without follow, ours only when the stream is silent",
    "starting asks the price": "GET of the hardware (and of what is to be started again) before anything starts a job: its worst "
                               "case is reserved in the ledger first",
    "starting is exactly once": "the label bashgym-intent, and GETs by it before and after the POST: a lost answer or a crash "
                                "makes no second job; then a GET of the job that is shown",
    "schedules have a label": "bashgym-schedule, by which the runs that the clock starts are found and booked; `rm` and `label` read the "
                              "schedule first, so as to book its runs and to keep that label",
    "schedule verbs show": "GET after suspend and resume: the Hub's answer to them is not documented, and the command shows the job",
}
HARDWARE = [{"name": name, "prettyName": name, "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None, "unitCostMicroUSD": price, "unitCostUSD": price / 1e6,
             "unitLabel": "minute"}
            for name, price in (("cpu-basic", 167), ("a10g-small", 16667))]
INTENT = "bashgym-intent"
LOOK = ("GET", f"/api/jobs/ada/{JOB}", [], None)
SCHEDULED_LOOK = ("GET", f"/api/scheduled-jobs/ada/{JOB}", [], None)


def made(body):
    """The job that a request makes, as the Hub answers it."""
    job = INFO | {key: body[key] for key in ("command", "arguments", "environment", "flavor", "labels", "volumes") if key in body}
    job |= {key: body.get(key) for key in ("dockerImage", "spaceId")}
    return job | {"secrets": list(body.get("secrets", {})), "timeout": body.get("timeoutSeconds"), "retry": body.get("attempts", 1) - 1}


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        url = urlsplit(self.path)
        body = json.loads(raw) if raw else None
        assert self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.server.seen.append((self.command, url.path, sorted(parse_qsl(url.query)), body))
        kind, reply = "application/json", INFO
        last = url.path.rsplit("/", 1)[-1]
        if url.path == "/api/whoami-v2":
            reply = {"type": "user", "id": OWNER["id"], "name": "ada", "fullname": "Ada", "orgs": [],
                     "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": "write"}}}
        elif last == "hardware":
            reply = HARDWARE
        elif last in ("logs", "metrics"):
            kind = "text/event-stream"
            event = {"data": "hi", "timestamp": "2026-10-09T08:00:22.113Z"} if last == "logs" else {"cpu_usage_pct": 1, "gpus": {}}
            reply = f"data: {json.dumps(event)}\n\n"
        elif url.path in ("/api/jobs/ada", "/api/jobs/lab"):
            if self.command == "POST":
                self.server.jobs.append(made(body) | self.server.drift)
                if self.server.loses_answers:
                    self.close_connection = True
                    return
            reply = self.server.jobs[-1] if self.command == "POST" else [*self.server.jobs, INFO]
        elif url.path == "/api/scheduled-jobs/ada" and self.command == "GET":
            reply = [SCHEDULED]
        elif url.path.startswith("/api/scheduled-jobs/") and last != "run":
            reply = SCHEDULED
        data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer


@pytest.fixture
def recorder():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.seen, server.jobs = [], []
    server.drift, server.loses_answers = {}, False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ours(recorder, tmp_path):
    """Runs `bashgym jobs …` and returns what it asked."""

    def run(*args, ok=(0,)):
        recorder.seen.clear()
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "BASHGYM_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN,
                       "HF_ENDPOINT": f"http://127.0.0.1:{recorder.server_port}", "KEY": "s3cret"}
        command = [os.environ["BASHGYM_BIN"], "--format", "json", "jobs", *args]
        run.done = done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert done.returncode in ok, done.stderr
        return asked(recorder)

    return run


@pytest.fixture
def theirs(recorder):
    """Lets the official client do something and returns what it asked."""

    def run(call):
        recorder.seen.clear()
        result = call(HfApi(endpoint=f"http://127.0.0.1:{recorder.server_port}", token=TOKEN))
        if hasattr(result, "__iter__") and not isinstance(result, (str, list)):
            list(result)
        return asked(recorder)

    return run


def asked(recorder):
    """Who somebody is, both ask in their own time: the official client once a call, ours once a process."""
    return [request for request in recorder.seen if request[1] != "/api/whoami-v2"]


SCRIPT = "https://example.org/sft.py"
# What starts a job, at once or by the clock.
STARTING = {
    "run": (
        ("run", "--detach", "--timeout", "30m", "--", "python", "-c", "print(1)"),
        lambda api: api.run_job(image="python:3.12", command=["python", "-c", "print(1)"], timeout="30m"),
    ),
    "run with everything": (
        ("run", "--detach", "--image", "hf.co/spaces/ada/demo", "--flavor", "a10g-small", "--timeout", "1.5h", "--attempts", "2",
         "--env", "EPOCHS=3", "--secret", "KEY", "--label", "suite=x", "--name", "first", "--expose", "80", "--expose-public", "8080",
         "--ssh", "--network-group", "g", "--network-alias", "a", "--resource-group-id", "66aa00bb11cc22dd33ee5599",
         "--volume", "hf://datasets/ada/words@v1/train:/data", "--volume", "hf://buckets/ada/b:/b:rw", "--", "run"),
        lambda api: api.run_job(
            image="hf.co/spaces/ada/demo", command=["run"], flavor="a10g-small", timeout="1.5h", attempts=2, env={"EPOCHS": "3"},
            secrets={"KEY": "s3cret"}, labels={"suite": "x"}, name="first", expose=[80], expose_public=[8080], ssh=True,
            network_group="g", network_aliases=["a"], resource_group_id="66aa00bb11cc22dd33ee5599",
            volumes=[Volume(type="dataset", source="ada/words", mount_path="/data", revision="v1", path="train"),
                     Volume(type="bucket", source="ada/b", mount_path="/b", read_only=False)]),
    ),
    "run in a namespace": (
        ("run", "--detach", "--namespace", "lab", "--timeout", "60", "--", "true"),
        lambda api: api.run_job(image="python:3.12", command=["true"], timeout=60, namespace="lab"),
    ),
    "uv script by address": (
        ("uv", "run", "--detach", "--timeout", "1h", "--with", "trl", "--python", "3.12", SCRIPT, "--epochs", "3"),
        lambda api: api.run_uv_job(SCRIPT, script_args=["--epochs", "3"], dependencies=["trl"], python="3.12", timeout="1h"),
    ),
    "uv command": (
        ("uv", "run", "--detach", "--timeout", "1h", "lighteval", "list"),
        lambda api: api.run_uv_job("lighteval", script_args=["list"], timeout="1h"),
    ),
    "duplicate": (("duplicate", JOB), lambda api: api.rerun_job(job_id=JOB)),
    "schedule": (
        ("schedule", "create", "0 9 * * 1", "--timeout", "30m", "--suspend", "--concurrency", "--", "python", "x"),
        lambda api: api.create_scheduled_job(
            image="python:3.12", command=["python", "x"], schedule="0 9 * * 1", timeout="30m", suspend=True, concurrency=True),
    ),
    "schedule run": (("schedule", "run", JOB), lambda api: api.trigger_scheduled_job(scheduled_job_id=JOB)),
}
SAME = {
    "list": (("ls",), lambda api: api.list_jobs()),
    "list with filters": (
        ("ls", "--stage", "running", "--stage", "ERROR", "--label", "a=b", "--label", "c=d"),
        lambda api: api.list_jobs(status=["running", "ERROR"], labels={"a": "b", "c": "d"}),
    ),
    "inspect": (("show", JOB), lambda api: api.inspect_job(job_id=JOB)),
    "wait": (("wait", JOB), lambda api: api.wait_for_job(JOB)),
    "labels": (("label", JOB, "a=b", "c=d"), lambda api: api.update_job_labels(job_id=JOB, labels={"a": "b", "c": "d"})),
    "no labels": (("label", JOB), lambda api: api.update_job_labels(job_id=JOB, labels={})),
    "expose": (("expose", JOB, "80", "--public", "8080"), lambda api: api.update_job_expose(job_id=JOB, expose=[80], expose_public=[8080])),
    "metrics": (("metrics", JOB), lambda api: api.fetch_job_metrics(job_id=JOB)),
    "hardware": (("hardware",), lambda api: api.list_jobs_hardware()),
    "schedule list": (("schedule", "ls", "--label", "a=b"), lambda api: api.list_scheduled_jobs(labels={"a": "b"})),
    "schedule inspect": (("schedule", "show", JOB), lambda api: api.inspect_scheduled_job(scheduled_job_id=JOB)),
    "schedule set": (
        ("schedule", "set", JOB, "@daily"),
        lambda api: api.update_scheduled_job_schedule(scheduled_job_id=JOB, schedule="@daily"),
    ),
}
LOOKING = {
    "schedule delete": (("schedule", "rm", JOB), lambda api: api.delete_scheduled_job(scheduled_job_id=JOB)),
    "schedule labels": (
        ("schedule", "label", JOB, "a=b"),
        lambda api: api.update_scheduled_job_labels(scheduled_job_id=JOB, labels={"a": "b"}),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_requests_are_the_official_client_s(name, ours, theirs):
    command, call = SAME[name]
    wanted = theirs(call)
    assert wanted, "the official client asked nothing"
    assert ours(*command) == wanted


@pytest.mark.parametrize("name", LOOKING)
def test_a_schedule_is_read_before_it_is_changed(name, ours, theirs):
    assert "schedules have a label" in DIFFERENCES
    command, call = LOOKING[name]
    wanted = theirs(call)
    assert wanted, "the official client asked nothing"
    assert ours(*command) == [SCHEDULED_LOOK, *wanted]


def without_safety(requests):
    """What is left of starting a job without the two differences that make it safe."""
    left = []
    for method, path, query, body in requests:
        look = path == "/api/jobs/hardware" or (method, path, query, body) in (LOOK, SCHEDULED_LOOK)
        look = look or path == f"/api/jobs/lab/{JOB}" or [key for key, value in query if value.startswith(f"{INTENT}=")] == ["label"]
        if method == "GET" and look:
            continue
        if path in ("/api/jobs/ada", "/api/jobs/lab"):
            assert body["labels"].pop(INTENT).startswith("job-")
        if (method, path) == ("POST", "/api/scheduled-jobs/ada"):
            assert body["jobSpec"]["labels"].pop("bashgym-schedule")
        left.append((method, path, query, body))
    return left


@pytest.mark.parametrize("name", STARTING)
def test_what_starts_a_job_differs_as_listed(name, ours, theirs):
    assert {"starting asks the price", "starting is exactly once"} < set(DIFFERENCES)
    command, call = STARTING[name]
    wanted = theirs(call)
    assert wanted, "the official client asked nothing"
    got = ours(*command)
    assert without_safety(got) == wanted
    posts = [index for index, request in enumerate(got) if request[0] == "POST"]
    prices = [index for index, request in enumerate(got) if request[1] == "/api/jobs/hardware"]
    assert len(posts) == 1 and prices and prices[0] < posts[0], "the price is known before anything is sent"


def test_a_job_that_is_not_what_was_asked_for_is_canceled_and_the_field_named(recorder, ours):
    recorder.drift = {"flavor": "a10g-small"}
    seen = ours("run", "--detach", "--", "true", ok=(9,))
    assert [path for method, path, _, _ in seen if method == "POST"] == ["/api/jobs/ada", f"/api/jobs/ada/{JOB}/cancel"]
    error = json.loads(ours.done.stdout)
    assert error["kind"] == "job_failed" and "flavor: asked cpu-basic, got a10g-small" in error["message"]


def test_a_lost_answer_makes_no_second_job(recorder, ours):
    recorder.loses_answers = True
    seen = ours("run", "--detach", "--", "true")
    assert len([path for method, path, _, _ in seen if method == "POST"]) == 1
    assert json.loads(ours.done.stdout)["job_id"] == JOB


def test_cancel_differs_as_listed(ours, theirs):
    assert "cancel looks first" in DIFFERENCES
    assert theirs(lambda api: api.cancel_job(job_id=JOB)) == [("POST", f"/api/jobs/ada/{JOB}/cancel", [], None)]
    # The recorded job is over, so nothing is sent to cancel it.
    assert ours("cancel", JOB, ok=(7,)) == [LOOK]


def test_logs_differ_as_listed(ours, theirs):
    assert "logs ask once" in DIFFERENCES
    logs = ("GET", f"/api/jobs/ada/{JOB}/logs", [("tail", "5")], None)
    wanted = theirs(lambda api: api.fetch_job_logs(job_id=JOB, tail=5))
    got = ours("logs", "--tail", "5", JOB)
    assert [request for request in wanted if request != LOOK] == [logs]
    assert [request for request in got if request != LOOK] == [logs]


def test_schedule_verbs_differ_as_listed(ours, theirs):
    assert "schedule verbs show" in DIFFERENCES
    for verb, call in (("suspend", "suspend_scheduled_job"), ("resume", "resume_scheduled_job")):
        told = ("POST", f"/api/scheduled-jobs/ada/{JOB}/{verb}", [], None)
        assert theirs(lambda api: getattr(api, call)(scheduled_job_id=JOB)) == [told]
        assert ours("schedule", verb, JOB) == [told, SCHEDULED_LOOK]
