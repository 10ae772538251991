"""A teacher that follows a script, with OpenAI's API. Nothing of it is a model: what the last message says decides."""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Teacher:
    def __init__(self):
        self.asked = queue.Queue()
        self.hung_up = queue.Queue()
        teacher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                teacher.asked.put(body)
                said = body["messages"][-1]["content"]
                if said == "busy":
                    self.whole(429, {"error": {"message": "slow down", "type": "rate_limit_error"}}, {"retry-after": "3600"})
                elif said == "silence":
                    self.wait()
                elif body.get("stream"):
                    self.stream(body, said)
                else:
                    self.whole(200, self.answer(body, said))

            def answer(self, body, said):
                message = {"role": "assistant", "content": f"You said {said}"}
                if body.get("tools"):
                    name = body["tools"][0]["function"]["name"]
                    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"path": "."}'}}
                    message = {"role": "assistant", "content": None, "tool_calls": [call]}
                return {
                    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted",
                    "choices": [
                        {"index": at, "message": message, "finish_reason": "tool_calls" if body.get("tools") else "stop", "logprobs": None}
                        for at in range(body.get("n") or 1)
                    ],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
                }

            def stream(self, body, said):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                self.close_connection = True
                for word in [{"role": "assistant", "content": ""}, {"content": "You "}, {"content": "said "}, {"content": said}]:
                    self.event({"choices": [{"index": 0, "delta": word, "finish_reason": None}]})
                if said == "endless":
                    return self.wait()
                if said == "broken":
                    return
                if body.get("tools"):
                    name = body["tools"][0]["function"]["name"]
                    for piece in [
                        {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}},
                        {"index": 0, "function": {"arguments": '{"path":'}},
                        {"index": 0, "function": {"arguments": ' "."}'}},
                    ]:
                        self.event({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]})
                self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if body.get("tools") else "stop"}]})
                self.event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
                self.wfile.write(b"data: [DONE]\n\n")

            def event(self, fields):
                head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
                self.wfile.write(f"data: {json.dumps({**head, **fields})}\n\n".encode())

            def wait(self):
                """Until the other side hangs up."""
                self.close_connection = True
                try:
                    self.rfile.read(1)
                except OSError:
                    pass
                teacher.hung_up.put(True)

            def whole(self, status, value, headers=None):
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                for name, header in (headers or {}).items():
                    self.send_header(name, header)
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
