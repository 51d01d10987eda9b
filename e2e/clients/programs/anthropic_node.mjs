// This program asks with Anthropic's TypeScript SDK, its stream helper and its tool runner.
import Anthropic from "@anthropic-ai/sdk";
import { FORM, TOOL, WISH, run, url, weather } from "./tasks.mjs";

const client = new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0 });
const asked = { max_tokens: 256, messages: [{ role: "user", content: "Hi" }] };
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

await run({
  async whole(model) {
    return textOf(await client.messages.create({ model, ...asked }));
  },
  async stream(model) {
    return textOf(await client.messages.stream({ model, ...asked }).finalMessage());
  },
  async tool(model) {
    const { parameters, ...named } = TOOL;
    const tools = [{ ...named, input_schema: parameters, run: weather, parse: (input) => input }];
    const messages = [{ role: "user", content: WISH }];
    const runner = client.beta.messages.toolRunner({ model, max_tokens: 256, stream: true, messages, tools });
    let last;
    for await (const stream of runner) last = await stream.finalMessage();
    return textOf(last);
  },
  async parse(model) {
    const output_config = { format: { type: "json_schema", schema: FORM } };
    return JSON.stringify(JSON.parse(textOf(await client.messages.create({ model, ...asked, output_config }))));
  },
  async count(model) {
    return String((await client.messages.countTokens({ model, messages: asked.messages })).input_tokens > 0);
  },
  async list(model) {
    for await (const one of client.models.list()) if (one.id === model) return one.type;
    return "absent";
  },
});
