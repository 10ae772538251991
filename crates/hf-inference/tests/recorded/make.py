"""Writes down what the official client would send for inference calls, without sending it: official.json beside this file.

    python make.py            prints the recording
    python make.py --write    replaces official.json

`tests/recorded.rs` compares this crate's requests with the file; the conformance tests compare the file with the installed
`huggingface_hub`.
"""

import json
import pathlib
import sys
from urllib.parse import urlsplit

from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference import _client
from huggingface_hub.inference._providers import PROVIDERS, _common, hf_inference

TOKEN = "hf_RecordingToken00000000000000000000001"
MODEL = "org/name"
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}
MESSAGES = [{"role": "user", "content": "Hi"}]


class Recorded(Exception):
    """Carries what would have been sent."""


def record(provider, call, task):
    mapping = [InferenceProviderMapping(provider=provider, providerId=f"{provider}-name", hf_model_id=MODEL, task=task, status="live")]
    _common._fetch_inference_provider_mapping = lambda model: mapping
    hf_inference._check_supported_task = lambda model, task: None

    def stop(self, parameters, stream=False):
        raise Recorded(parameters)

    _client.InferenceClient._inner_post = stop
    client = _client.InferenceClient(provider=provider, token=TOKEN, bill_to="acme")
    try:
        call(client)
    except Recorded as sent:
        request = sent.args[0]
    headers = {key: value for key, value in request.headers.items() if key not in ("user-agent", "x-amzn-trace-id")}
    url = urlsplit(request.url)
    return {"origin": f"{url.scheme}://{url.netloc}", "path": url.path, "query": url.query, "headers": headers, "body": request.json}


CALLS = {
    "chat": ("conversational", lambda client: client.chat_completion(MESSAGES, model=MODEL, max_tokens=7, temperature=0.5, stop=["x"], seed=3)),
    "chat suffix": ("conversational", lambda client: client.chat_completion(MESSAGES, model=f"{MODEL}:cheapest")),
    "chat stream": ("conversational", lambda client: list(client.chat_completion(
        MESSAGES, model=MODEL, stream=True, stream_options={"include_usage": True}))),
    "chat schema": ("conversational", lambda client: client.chat_completion(MESSAGES, model=MODEL, response_format=SCHEMA)),
    "embed": ("feature-extraction", lambda client: client.feature_extraction(["a", "b"], model=MODEL)),
    "classify": ("text-classification", lambda client: client.text_classification("fine", model=MODEL, top_k=2)),
    "similarity": ("sentence-similarity", lambda client: client.sentence_similarity("here", ["near", "far"], model=MODEL)),
}


def recording():
    recorded = {}
    for name, (task, call) in CALLS.items():
        # The `openai` helper refuses Hugging Face tokens: it is not reached through the router.
        providers = ["auto"] if name == "chat suffix" else [id for id, tasks in PROVIDERS.items() if task in tasks and id != "openai"]
        if name in ("chat", "chat stream", "chat schema"):
            providers.insert(0, "auto")
        recorded[name] = {provider: record(provider, call, task) for provider in providers}
    return recorded


if __name__ == "__main__":
    text = json.dumps(recording(), indent=1, sort_keys=True) + "\n"
    if "--write" in sys.argv:
        pathlib.Path(__file__).with_name("official.json").write_text(text)
    else:
        sys.stdout.write(text)
