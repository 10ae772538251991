"""Writes down what the official client sends for calls about Spaces, to a server on this machine: official.json beside this file.

    python make.py            prints the recording
    python make.py --write    replaces official.json

`tests/recorded.rs` compares this crate's requests with the file; the conformance tests compare the file with the installed
`huggingface_hub`.
"""

import json
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from huggingface_hub import CommitOperationAdd, HfApi

TOKEN = "hf_RecordingToken00000000000000000000001"
SPACE = "ada/demo"
RUNTIME = {"stage": "RUNNING", "hardware": {"current": "t4-small", "requested": "t4-small"}, "storage": None, "gcTimeout": None}
SETTING = {"A": {"key": "A", "value": "1", "updatedAt": "2026-10-09T08:00:00.000Z"}}
SECRETS = [{"key": "A", "value": "1"}]
VARIABLES = [{"key": "B", "value": "2"}]


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        assert self.headers.get("Authorization") == f"Bearer {TOKEN}"
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = [json.loads(line) for line in raw.splitlines()]
        self.server.seen.append({"method": self.command, "path": url.path, "query": sorted(parse_qsl(url.query)), "body": body})
        last, kind = url.path.rsplit("/", 1)[-1], "application/json"
        if url.path == "/api/repos/create" or last == "duplicate":
            reply = {"url": "https://huggingface.co/spaces/ada/demo", "name": SPACE, "id": "66aa00bb11cc22dd33ee6601"}
        elif last in ("secrets", "variables"):
            reply = SETTING
        elif last == "hardware" and self.command == "GET" or url.path == "/api/spaces":
            reply = []
        elif "/logs/" in url.path:
            kind, reply = "text/event-stream", 'data: {"data": "hi", "timestamp": "2026-10-09T08:00:22.113Z"}\n\n'
        elif "/preupload/" in url.path:
            reply = {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in body["files"]]}
        elif "/commit/" in url.path:
            reply = {"success": True, "commitOid": "1" * 40, "commitUrl": "https://huggingface.co/spaces/ada/demo/commit/" + "1" * 40}
        elif url.path == f"/api/spaces/{SPACE}":
            reply = {"_id": "1", "id": SPACE, "sha": "1" * 40, "private": False, "siblings": [], "subdomain": "ada-demo"}
        else:
            reply = RUNTIME
        data = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = answer


CALLS = {
    "create": lambda api: api.create_repo(
        SPACE, repo_type="space", space_sdk="gradio", visibility="private", space_hardware="t4-small", space_sleep_time=3600,
        space_secrets=SECRETS, space_variables=VARIABLES),
    "delete": lambda api: api.delete_repo(SPACE, repo_type="space"),
    "info": lambda api: api.space_info(SPACE),
    "list": lambda api: list(api.list_spaces(
        author="ada", expand=["author", "lastModified", "private", "runtime", "sdk", "sha", "subdomain"])),
    "runtime": lambda api: api.get_space_runtime(SPACE),
    "hardware": lambda api: api.request_space_hardware(SPACE, "t4-small"),
    "hardware with sleep": lambda api: api.request_space_hardware(SPACE, "t4-small", sleep_time=-1),
    "sleep": lambda api: api.set_space_sleep_time(SPACE, 3600),
    "pause": lambda api: api.pause_space(SPACE),
    "restart": lambda api: api.restart_space(SPACE),
    "restart factory": lambda api: api.restart_space(SPACE, factory_reboot=True),
    "dev mode": lambda api: api.enable_space_dev_mode(SPACE),
    "dev mode off": lambda api: api.disable_space_dev_mode(SPACE),
    "secrets": lambda api: api.get_space_secrets(SPACE),
    "set secret": lambda api: api.add_space_secret(SPACE, "A", "1", description="why"),
    "delete secret": lambda api: api.delete_space_secret(SPACE, "A"),
    "variables": lambda api: api.get_space_variables(SPACE),
    "set variable": lambda api: api.add_space_variable(SPACE, "A", "1"),
    "delete variable": lambda api: api.delete_space_variable(SPACE, "A"),
    "list hardware": lambda api: api.list_spaces_hardware(),
    "duplicate": lambda api: api.duplicate_repo(
        SPACE, "ada/copy", repo_type="space", visibility="private", space_hardware="t4-small", space_sleep_time=3600,
        space_secrets=SECRETS, space_variables=VARIABLES),
    "build log": lambda api: list(api.fetch_space_logs(SPACE, build=True)),
    "run log": lambda api: list(api.fetch_space_logs(SPACE)),
    "commit": lambda api: api.create_commit(
        SPACE, [CommitOperationAdd("a.txt", b"x\n")], commit_message="more", repo_type="space", parent_commit="2" * 40),
}


def recording():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = HfApi(endpoint=f"http://127.0.0.1:{server.server_port}", token=TOKEN)
    recorded = {}
    for name, call in CALLS.items():
        server.seen = []
        call(api)
        recorded[name] = server.seen
    server.shutdown()
    return recorded


if __name__ == "__main__":
    text = json.dumps(recording(), indent=1, sort_keys=True) + "\n"
    if "--write" in sys.argv:
        pathlib.Path(__file__).with_name("official.json").write_text(text)
    else:
        sys.stdout.write(text)
