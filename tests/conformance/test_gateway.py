"""The official OpenAI kit, unmodified, against the gateway of `bashgym serve`."""

import math

import openai
import pytest
from gateway_world import world  # noqa: F401

ASK = [{"role": "user", "content": "Fix the test"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "ls", "description": "Lists", "parameters": {"type": "object", "properties": {"path": {"type": "string"}}}},
    }
]


def say(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(world):  # noqa: F811
    return openai.OpenAI(base_url=world.url, api_key=world.key, max_retries=0, timeout=120)


@pytest.mark.parametrize("model", ["bashgym/student", "hf", "bashgym/auto"])
def test_the_student_answers_whole_and_as_a_stream(client, world, model):  # noqa: F811
    name = f"hf/{world.student}" if model == "hf" else model
    options = {"model": name, "messages": ASK, "max_tokens": 12, "seed": 5, "temperature": 0}
    raw = client.chat.completions.with_raw_response.create(**options)
    whole = raw.parse()
    assert whole.object == "chat.completion" and whole.choices[0].message.role == "assistant"
    assert 0 < whole.usage.completion_tokens <= 12
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert raw.headers["x-bashgym-served-by"] in ("student", "hf")
    assert raw.headers["x-bashgym-model"] == world.student
    assert whole._request_id
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    plain = list(client.chat.completions.create(**options, stream=True))
    assert all(chunk.choices for chunk in plain) and plain[-1].choices[0].finish_reason


def test_log_probabilities_come_through(client):
    answer = client.chat.completions.create(
        model="bashgym/student", messages=ASK, max_tokens=4, temperature=0, logprobs=True
    )
    scores = answer.choices[0].logprobs.content
    assert scores and all(score.logprob <= 0 for score in scores)


def test_the_teacher_calls_tools(client, world):  # noqa: F811
    whole = client.chat.completions.create(model="teacher", messages=say("look"), tools=TOOLS, n=2)
    assert [choice.finish_reason for choice in whole.choices] == ["tool_calls"] * 2
    call = whole.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "ls", '{"path": "."}')
    with client.chat.completions.stream(model="teacher", messages=say("look"), tools=TOOLS) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"path": "."}'
    answered = [
        *say("look"),
        whole.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": "call_1", "content": "a b"},
    ]
    raw = client.chat.completions.with_raw_response.create(
        model="teacher",
        messages=answered,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    )
    assert raw.parse().choices[0].message.content == "You said a b"
    assert raw.headers["x-bashgym-cost-usd"] == "0.000066000"
    while not world.teacher.asked.empty():
        asked = world.teacher.asked.get()
    assert asked["messages"][1]["tool_calls"][0]["function"]["name"] == "ls"
    assert asked["response_format"]["json_schema"]["name"] == "n"
    assert asked["model"] == "scripted" and asked["max_tokens"] == 4096


def test_embeddings_in_both_forms(client, world):  # noqa: F811
    texts = ["the first text", "another one"]
    model = f"hf/{world.embedder}"
    by_kit = client.embeddings.create(model=model, input=texts)
    as_floats = client.embeddings.create(model=model, input=texts, encoding_format="float")
    assert [item.index for item in by_kit.data] == [0, 1]
    for one, other in zip(by_kit.data, as_floats.data):
        assert len(one.embedding) == len(other.embedding)
        assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(one.embedding, other.embedding))
    one = client.embeddings.create(model=model, input=texts[1])
    assert all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(one.data[0].embedding, by_kit.data[1].embedding))
    length = len(one.data[0].embedding)
    assert client.embeddings.create(model=model, input="a", dimensions=length).data
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model=model, input="a", dimensions=length + 1)
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.embeddings.create(model=model, input=[1, 2, 3])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="teacher", input="a")


def test_models_are_listed_and_found(client, world):  # noqa: F811
    names = [model.id for model in client.models.list()]
    assert names[:3] == ["bashgym/auto", "bashgym/student", "teacher"]
    assert f"hf/{world.student}" in names
    for name in (*names[:3], f"hf/{world.student}", f"hf/{world.embedder}"):
        assert client.models.retrieve(name).id == name
    for name in ("gpt-5", "hf/ada/no-such-model"):
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve(name)
        assert error.value.code == "model_not_found"


def test_errors_are_the_kits_own(client, world):  # noqa: F811
    create = client.chat.completions.create
    with pytest.raises(openai.AuthenticationError) as error:
        openai.OpenAI(base_url=world.url, api_key="wrong", max_retries=0).models.list()
    assert error.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as error:
        create(model="gpt-5", messages=ASK)
    assert error.value.code == "model_not_found" and error.value.request_id
    with pytest.raises(openai.BadRequestError):
        create(model="teacher", messages=[])
    with pytest.raises(openai.RateLimitError) as error:
        create(model="teacher", messages=say("busy"))
    assert error.value.code == "rate_limit_exceeded" and error.value.response.headers["retry-after"] == "3600"
    with pytest.raises(openai.APIError, match="broke off"):
        list(create(model="teacher", messages=say("broken"), stream=True))


def test_hanging_up_ends_the_call_behind(client, world):  # noqa: F811
    stream = client.chat.completions.create(model="teacher", messages=say("endless"), stream=True)
    assert next(iter(stream)).choices
    stream.close()
    assert world.teacher.hung_up.get(timeout=60)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(model="teacher", messages=say("silence"))
    assert world.teacher.hung_up.get(timeout=60)
