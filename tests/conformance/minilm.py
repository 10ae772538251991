"""A sentence encoder in plain numpy: what BERT's equations give, to hold a server against."""

import json
import math

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer


def embed(folder, texts):
    """The mean of the last hidden states, with the length 1, one text at a time."""
    weights = {name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items() if value.dtype.kind == "f"}
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    erf = np.vectorize(math.erf)

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x, name):
        spread = np.sqrt(x.var(-1, keepdims=True) + eps)
        return (x - x.mean(-1, keepdims=True)) / spread * weights[name + ".weight"] + weights[name + ".bias"]

    vectors = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}."
            q, k, v = (
                linear(x, f"{at}attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            seen = (shares / shares.sum(-1, keepdims=True)) @ v
            x = norm(x + linear(seen.transpose(1, 0, 2).reshape(x.shape), at + "attention.output.dense"), at + "attention.output.LayerNorm")
            inner = linear(x, at + "intermediate.dense")
            inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
            x = norm(x + linear(inner, at + "output.dense"), at + "output.LayerNorm")
        mean = x.mean(0)
        vectors.append(mean / np.linalg.norm(mean))
    return vectors
