"""The recording that `hf-inference` is compared with is what the installed official client sends."""

import importlib.util
import json
import pathlib

RECORDED = pathlib.Path(__file__).parents[2] / "crates" / "hf-inference" / "tests" / "recorded"


def test_the_recording_is_what_the_official_client_sends():
    spec = importlib.util.spec_from_file_location("make", RECORDED / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert make.recording() == json.loads((RECORDED / "official.json").read_text())
