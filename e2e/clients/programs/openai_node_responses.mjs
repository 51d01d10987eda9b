// This program asks with openai-node, in the Responses API.
import OpenAI from "openai";
import { FORM, TOOL, WISH, run, url, weather } from "./tasks.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });

async function streamed(asked) {
  const stream = client.responses.stream(asked);
  for await (const event of stream) {
    if (event.type === "response.failed") throw new Error(`failed: ${event.response.error.message}`);
  }
  return await stream.finalResponse();
}

await run({
  async whole(model) {
    return (await client.responses.create({ model, input: "Hi" })).output_text;
  },
  async stream(model) {
    return (await streamed({ model, input: "Hi" })).output_text;
  },
  async tool(model) {
    const input = [{ role: "user", content: WISH }];
    const tools = [{ type: "function", strict: true, ...TOOL }];
    for (let turn = 0; turn < 3; turn++) {
      const response = await streamed({ model, input, tools });
      const calls = response.output.filter((item) => item.type === "function_call");
      if (calls.length === 0) return response.output_text;
      input.push(...response.output);
      for (const call of calls) {
        const output = weather(JSON.parse(call.arguments));
        input.push({ type: "function_call_output", call_id: call.call_id, output });
      }
    }
    return "it calls the tool for ever";
  },
  async parse(model) {
    const text = { format: { type: "json_schema", name: "weather", schema: FORM, strict: true } };
    return JSON.stringify((await client.responses.parse({ model, input: "Hi", text })).output_parsed);
  },
  async count(model) {
    return String((await client.responses.inputTokens.count({ model, input: "Hi" })).input_tokens > 0);
  },
});
