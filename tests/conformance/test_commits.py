"""Commits, and what a repo looks like after them."""

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError


def add(path: str, content: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)


def files(api, repo, revision=None) -> set[str]:
    return set(api.list_repo_files(repo, revision=revision)) - {".gitattributes"}


def test_one_commit_adds_deletes_and_copies(api, repo, sample):
    weights = sample(11_000_000)
    first = api.create_commit(
        repo,
        [
            add("README.md", b"---\nlicense: mit\n---\n# Tiny\n"),
            add("config.json", b"{}"),
            add("logs/a.txt", b"a"),
            add("logs/deep/b.txt", b"b"),
            CommitOperationAdd("model.safetensors", weights.path),
        ],
        commit_message="Start",
        commit_description="With everything",
    )
    assert (len(first.oid), first.commit_message) == (40, "Start")
    assert api.model_info(repo).sha == first.oid
    assert files(api, repo) == {"README.md", "config.json", "logs/a.txt", "logs/deep/b.txt", "model.safetensors"}

    second = api.create_commit(
        repo,
        [
            CommitOperationDelete("config.json"),
            CommitOperationDelete("logs/"),
            CommitOperationCopy("model.safetensors", "copies/model.safetensors"),
            CommitOperationCopy("README.md", "copies/README.md"),
        ],
        commit_message="Change",
    )
    assert files(api, repo) == {"README.md", "model.safetensors", "copies/model.safetensors", "copies/README.md"}
    original, copy = api.get_paths_info(repo, ["model.safetensors", "copies/model.safetensors"])
    by_path = {entry.path: entry for entry in (original, copy)}
    assert by_path["model.safetensors"].lfs.sha256 == by_path["copies/model.safetensors"].lfs.sha256 == weights.sha256
    assert by_path["copies/model.safetensors"].size == weights.size
    assert api.get_paths_info(repo, "copies/README.md")[0].blob_id == api.get_paths_info(repo, "README.md")[0].blob_id
    assert files(api, repo, first.oid) >= {"config.json", "logs/a.txt"}, "the first commit is as it was"

    commits = api.list_repo_commits(repo)
    assert [commit.commit_id for commit in commits[:2]] == [second.oid, first.oid]
    assert (commits[1].title, commits[1].message, commits[1].authors) == ("Start", "With everything", ["ada"])
    assert len(commits) == 3, "and the one that made the repo"


def test_the_tree_tells_kind_size_and_oid(api, repo):
    api.create_commit(repo, [add("a.txt", b"hello\n"), add("dir/b.txt", b"b"), add("dir/sub/c.txt", b"c")], commit_message="Add")
    top = {entry.path: entry for entry in api.list_repo_tree(repo)}
    assert set(top) == {".gitattributes", "a.txt", "dir"}
    assert (top["a.txt"].size, top["a.txt"].blob_id) == (6, "ce013625030ba8dba906f756967f9e9ca394464a")
    assert top["a.txt"].lfs is None
    assert type(top["dir"]).__name__ == "RepoFolder" and len(top["dir"].tree_id) == 40
    whole = {entry.path for entry in api.list_repo_tree(repo, recursive=True)}
    assert whole == {".gitattributes", "a.txt", "dir", "dir/b.txt", "dir/sub", "dir/sub/c.txt"}
    assert {entry.path for entry in api.list_repo_tree(repo, "dir")} == {"dir/b.txt", "dir/sub"}
    expanded = {entry.path: entry for entry in api.list_repo_tree(repo, expand=True)}
    assert expanded["a.txt"].last_commit.title == "Add"
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "missing"))
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree(repo, revision="missing"))


def test_a_commit_on_a_parent_that_is_not_the_head_is_412_and_changes_nothing(api, repo):
    old = api.model_info(repo).sha
    head = api.create_commit(repo, [add("a.txt", b"1")], commit_message="One", parent_commit=old).oid
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_commit(repo, [add("a.txt", b"2")], commit_message="Two", parent_commit=old)
    assert caught.value.response.status_code == 412
    assert api.model_info(repo).sha == head
    with open(api.hf_hub_download(repo, "a.txt")) as file:
        assert file.read() == "1"


def test_a_commit_that_changes_nothing_leaves_the_head(api, repo):
    head = api.create_commit(repo, [add("a.txt", b"same")], commit_message="One").oid
    again = api.create_commit(repo, [add("a.txt", b"same")], commit_message="Again").oid
    assert again == head == api.model_info(repo).sha


def test_branches_and_tags_keep_what_they_point_at(api, repo):
    first = api.create_commit(repo, [add("a.txt", b"main 1")], commit_message="One").oid
    api.create_tag(repo, tag="v1", tag_message="The first")
    api.create_branch(repo, branch="dev")
    on_dev = api.create_commit(repo, [add("a.txt", b"dev")], commit_message="Dev", revision="dev").oid
    on_main = api.create_commit(repo, [add("a.txt", b"main 2")], commit_message="Two").oid

    refs = api.list_repo_refs(repo)
    assert {branch.name: branch.target_commit for branch in refs.branches} == {"main": on_main, "dev": on_dev}
    assert {branch.name: branch.ref for branch in refs.branches} == {"main": "refs/heads/main", "dev": "refs/heads/dev"}
    assert [(tag.name, tag.ref, tag.target_commit) for tag in refs.tags] == [("v1", "refs/tags/v1", first)]

    def content(revision):
        with open(api.hf_hub_download(repo, "a.txt", revision=revision)) as file:
            return file.read()

    assert [content(at) for at in ("main", "dev", "v1", first)] == ["main 2", "dev", "main 1", "main 1"]

    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch(repo, branch="dev")
    assert caught.value.response.status_code == 409
    api.create_branch(repo, branch="dev", exist_ok=True)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_tag(repo, tag="v1")
    assert caught.value.response.status_code == 409
    api.create_branch(repo, branch="from-first", revision=first)
    assert api.model_info(repo, revision="from-first").sha == first

    api.delete_branch(repo, branch="dev")
    api.delete_tag(repo, tag="v1")
    refs = api.list_repo_refs(repo)
    assert {branch.name for branch in refs.branches} == {"main", "from-first"} and refs.tags == []
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(repo, "a.txt", revision="dev")


def test_what_is_not_there_has_its_own_error(api, repo):
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "missing.txt")
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(repo, ".gitattributes", revision="missing")
    with pytest.raises(HfHubHTTPError):
        api.create_commit(repo, [CommitOperationDelete("missing.txt")], commit_message="Delete what is not there")
    assert api.file_exists(repo, ".gitattributes") and not api.file_exists(repo, "missing.txt")
