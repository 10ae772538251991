"""Who is asking."""

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

import conftest


def test_the_ready_line_names_the_accounts(hub):
    assert hub.endpoint.startswith("http://127.0.0.1:")
    assert [(account["name"], account["token"]) for account in hub.accounts] == [
        (account["name"], account["token"]) for account in conftest.ACCOUNTS
    ]


def test_whoami_tells_the_account_and_its_plan(api, grace):
    ada = api.whoami()
    assert (ada["type"], ada["name"], ada["isPro"]) == ("user", "ada", True)
    assert grace.whoami()["name"] == "grace"
    assert grace.whoami()["isPro"] is False


def test_whoami_tells_the_role_of_the_token(api, reader):
    assert api.whoami()["auth"]["accessToken"]["role"] == "write"
    assert reader.whoami()["auth"]["accessToken"]["role"] == "read"


def test_a_wrong_token_is_401(hub):
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(token="hf_NobodyHasThisToken").whoami()
    assert caught.value.response.status_code == 401


def test_a_wrong_token_is_not_taken_for_a_missing_repo(hub, repo):
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(token="hf_NobodyHasThisToken").create_repo("ada/never-made")
    assert caught.value.response.status_code == 401
    assert type(caught.value) is HfHubHTTPError


def test_an_unknown_route_is_501_and_named(hub):
    response = httpx2.get(f"{hub.endpoint}/api/no-such-thing")
    assert response.status_code == 501
    assert "/api/no-such-thing" in response.json()["error"]
