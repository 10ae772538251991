"""Serves a student on hardware that stays: processors, or a graphics processor of the Space's own."""

import gradio as gr
import torch

from page import build
from student import answer, load

tokenizer, model = load("cuda" if torch.cuda.is_available() else "cpu")


def generate(prompt, max_tokens=256, temperature=0.0):
    try:
        yield from answer(tokenizer, model, prompt, max_tokens, temperature)
    except ValueError as error:
        raise gr.Error(str(error)) from error


demo = build(generate)

if __name__ == "__main__":
    demo.launch()
