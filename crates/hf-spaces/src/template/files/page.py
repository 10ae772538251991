"""The page of the Space, and its API: `/generate`."""

import gradio as gr

from student import CONFIG, LIMITS


def build(generate):
    """The page around a function of prompt, max_tokens and temperature that yields the answer so far."""
    default_tokens = min(256, LIMITS["max_new_tokens"])
    with gr.Blocks(title=CONFIG["title"]) as demo:
        gr.Markdown(f"# {CONFIG['title']}\n\n`{CONFIG['shown']['repo_id']}` at `{CONFIG['shown']['revision'][:12]}`")
        prompt = gr.Textbox(label="Prompt", lines=6, max_length=LIMITS["max_prompt_chars"])
        with gr.Row():
            tokens = gr.Slider(1, LIMITS["max_new_tokens"], value=default_tokens, step=1, label="Most new tokens")
            heat = gr.Slider(0, 2, value=0, step=0.05, label="Temperature")
        button = gr.Button("Generate", variant="primary")
        output = gr.Textbox(label="Answer", lines=12)
        button.click(generate, [prompt, tokens, heat], output, api_name="generate", concurrency_limit=1)
    demo.queue(max_size=32)
    return demo
