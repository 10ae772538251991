// Hugging Face's own client against the Hub's router. It has the cloud's addresses as constants; its `fetch` option leads here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InferenceClient } from "@huggingface/inference";

const { HUB_URL, HUB_TOKEN, STUDENT, EMBEDDER, CLASSIFIER } = process.env;
const CLOUD = /^https:\/\/(router\.)?huggingface\.co/;
const asked = [];
const here = (url, init) => {
  const address = String(url);
  assert.match(address, CLOUD);
  asked.push(address);
  return fetch(address.replace(CLOUD, HUB_URL), init);
};
const client = new InferenceClient(HUB_TOKEN, { fetch: here });
const messages = [{ role: "user", content: "Fix the test" }];

for (const provider of ["auto", "hf-inference"]) {
  test(`chat and stream through ${provider}`, async () => {
    const options = { model: STUDENT, provider, messages, max_tokens: 10, temperature: 0, seed: 3 };
    const whole = await client.chatCompletion(options);
    assert.ok(whole.usage.completion_tokens > 0 && whole.usage.completion_tokens <= 10);
    let text = "";
    for await (const chunk of client.chatCompletionStream(options)) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, whole.choices[0].message.content);
  });
}

test("vectors", async () => {
  const vector = await client.featureExtraction({ model: EMBEDDER, provider: "hf-inference", inputs: "a text" });
  const flat = vector.flat();
  assert.ok(flat.length > 1 && flat.every(Number.isFinite));
});

test("labels", async () => {
  const labels = await client.textClassification({ model: CLASSIFIER, provider: "hf-inference", inputs: "a text" });
  assert.equal(labels.length, 3);
  assert.ok(Math.abs(labels.reduce((sum, { score }) => sum + score, 0) - 1) < 1e-4);
});

test("similarities", async () => {
  const scores = await client.sentenceSimilarity({
    model: EMBEDDER,
    provider: "hf-inference",
    inputs: { source_sentence: "a text", sentences: ["a text", "quite another"] },
  });
  assert.ok(Math.abs(scores[0] - 1) < 1e-4 && scores.length === 2);
});

test("what is not there is an error", async () => {
  await assert.rejects(client.chatCompletion({ model: "ada/no-such-model", provider: "hf-inference", messages }));
});

test("the router and the Hub were asked, and nobody else", () => {
  assert.ok(asked.some((address) => address.startsWith("https://router.huggingface.co/")));
});
