//! What the template's app says of itself: `/config` and `/gradio_api/info`.
//!
//! # Source
//! Both replies of the template's `page.py` under Gradio 6.31.0. Kept are the fields that its clients read, with the values they
//! had; what only draws the page is left out.

use serde_json::{Value, json};

use super::host::AppHost;
use super::space_file::SpaceFile;

/// Gradio's version, which tells a client the protocol.
const VERSION: &str = "6.31.0";
/// The only function.
pub(super) const API_NAME: &str = "generate";

/// `GET config`.
pub(super) fn config(host: &dyn AppHost) -> Value {
    let (file, root) = (host.file(), host.root());
    let space_id = Some(host.space_id()).filter(|id| !id.is_empty());
    let limits = file.limits;
    let text = |id: u32, label: &str, lines: u32, most: Option<u32>| {
        json!({"id": id, "type": "textbox", "skip_api": false, "api_info": {"type": "string"},
            "props": {"name": "textbox", "label": label, "lines": lines, "max_length": most, "visible": true}})
    };
    let slider = |id: u32, label: &str, least: u32, most: u32, value: u32, step: f64| {
        json!({"id": id, "type": "slider", "skip_api": false, "api_info": number(least, most),
            "props": {"name": "slider", "label": label, "minimum": least, "maximum": most, "value": value, "step": step,
                "visible": true}})
    };
    json!({
        "version": VERSION, "api_prefix": "/gradio_api", "protocol": "sse_v3", "mode": "blocks", "title": file.title,
        "space_id": space_id, "root": root, "enable_queue": true, "connect_heartbeat": false, "show_error": true,
        "analytics_enabled": false, "dev_mode": false, "is_colab": false, "max_file_size": null, "username": null,
        "runtime": host.runtime(),
        "components": [
            text(2, "Prompt", 6, Some(limits.max_prompt_chars)),
            slider(4, "Most new tokens", 1, limits.max_new_tokens, limits.usual_tokens(), 1.0),
            slider(5, "Temperature", 0, 2, 0, 0.05),
            {"id": 7, "type": "button", "skip_api": true, "props": {"name": "button", "value": "Generate", "visible": true}},
            text(8, "Answer", 12, None),
        ],
        "layout": {"id": 0, "children": [{"id": 2}, {"id": 4}, {"id": 5}, {"id": 7}, {"id": 8}]},
        "dependencies": [{"id": 0, "targets": [[7, "click"]], "inputs": [2, 4, 5], "outputs": [8], "backend_fn": true, "js": null,
            "queue": true, "api_name": API_NAME, "api_visibility": "public", "batch": false, "max_batch_size": 4, "cancels": [],
            "types": {"generator": true, "cancel": false}, "connection": "sse", "trigger_mode": "once", "show_progress": "full"}],
    })
}

fn number(least: u32, most: u32) -> Value {
    json!({"type": "number", "description": format!("numeric value between {least} and {most}")})
}

/// `GET gradio_api/info`.
pub(super) fn info(file: &SpaceFile) -> Value {
    let limits = file.limits;
    let slider = |label: &str, name: &str, least: u32, most: u32, value: u32| {
        json!({"label": label, "parameter_name": name, "parameter_has_default": true, "parameter_default": value,
            "type": number(least, most), "python_type": {"type": "float", "description": ""}, "component": "Slider",
            "example_input": least})
    };
    json!({"unnamed_endpoints": {}, "named_endpoints": {format!("/{API_NAME}"): {
        "parameters": [
            {"label": "Prompt", "parameter_name": "prompt", "parameter_has_default": false, "parameter_default": null,
                "type": {"type": "string"}, "python_type": {"type": "str", "description": ""}, "component": "Textbox",
                "example_input": "Hello!!"},
            slider("Most new tokens", "max_tokens", 1, limits.max_new_tokens, limits.usual_tokens()),
            slider("Temperature", "temperature", 0, 2, 0),
        ],
        "returns": [{"label": "Answer", "type": {"type": "string"}, "python_type": {"type": "str", "description": ""},
            "component": "Textbox"}],
        "api_visibility": "public", "description": "",
    }}})
}
