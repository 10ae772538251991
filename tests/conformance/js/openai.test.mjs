// OpenAI's own kit against the gateway.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { GATEWAY_URL, GATEWAY_KEY, STUDENT, EMBEDDER } = process.env;
const client = new OpenAI({ baseURL: GATEWAY_URL, apiKey: GATEWAY_KEY, maxRetries: 0 });
const say = (content) => [{ role: "user", content }];
const tools = [{ type: "function", function: { name: "ls", parameters: { type: "object", properties: {} } } }];

test("the student answers whole and as a stream", async () => {
  const options = { model: "bashgym/student", messages: say("Fix the test"), max_tokens: 12, temperature: 0 };
  const { data: whole, response } = await client.chat.completions.create(options).withResponse();
  assert.equal(response.headers.get("x-bashgym-served-by"), "student");
  assert.ok(whole.usage.completion_tokens > 0 && whole.usage.completion_tokens <= 12);
  let text = "";
  let usage;
  const stream = await client.chat.completions.create({
    ...options,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("any model of the Hub has a name", async () => {
  const answer = await client.chat.completions.create({ model: `hf/${STUDENT}`, messages: say("hi"), max_tokens: 2 });
  assert.equal(answer.choices.length, 1);
});

test("the teacher calls tools, whole and as a stream", async () => {
  const whole = await client.chat.completions.create({ model: "teacher", messages: say("look"), tools });
  assert.equal(whole.choices[0].message.tool_calls[0].function.name, "ls");
  const final = await client.chat.completions
    .stream({ model: "teacher", messages: say("look"), tools })
    .finalChatCompletion();
  assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { path: "." });
});

test("embeddings in both forms", async () => {
  const options = { model: `hf/${EMBEDDER}`, input: ["the first text", "another one"] };
  const usual = await client.embeddings.create(options);
  const floats = await client.embeddings.create({ ...options, encoding_format: "float" });
  assert.equal(usual.data.length, 2);
  usual.data.forEach(({ embedding }, at) =>
    embedding.forEach((value, place) => assert.ok(Math.abs(value - floats.data[at].embedding[place]) < 1e-6)),
  );
});

test("models are listed and found", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names.slice(0, 3), ["bashgym/auto", "bashgym/student", "teacher"]);
  assert.equal((await client.models.retrieve(`hf/${STUDENT}`)).id, `hf/${STUDENT}`);
});

test("errors are the kit's own", async () => {
  const create = (options) => client.chat.completions.create({ model: "teacher", messages: say("hi"), ...options });
  const wrong = new OpenAI({ baseURL: GATEWAY_URL, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(wrong.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(create({ model: "gpt-5" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(create({ messages: [] }), OpenAI.BadRequestError);
  await assert.rejects(create({ messages: say("busy") }), OpenAI.RateLimitError);
  await assert.rejects(async () => {
    for await (const chunk of await create({ messages: say("broken"), stream: true })) assert.ok(chunk);
  }, OpenAI.APIError);
});

test("a stream can be left", async () => {
  const stream = await client.chat.completions.create({ model: "teacher", messages: say("endless"), stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.choices.length > 0);
    break;
  }
});
