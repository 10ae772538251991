"""Loads the student that space.json names, and lets it answer. Nothing in this file differs between two Spaces."""

import json
import math
import os
import pathlib
import threading
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

CONFIG = json.loads((pathlib.Path(__file__).parent / "space.json").read_text(encoding="utf-8"))
LIMITS = CONFIG["limits"]


def source(part):
    """What to load from the Hub: a repository at one commit, with the Space's own token if it has one."""
    return {
        "pretrained_model_name_or_path": part["repo_id"],
        "revision": part["revision"],
        "token": os.environ.get("HF_TOKEN"),
        "trust_remote_code": CONFIG["trust_remote_code"],
    }


def load(device):
    """The tokenizer and the model, on the device."""
    model_part, adapter = CONFIG["model"], CONFIG.get("adapter")
    tokenizer = AutoTokenizer.from_pretrained(**source(adapter or model_part))
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(**source(model_part), dtype=dtype)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(
            model, adapter["repo_id"], revision=adapter["revision"], token=os.environ.get("HF_TOKEN")
        )
        model = model.merge_and_unload()
    return tokenizer, model.to(device).eval()


def check(prompt, max_tokens, temperature):
    """The request within the limits of this Space; a ValueError says what is wrong."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("Write a prompt first.")
    if len(prompt) > LIMITS["max_prompt_chars"]:
        raise ValueError(f"The prompt is longer than {LIMITS['max_prompt_chars']} characters.")
    tokens = max(1, min(int(max_tokens), LIMITS["max_new_tokens"]))
    heat = float(temperature)
    if not math.isfinite(heat):
        raise ValueError("The temperature is no number.")
    return prompt, tokens, max(0.0, min(heat, 2.0))


def gpu_seconds(prompt, max_tokens=256, temperature=0.0):
    """The seconds a call asks for: what its tokens are expected to take, and what starting takes."""
    tokens = max(1, min(int(max_tokens), LIMITS["max_new_tokens"]))
    return min(LIMITS["max_gpu_seconds"], 5 + math.ceil(tokens * LIMITS["ms_per_token"] / 1000))


def encode(tokenizer, prompt):
    """The prompt as the student saw prompts in training: through its chat template, if it has one."""
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": prompt}]
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    return tokenizer(prompt, return_tensors="pt")


def answer(tokenizer, model, prompt, max_tokens, temperature):
    """The answer so far, again and again, until it is whole."""
    prompt, tokens, heat = check(prompt, max_tokens, temperature)
    inputs = encode(tokenizer, prompt).to(model.device)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=120)
    # The stop tokens are those of the model's generation_config.json.
    arguments = {**inputs, "max_new_tokens": tokens, "streamer": streamer, "do_sample": heat > 0}
    if heat > 0:
        arguments["temperature"] = heat
    if tokenizer.pad_token_id is None:
        arguments["pad_token_id"] = tokenizer.eos_token_id
    failures, made = [], []
    began = time.monotonic()

    def run():
        try:
            with torch.inference_mode():
                made.append(model.generate(**arguments))
        except Exception as error:
            failures.append(error)
            streamer.end()

    worker = threading.Thread(target=run)
    worker.start()
    text = ""
    for piece in streamer:
        text += piece
        yield text
    worker.join()
    if failures:
        raise failures[0]
    tokens = int(made[0].shape[-1] - inputs["input_ids"].shape[-1])
    # How long requests take is read from the log; nothing of what was asked or answered is in it.
    print(json.dumps({"bashgym_request": {"tokens": tokens, "seconds": round(time.monotonic() - began, 3)}}), flush=True)
