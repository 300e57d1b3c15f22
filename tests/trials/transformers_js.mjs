// What transformers.js makes of a folder in its layout: JSON in, JSON out. Called by foreign_clients.py.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { folder, library, dtype, texts, pictures } = JSON.parse(readFileSync(0, "utf8"));
const js = await import(pathToFileURL(library));
js.env.allowRemoteModels = false;
js.env.localModelPath = folder.replace(/[^/]+$/, "");
const name = folder.replace(/^.*\//, "");

const tokenizer = await js.AutoTokenizer.from_pretrained(name);
const text = await js.CLIPTextModelWithProjection.from_pretrained(name, { dtype });
const processor = await js.AutoProcessor.from_pretrained(name);
const vision = await js.CLIPVisionModelWithProjection.from_pretrained(name, { dtype });

const inputs = tokenizer(texts, { padding: true, truncation: true });
const { text_embeds } = await text(inputs);
const images = await Promise.all(pictures.map((path) => js.RawImage.read(path)));
const { image_embeds } = await vision(await processor(images));
const ids = texts.map((one) => Array.from(tokenizer(one, { truncation: true }).input_ids.data, Number));
process.stdout.write(JSON.stringify({ ids, texts: text_embeds.tolist(), pictures: image_embeds.tolist() }));
