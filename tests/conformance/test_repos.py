"""Making, seeing, changing and deleting repos."""

import uuid

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError


def name(what: str) -> str:
    return f"ada/conformance-{what}-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_a_repo_is_made_seen_and_deleted(api, hub, repo_type):
    repo_id = name(repo_type)
    url = api.create_repo(repo_id, repo_type=repo_type)
    prefix = "" if repo_type == "model" else f"{repo_type}s/"
    assert (url, url.repo_id, url.repo_type) == (f"{hub.endpoint}/{prefix}{repo_id}", repo_id, repo_type)
    info = api.repo_info(repo_id, repo_type=repo_type)
    assert (info.id, info.private, len(info.sha)) == (repo_id, False, 40)
    assert [sibling.rfilename for sibling in info.siblings] == [".gitattributes"]
    api.delete_repo(repo_id, repo_type=repo_type)
    assert not api.repo_exists(repo_id, repo_type=repo_type)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo_id, repo_type=repo_type)
    api.delete_repo(repo_id, repo_type=repo_type, missing_ok=True)


def test_a_repo_that_exists_is_409_unless_that_is_fine(api, repo):
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo(repo)
    assert caught.value.response.status_code == 409
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    assert api.model_info(repo).private, "exist_ok changes nothing"


def test_a_missing_repo_is_repository_not_found(api):
    missing = name("missing")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(missing)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download(missing, "config.json")
    with pytest.raises(RepositoryNotFoundError):
        list(api.list_repo_tree(missing))


def test_a_private_repo_is_not_there_for_others(api, reader, grace, repo, tmp_path):
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo)
    assert reader.model_info(repo).private
    for stranger in (grace, HfApi(token=False)):
        with pytest.raises(RepositoryNotFoundError):
            stranger.model_info(repo)
        with pytest.raises(RepositoryNotFoundError):
            stranger.list_repo_files(repo)
        with pytest.raises(RepositoryNotFoundError):
            stranger.hf_hub_download(repo, "config.json", cache_dir=tmp_path)
        assert repo not in [model.id for model in stranger.list_models(author="ada")]
    assert repo in [model.id for model in api.list_models(author="ada")]


def test_only_the_owner_with_a_writing_token_may_write(api, reader, grace):
    repo_id = name("public")
    api.create_repo(repo_id)
    assert grace.model_info(repo_id).id == repo_id
    for client in (grace, reader):
        with pytest.raises(HfHubHTTPError) as caught:
            client.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo_id)
        assert caught.value.response.status_code == 403
        with pytest.raises(HfHubHTTPError) as caught:
            client.delete_repo(repo_id)
        assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as caught:
        grace.create_repo(name("in-the-room-of-another"))
    assert caught.value.response.status_code == 403
    api.delete_repo(repo_id)


def test_settings_make_a_repo_public_and_private_again(api, grace, repo):
    api.update_repo_settings(repo, private=False)
    assert grace.model_info(repo).private is False
    api.update_repo_settings(repo, private=True)
    with pytest.raises(RepositoryNotFoundError):
        grace.model_info(repo)


def test_a_moved_repo_is_at_its_new_name_and_answers_to_the_old_one(api, repo):
    api.upload_file(path_or_fileobj=b"here", path_in_repo="where.txt", repo_id=repo)
    head, moved = api.model_info(repo).sha, name("moved")
    api.move_repo(repo, moved)
    assert (api.model_info(moved).id, api.model_info(moved).sha) == (moved, head)
    assert api.model_info(repo).id == moved
    with open(api.hf_hub_download(moved, "where.txt")) as file:
        assert file.read() == "here"
    api.delete_repo(moved)
    assert not api.repo_exists(repo)


def test_a_list_has_pages(api):
    author, prefix = "ada", f"conformance-page-{uuid.uuid4().hex[:8]}"
    made = [f"{author}/{prefix}-{number}" for number in range(5)]
    for repo_id in made:
        api.create_repo(repo_id)
    found = [model.id for model in api.list_models(author=author, search=prefix)]
    assert sorted(found) == made
    assert len(list(api.list_models(author=author, search=prefix, limit=2))) == 2
    for repo_id in made:
        api.delete_repo(repo_id)
