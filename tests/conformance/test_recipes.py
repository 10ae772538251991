"""The recipes' scripts: they compile, know their configuration, resolve with uv, and on request train."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = ["sft", "dpo", "grpo", "distillation"]
HOSTILE = ["ada/plain", "ada/\"a\" 'b'", "ada/new\nline", "ada/{x} {{y}} %s $HOME `id`", "ada/ünïcödé-🦀", '"""); import os #']
COLUMNS = {name: name for name in ("messages", "tools", "prompt", "chosen", "rejected", "completion", "checks")}
UV_SECONDS = 120


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    environment = {"PATH": os.environ["PATH"], "BASHGYM_HOME": str(folder / "home")}
    for recipe in RECIPES:
        command = [os.environ["BASHGYM_BIN"], "train", "script", recipe]
        text = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
        (folder / f"{recipe}.py").write_bytes(text)
    return folder


def config_of(recipe, base, **more):
    config = {
        "format": "bashgym-train-1",
        "recipe": recipe,
        "run_id": "run",
        "base_model": {"repo_id": base, "revision": None, "path": None},
        "dataset": {
            "repo_id": "ada/data",
            "revision": "0" * 40,
            "path": None,
            "files": {"train": ["train.jsonl"], "validation": ["val.jsonl"]},
            "columns": COLUMNS,
        },
        "output": {"repo_id": base, "path": None},
        "method": "lora",
        "lora": {"r": 8, "alpha": 16, "dropout": 0.0},
        "seed": 42,
        "epochs": 1.0,
        "max_steps": 12,
        "max_seconds": None,
        "learning_rate": 5e-3,
        "warmup_share": 0.05,
        "weight_decay": 0.0,
        "batch_size": 4,
        "accumulation": 1,
        "sequence_length": 512,
        "gradient_checkpointing": False,
        "log_every_steps": 2,
        "eval_every_steps": 6,
        "early_stop_patience": 3,
        "checkpoint_every_seconds": 600,
        "stop_after_seconds": None,
        "dpo": {"beta": 0.1},
        "grpo": {"generations": 4, "completion_length": 16, "temperature": 1.0, "run_commands": True},
    }
    config.update(more)
    return config


@pytest.mark.parametrize("recipe", RECIPES)
def test_script_compiles(scripts, recipe):
    subprocess.run([sys.executable, "-m", "py_compile", str(scripts / f"{recipe}.py")], check=True)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("base", HOSTILE)
def test_values_are_data(scripts, recipe, base, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_of(recipe, base)), encoding="utf-8")
    # -S and -I: nothing but Python itself is there.
    command = [sys.executable, "-I", "-S", str(scripts / f"{recipe}.py"), "--check-config", "--config", str(path)]
    checked = subprocess.run(command, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["base_model"]["repo_id"] == base


def uv():
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        pytest.skip("uv is not installed (pip install uv)")
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_pins_resolve(scripts, recipe, tmp_path):
    script = shutil.copy(scripts / f"{recipe}.py", tmp_path)
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    command = [uv(), "lock", "--script", str(script)]
    try:
        locked = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=UV_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"uv did not resolve within {UV_SECONDS} seconds")
    if "Failed to fetch" in locked.stderr or "No interpreter found" in locked.stderr:
        pytest.skip(f"uv cannot resolve here: {locked.stderr.strip()}")
    assert locked.returncode == 0, locked.stderr


@pytest.mark.skipif(not os.environ.get("BASHGYM_TEST_TRL"), reason="set BASHGYM_TEST_TRL=1: installs 3 GB of packages")
def test_sft_trains_and_pushes(scripts, tmp_path, request):
    """One recipe, really run: on the CPU, on top of the small student, from and to the local Hub."""
    from conftest import ADA
    from huggingface_hub import HfApi

    hub = request.config.conformance_hub
    api = HfApi(endpoint=hub.endpoint, token=ADA)
    model = Path(os.environ["BASHGYM_MODEL_DIR"])
    for name, kind, folder in [("trl-base", "model", model), ("trl-data", "dataset", model.parent / "dataset")]:
        api.create_repo(f"ada/{name}", repo_type=kind, private=True, exist_ok=True)
        commit = api.upload_folder(repo_id=f"ada/{name}", repo_type=kind, folder_path=folder)
    config = config_of("sft", "ada/trl-base", output={"repo_id": "ada/trl-student", "path": None})
    config["dataset"].update(repo_id="ada/trl-data", revision=commit.oid)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ADA, "HF_HOME": str(tmp_path / "hf")}
    command = [uv(), "run", "--script", str(scripts / "sft.py"), "--config", str(path)]
    trained = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr[-4000:]
    files = api.list_repo_files("ada/trl-student")
    assert {"adapter_config.json", "adapter_model.safetensors", "bashgym_result.json"} <= set(files)
    result = json.loads(Path(api.hf_hub_download("ada/trl-student", "bashgym_result.json", cache_dir=tmp_path)).read_text())
    assert result["val_loss_after"] < result["val_loss_before"]
