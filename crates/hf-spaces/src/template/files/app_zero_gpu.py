"""Serves a student on ZeroGPU. What it serves is in space.json; this file is the same in every Space."""

import gradio as gr
import spaces

from page import build
from student import answer, gpu_seconds, load

# On ZeroGPU the model is put on `cuda` as the app starts; the processor itself is lent for the seconds of a call.
tokenizer, model = load("cuda")


@spaces.GPU(duration=gpu_seconds)
def generate(prompt, max_tokens=256, temperature=0.0):
    try:
        yield from answer(tokenizer, model, prompt, max_tokens, temperature)
    except ValueError as error:
        raise gr.Error(str(error)) from error


demo = build(generate)

if __name__ == "__main__":
    demo.launch()
