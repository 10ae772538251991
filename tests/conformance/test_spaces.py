"""Spaces through the official client."""

import uuid

import pytest
from huggingface_hub import CommitOperationAdd, SpaceStage
from huggingface_hub.errors import HfHubHTTPError

FILES = {"app.py": b"import gradio\n", "README.md": b"---\ntitle: Demo\nsdk: gradio\n---\n"}


def commit(api, space, files):
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(space, operations, commit_message="files", repo_type="space")


@pytest.fixture
def space(api):
    """A fresh gradio Space with an app."""
    repo_id = f"ada/conformance-{uuid.uuid4().hex[:12]}"
    api.create_repo(
        repo_id, repo_type="space", space_sdk="gradio", private=True, space_hardware="zero-a10g",
        space_secrets=[{"key": "TOKEN", "value": "x"}], space_variables=[{"key": "MODEL", "value": "ada/tiny"}])
    commit(api, repo_id, FILES)
    yield repo_id
    api.delete_repo(repo_id, repo_type="space", missing_ok=True)


def test_a_space_is_waited_for_and_shows_its_hardware(api, space):
    runtime = api.wait_for_space(space, timeout=60, poll_interval=0.1)
    assert (runtime.stage, runtime.hardware, runtime.requested_hardware) == (SpaceStage.RUNNING, "zero-a10g", "zero-a10g")
    assert "simulated" in runtime.raw
    info = api.space_info(space)
    assert (info.sdk, info.runtime.stage) == ("gradio", SpaceStage.RUNNING)
    assert info.host.endswith(f"/apps/{space}/")
    assert [found.id for found in api.list_spaces(author="ada", search=space.split("/")[1], expand=["runtime"])] == [space]


def test_secrets_and_variables(api, space):
    api.add_space_secret(space, "OTHER", "y", description="why")
    assert {key: secret.description for key, secret in api.get_space_secrets(space).items()} == {"OTHER": "why", "TOKEN": None}
    api.delete_space_secret(space, "TOKEN")
    assert list(api.get_space_secrets(space)) == ["OTHER"]
    assert api.add_space_variable(space, "B", "2")["B"].value == "2"
    assert set(api.delete_space_variable(space, "MODEL")) == {"B"}


def test_control(api, space):
    assert api.pause_space(space).stage == SpaceStage.PAUSED
    assert api.restart_space(space, factory_reboot=True).stage != SpaceStage.PAUSED
    assert api.set_space_sleep_time(space, 3600).sleep_time == 3600
    assert api.request_space_hardware(space, "t4-small").requested_hardware == "t4-small"
    assert api.enable_space_dev_mode(space).raw["devMode"] is True
    assert api.disable_space_dev_mode(space).raw["devMode"] is False
    assert "zero-a10g" in [hardware.name for hardware in api.list_spaces_hardware()]


def test_logs_say_what_is_simulated(api, space):
    api.wait_for_space(space, timeout=60, poll_interval=0.1)
    for build in (True, False):
        lines = list(api.fetch_space_logs(space, build=build))
        assert any("simulated" in line for line in lines), lines


def test_what_can_not_run_ends_in_its_own_stage(api, space):
    commit(api, space, {"README.md": b"---\nsdk: gradio\napp_file: none.py\n---\n"})
    assert api.wait_for_space(space, timeout=60, poll_interval=0.1).stage == SpaceStage.NO_APP_FILE


def test_a_free_account_meets_the_plan(grace):
    name = f"grace/conformance-{uuid.uuid4().hex[:12]}"
    with pytest.raises(HfHubHTTPError) as refused:
        grace.create_repo(name, repo_type="space", space_sdk="gradio")
    assert refused.value.response.status_code == 402
    assert not grace.repo_exists(name, repo_type="space")


def test_a_space_is_duplicated_with_its_files_and_without_its_secrets(api, space):
    to = f"{space}-copy"
    url = api.duplicate_repo(space, to, repo_type="space", space_hardware="zero-a10g", space_variables=[{"key": "A", "value": "1"}])
    assert url.repo_id == to
    assert api.list_repo_files(to, repo_type="space") == api.list_repo_files(space, repo_type="space")
    info = api.space_info(to)
    assert info.private and info.sdk == "gradio" and info.runtime.requested_hardware == "zero-a10g"
    assert api.get_space_secrets(to) == {} and set(api.get_space_variables(to)) == {"A"}
    with pytest.raises(HfHubHTTPError) as taken:
        api.duplicate_repo(space, to, repo_type="space")
    assert taken.value.response.status_code == 409
    api.delete_repo(to, repo_type="space")
