// This program runs agents of @openai/agents, which speak the Responses API.
import { Agent, Runner, OpenAIProvider, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { TOOL, WISH, run, url, weather } from "./tasks.mjs";

setTracingDisabled(true);
const openAIClient = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient }) });
const agent = (model, tools = []) => new Agent({ name: "a", instructions: "Answer.", model, tools });

async function streamed(held, said) {
  const result = await runner.run(held, said, { stream: true });
  for await (const _ of result);
  await result.completed;
  return result.finalOutput;
}

await run({
  async whole(model) {
    return (await runner.run(agent(model), "Hi")).finalOutput;
  },
  async stream(model) {
    return await streamed(agent(model), "Hi");
  },
  async tool(model) {
    const held = tool({ ...TOOL, strict: true, execute: async (given) => weather(given) });
    return await streamed(agent(model, [held]), WISH);
  },
});
