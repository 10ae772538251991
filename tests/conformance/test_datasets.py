"""What was pushed is read by the `datasets` package, unmodified, and shown by the viewer's API."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ADA

ROOT = Path(__file__).parents[2]
SESSIONS = ROOT / "fixtures" / "sessions"
FILES = {"train": "train.jsonl", "validation": "val.jsonl"}


def bashgym(hub, home: Path, *arguments) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    environment |= {"BASHGYM_HOME": str(home), "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ADA}
    command = [os.environ["BASHGYM_BIN"], "--format", "json", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def pushed(hub, tmp_path_factory):
    """A dataset built from the sample sessions and pushed; its folder and its repository."""
    folder = tmp_path_factory.mktemp("dataset")
    rows, home = folder / "rows", folder / "home"
    bashgym(hub, home, "data", "build", SESSIONS, "--out", rows)
    answer = json.loads(bashgym(hub, home, "data", "push", rows, "conformance-rows").splitlines()[-1])
    assert answer["repo_id"] == "ada/conformance-rows"
    return rows, answer["repo_id"]


def without_nulls(value):
    """Arrow stores one shape: what a message leaves out comes back as None."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def test_load_dataset_gives_every_row_as_it_was_written(pushed, tmp_path):
    from datasets import load_dataset

    folder, repo = pushed
    loaded = load_dataset(repo, cache_dir=str(tmp_path))
    assert set(loaded) == set(FILES)
    calls = 0
    for split, file in FILES.items():
        written = [json.loads(line) for line in (folder / file).read_text().splitlines()]
        assert len(loaded[split]) == len(written) > 0
        for got, want in zip(loaded[split], written, strict=True):
            assert without_nulls(got) == without_nulls(want)
            for message in got["messages"]:
                for call in message["tool_calls"] or []:
                    assert isinstance(json.loads(call["function"]["arguments"]), dict)
                    calls += 1
            assert isinstance(json.loads(got["tools"]), list)
    assert calls > 0


def test_rows_that_were_pushed_as_parquet_are_the_same(hub, pushed, tmp_path):
    import pyarrow.parquet as pq
    from datasets import load_dataset
    from huggingface_hub import hf_hub_download

    folder, repo = pushed
    answer = json.loads(
        bashgym(hub, tmp_path / "home", "data", "push", folder, "conformance-parquet", "--parquet").splitlines()[-1]
    )
    loaded = load_dataset(answer["repo_id"], cache_dir=str(tmp_path))
    features = load_dataset(repo, split="train", cache_dir=str(tmp_path)).features
    for split, file in FILES.items():
        written = [json.loads(line) for line in (folder / file).read_text().splitlines()]
        assert loaded[split].features == features
        assert [without_nulls(row) for row in loaded[split]] == [without_nulls(row) for row in written]
    # The card's types and those in the file agree without a cast.
    path = hf_hub_download(answer["repo_id"], "train.parquet", repo_type="dataset", cache_dir=str(tmp_path / "hub"))
    table = pq.read_table(path)
    assert table.schema.remove_metadata().equals(features.arrow_schema.remove_metadata())
    streamed = list(load_dataset(answer["repo_id"], split="validation", streaming=True))
    written = [json.loads(line) for line in (folder / "val.jsonl").read_text().splitlines()]
    assert [without_nulls(row) for row in streamed] == [without_nulls(row) for row in written]


def test_streaming_gives_the_same_rows(pushed):
    from datasets import load_dataset

    folder, repo = pushed
    streamed = list(load_dataset(repo, split="validation", streaming=True))
    written = [json.loads(line) for line in (folder / "val.jsonl").read_text().splitlines()]
    assert [without_nulls(row) for row in streamed] == [without_nulls(row) for row in written]


def test_the_columns_have_the_types_of_the_card_and_the_viewer(hub, pushed, tmp_path):
    from datasets import load_dataset
    from huggingface_hub import get_session

    _, repo = pushed
    features = load_dataset(repo, split="train", cache_dir=str(tmp_path)).features
    query = {"dataset": repo, "config": "default", "split": "train"}
    headers = {"Authorization": f"Bearer {ADA}"}
    answer = get_session().get(f"{hub.endpoint}/first-rows", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    shown = {feature["name"]: feature["type"] for feature in answer.json()["features"]}
    assert shown == features.to_dict()
    assert features["tools"].dtype == "string"
    assert features["messages"].feature["tool_calls"].feature["function"]["arguments"].dtype == "string"
