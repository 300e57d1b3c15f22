// The calls of Immich's server/src/repositories/machine-learning.repository.ts, with Node's own fetch: JSON in, JSON out.
import { readFileSync } from "node:fs";

const { url, modelName, texts, pictures } = JSON.parse(readFileSync(0, "utf8"));

async function predict(payload, request) {
  const form = new FormData();
  form.append("entries", JSON.stringify(request));
  if ("path" in payload) form.append("image", new Blob([new Uint8Array(readFileSync(payload.path))]));
  else form.append("text", payload.text);
  const response = await fetch(new URL("/predict", url), { method: "POST", body: form });
  return { status: response.status, body: await response.json() };
}

const ping = await fetch(new URL("/ping", url), { signal: AbortSignal.timeout(2000) });
const answers = { ping: await ping.text(), texts: [], pictures: [] };
for (const text of texts) {
  answers.texts.push(await predict({ text }, { clip: { textual: { modelName, options: { language: "ar" } } } }));
}
for (const path of pictures) answers.pictures.push(await predict({ path }, { clip: { visual: { modelName } } }));
const detection = { modelName: "buffalo_l", options: { minScore: 0.7 } };
const faces = { "facial-recognition": { detection, recognition: { modelName: "buffalo_l" } } };
answers.faces = await predict({ path: pictures[0] }, faces);
process.stdout.write(JSON.stringify(answers));
