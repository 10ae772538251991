"""A trained model repo as the Python libraries see it."""

import json
import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("BASHGYM_MODEL_DIR")
pytestmark = pytest.mark.skipif(not FOLDER, reason="BASHGYM_MODEL_DIR is not set: no trained model to look at")


@pytest.fixture(scope="module")
def model() -> Path:
    return Path(FOLDER)


@pytest.fixture(scope="module")
def config(model) -> dict:
    return json.loads((model / "config.json").read_text())


def llama_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """The tensors `LlamaForCausalLM` of transformers makes from a config: name and shape."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    key_value_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or hidden // heads
    shapes = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
            f"{prefix}.self_attn.q_proj.weight": (heads * head, hidden),
            f"{prefix}.self_attn.k_proj.weight": (key_value_heads * head, hidden),
            f"{prefix}.self_attn.v_proj.weight": (key_value_heads * head, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, heads * head),
            f"{prefix}.mlp.gate_proj.weight": (inner, hidden),
            f"{prefix}.mlp.up_proj.weight": (inner, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, inner),
        }
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def test_the_config_is_one_transformers_takes(config):
    assert config["model_type"] == "llama"
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["hidden_size"] % config["num_attention_heads"] == 0
    assert config.get("attention_bias", False) is False and config.get("mlp_bias", False) is False


def test_the_tensors_are_those_the_architecture_expects(model, config):
    import numpy as np
    from safetensors import safe_open

    with safe_open(model / "model.safetensors", framework="np") as weights:
        # transformers refuses a file without it.
        assert weights.metadata()["format"] == "pt"
        names = set(weights.keys())
        shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in names}
        types = {name: weights.get_slice(name).get_dtype() for name in names}
        finite = {name: bool(np.isfinite(weights.get_tensor(name)).all()) for name in names if types[name] in ("F32", "F16")}
    assert shapes == llama_shapes(config)
    assert set(types.values()) <= {"F32", "F16", "BF16"}
    assert all(finite.values()), [name for name, good in finite.items() if not good]


def test_the_tokenizer_gives_the_same_ids_in_python(model, config):
    from tokenizers import Tokenizer

    expected = json.loads((model.parent / "tokenizer_ids.json").read_text())
    assert expected, "tokenizer_ids.json is empty"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    for text, ids in expected.items():
        assert tokenizer.encode(text).ids == ids, text
    assert tokenizer.get_vocab_size() <= config["vocab_size"]


def test_the_special_tokens_are_in_the_vocabulary(model, config):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    generation = json.loads((model / "generation_config.json").read_text())
    settings = json.loads((model / "tokenizer_config.json").read_text())
    ends = config["eos_token_id"] if isinstance(config["eos_token_id"], list) else [config["eos_token_id"]]
    assert all(tokenizer.id_to_token(token_id) is not None for token_id in [config["bos_token_id"], *ends])
    token = settings["eos_token"]
    assert tokenizer.token_to_id(token if isinstance(token, str) else token["content"]) in ends
    assert generation["eos_token_id"] == config["eos_token_id"]
