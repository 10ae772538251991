"""Files in, the same bytes out: over Xet, over LFS, and over plain HTTP."""

import os
import random
import shutil
import subprocess
import sys

import httpx2
import pytest
from huggingface_hub import constants, get_token, hf_hub_url

from conftest import sha256_of

WITH_XET = not constants.HF_HUB_DISABLE_XET


def plain_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {get_token()}"}


def in_another_client(hub, script: str, *arguments, disable_xet: bool) -> str:
    """Runs `script` with the same client in the other mode, with an empty cache."""
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1" if disable_xet else "0"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DOWNLOAD = """
import sys
from huggingface_hub import hf_hub_download
print(hf_hub_download(sys.argv[1], sys.argv[2], local_dir=sys.argv[3]))
"""

UPLOAD = """
import sys
from huggingface_hub import upload_file
upload_file(path_or_fileobj=sys.argv[1], path_in_repo=sys.argv[2], repo_id=sys.argv[3])
"""


@pytest.mark.parametrize("size", [10, 11_000_000, 300_000_000])
def test_a_file_comes_back_as_it_was(api, repo, sample, tmp_path, size):
    file = sample(size)
    commit = api.upload_file(path_or_fileobj=file.path, path_in_repo="dir/model.bin", repo_id=repo)
    assert commit.oid == api.model_info(repo).sha
    info = api.get_paths_info(repo, "dir/model.bin")[0]
    assert (info.size, info.lfs.sha256) == (size, file.sha256)
    assert (info.xet_hash is not None) == WITH_XET
    downloaded = api.hf_hub_download(repo, "dir/model.bin", cache_dir=tmp_path)
    assert sha256_of(downloaded) == file.sha256
    shutil.rmtree(tmp_path)


def test_a_folder_of_500_files_comes_back_as_it_was(api, repo, tmp_path):
    source = random.Random("a folder of 500 files")
    folder, files = tmp_path / "in", {}
    for number in range(500):
        extension = source.choice(["txt", "json", "bin", "safetensors"])
        path = f"part-{number % 7}/deep/{number:03}.{extension}"
        files[path] = source.randbytes(source.choice([0, 1, 100, 5000, 60_000]))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(files[path])
    api.upload_folder(folder_path=folder, repo_id=repo)
    assert set(api.list_repo_files(repo)) == {*files, ".gitattributes"}
    out = api.snapshot_download(repo, local_dir=tmp_path / "out")
    for path, content in files.items():
        with open(os.path.join(out, path), "rb") as file:
            assert file.read() == content, path

    head = api.model_info(repo).sha
    api.upload_folder(folder_path=folder, repo_id=repo)
    assert api.model_info(repo).sha == head, "sending it again changes nothing"


def test_a_snapshot_of_a_revision_has_its_files_and_no_others(api, repo, sample, tmp_path):
    old, new = sample(2_000_000, seed=1), sample(2_000_000, seed=2)
    first = api.upload_file(path_or_fileobj=old.path, path_in_repo="model.bin", repo_id=repo).oid
    api.upload_file(path_or_fileobj=new.path, path_in_repo="model.bin", repo_id=repo)
    api.upload_file(path_or_fileobj=b"later", path_in_repo="later.txt", repo_id=repo)
    at_first = api.snapshot_download(repo, revision=first, cache_dir=tmp_path)
    assert sorted(os.listdir(at_first)) == [".gitattributes", "model.bin"]
    assert sha256_of(os.path.join(at_first, "model.bin")) == old.sha256
    at_head = api.snapshot_download(repo, cache_dir=tmp_path, allow_patterns=["*.bin"])
    assert os.listdir(at_head) == ["model.bin"]
    assert sha256_of(os.path.join(at_head, "model.bin")) == new.sha256


def test_a_changed_file_is_rebuilt_from_old_and_new_chunks(api, repo, sample, tmp_path):
    file = sample(20_000_000, seed=3)
    changed = tmp_path / "changed.bin"
    content = bytearray(file.path.read_bytes())
    content[7_000_000:7_000_100] = b"x" * 5000
    content += b"and an end"
    changed.write_bytes(content)
    api.upload_file(path_or_fileobj=file.path, path_in_repo="model.bin", repo_id=repo)
    api.upload_file(path_or_fileobj=changed, path_in_repo="model.bin", repo_id=repo)
    assert sha256_of(api.hf_hub_download(repo, "model.bin", cache_dir=tmp_path / "cache")) == sha256_of(changed)


@pytest.mark.parametrize("kind", ["lfs", "regular"])
def test_a_plain_http_client_reads_ranges(api, repo, sample, kind):
    content = sample(3_000_000, seed=4).path.read_bytes() if kind == "lfs" else b"0123456789" * 100
    path = "model.bin" if kind == "lfs" else "text.txt"
    api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo)
    url, size = hf_hub_url(repo, path), len(content)

    def get(range_header: str):
        return httpx2.get(url, headers={**plain_headers(), "Range": range_header}, follow_redirects=True)

    for header, start, end in [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        (f"bytes={size - 5}-", size - 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=500-{size * 2}", 500, size),
    ]:
        response = get(header)
        assert (response.status_code, response.headers["content-range"]) == (206, f"bytes {start}-{end - 1}/{size}"), header
        assert response.content == content[start:end], header
    assert get(f"bytes={size}-").status_code == 416
    whole = httpx2.get(url, headers=plain_headers(), follow_redirects=True)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-length"] == str(size)
    assert httpx2.get(url, follow_redirects=True).status_code == 401, "a private repo, without a token"


def test_head_tells_commit_size_and_etag(api, repo, sample):
    file = sample(3_000_000, seed=4)
    commit = api.upload_file(path_or_fileobj=file.path, path_in_repo="model.bin", repo_id=repo).oid
    head = httpx2.head(hf_hub_url(repo, "model.bin"), headers={**plain_headers(), "Accept-Encoding": "identity"})
    assert head.status_code == 302
    assert head.headers["x-repo-commit"] == commit
    assert head.headers["x-linked-size"] == str(file.size)
    assert head.headers["x-linked-etag"] == f'"{file.sha256}"'
    assert ("x-xet-hash" in head.headers) == WITH_XET
    location, endpoint = httpx2.URL(head.headers["location"]), httpx2.URL(api.endpoint)
    assert (location.host, location.port) != (endpoint.host, endpoint.port), "payloads come from another origin"


@pytest.mark.skipif(not WITH_XET, reason="needs hf_xet on this side")
def test_what_was_sent_over_xet_is_read_without_it_and_the_other_way_round(api, hub, repo, sample, tmp_path):
    over_xet, over_lfs = sample(12_000_000, seed=5), sample(12_000_000, seed=6)
    api.upload_file(path_or_fileobj=over_xet.path, path_in_repo="xet.bin", repo_id=repo)
    path = in_another_client(hub, DOWNLOAD, repo, "xet.bin", tmp_path / "plain", disable_xet=True)
    assert sha256_of(path) == over_xet.sha256

    in_another_client(hub, UPLOAD, over_lfs.path, "lfs.bin", repo, disable_xet=True)
    assert sha256_of(api.hf_hub_download(repo, "lfs.bin", cache_dir=tmp_path / "cache")) == over_lfs.sha256

    # The same bytes both ways are one object.
    api.upload_file(path_or_fileobj=over_lfs.path, path_in_repo="again.bin", repo_id=repo)
    by_path = {entry.path: entry for entry in api.get_paths_info(repo, ["lfs.bin", "again.bin"])}
    assert by_path["lfs.bin"].lfs.sha256 == by_path["again.bin"].lfs.sha256 == over_lfs.sha256


@pytest.mark.skipif(not WITH_XET, reason="without hf_xet there is no such token")
def test_a_xet_token_goes_only_to_one_who_may_use_it(api, reader, grace, hub, repo):
    def ask(kind: str, token: str | None, revision: str = "main"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.get(f"{hub.endpoint}/api/models/{repo}/xet-{kind}-token/{revision}", headers=headers)

    granted = ask("write", get_token())
    assert granted.status_code == 200
    body = granted.json()
    assert set(body) >= {"casUrl", "accessToken", "exp"}
    assert granted.headers["x-xet-cas-url"] == body["casUrl"]
    assert granted.headers["x-xet-access-token"] == body["accessToken"]
    assert granted.headers["x-xet-token-expiration"] == str(body["exp"])
    assert ask("write", get_token(), "None").status_code == 200, "asked for when the commit opens a pull request"
    assert ask("read", reader.token).status_code == 200
    assert ask("write", reader.token).status_code == 403
    assert ask("read", grace.token).status_code == 404
    assert ask("read", None).status_code == 401

    xorb = f"{body['casUrl']}/v1/xorbs/default/{'0' * 64}"
    assert httpx2.post(xorb, content=b"").status_code == 401
    reading = {"Authorization": f"Bearer {ask('read', get_token()).json()['accessToken']}"}
    assert httpx2.post(xorb, content=b"", headers=reading).status_code == 403
