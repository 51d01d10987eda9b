// This program asks with the AI SDK of Vercel. CLIENT_API is openai (Responses) or anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { FORM, TOOL, WISH, run, url, weather } from "./tasks.mjs";

const API = process.env.CLIENT_API;
const provider = API === "anthropic"
  ? createAnthropic({ baseURL: `${url}/v1`, apiKey: "any" })
  : createOpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
// Without `store: false` it refers to items of earlier answers, which only OpenAI keeps.
const providerOptions = { openai: { store: false } };
const asked = (model) => ({ model: provider(model), maxRetries: 0, maxOutputTokens: 256, providerOptions });

async function streamed(more) {
  let met;
  const result = streamText({ ...more, onError: ({ error }) => { met = error; } });
  let text = "";
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") text += part.text;
    if (part.type === "tool-result") text = "";
    if (part.type === "error") throw part.error;
  }
  if (met !== undefined) throw met;
  return text;
}

await run({
  async whole(model) {
    return (await generateText({ ...asked(model), prompt: "Hi" })).text;
  },
  async stream(model) {
    return await streamed({ ...asked(model), prompt: "Hi" });
  },
  async tool(model) {
    const held = tool({ description: TOOL.description, inputSchema: jsonSchema(TOOL.parameters), execute: weather });
    return await streamed({ ...asked(model), prompt: WISH, tools: { get_weather: held }, stopWhen: stepCountIs(3) });
  },
  async parse(model) {
    const output = Output.object({ schema: jsonSchema(FORM) });
    return JSON.stringify((await generateText({ ...asked(model), prompt: "Hi", output })).output);
  },
});
