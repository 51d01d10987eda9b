// This program asks with openai-node, in OpenAI's chat.
import OpenAI from "openai";
import { FORM, TOOL, WISH, run, url, weather } from "./tasks.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];

await run({
  async whole(model) {
    return (await client.chat.completions.create({ model, messages })).choices[0].message.content;
  },
  async stream(model) {
    return await client.chat.completions.stream({ model, messages }).finalContent();
  },
  async tool(model) {
    const tools = [{ type: "function", function: { ...TOOL, function: weather, parse: JSON.parse } }];
    const asked = { model, stream: true, messages: [{ role: "user", content: WISH }], tools };
    return await client.chat.completions.runTools(asked).finalContent();
  },
  async parse(model) {
    const response_format = { type: "json_schema", json_schema: { name: "weather", schema: FORM, strict: true } };
    return JSON.stringify((await client.chat.completions.parse({ model, messages, response_format })).choices[0].message.parsed);
  },
});
