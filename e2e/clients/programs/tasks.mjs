// Runs the tasks that are named on the command line with one client, and prints what each met, a line of JSON for each.
//
// A task is HOW:MODEL. A client gives a function for each way to ask; it gets the model, and returns what the user would read.
export const WISH = "Please use the tool";
export const TOOL = {
  name: "get_weather",
  description: "Says the weather",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
};
export const FORM = {
  type: "object",
  properties: { city: { type: "string" }, sunny: { type: "boolean" } },
  required: ["city", "sunny"],
  additionalProperties: false,
};
export const weather = ({ city }) => `It is sunny in ${city}.`;
export const url = process.argv[2];

export async function run(client) {
  for (const task of process.argv.slice(3)) {
    const [how, model] = task.split(":");
    const told = { task };
    if (client[how] === undefined) {
      told.absent = true;
    } else {
      try {
        told.text = await client[how](model);
      } catch (error) {
        const met = error?.lastError ?? error;
        told.error = met?.constructor?.name ?? String(met);
        told.status = met?.status ?? met?.statusCode ?? null;
        told.message = String(met?.message ?? met);
      }
    }
    console.log(JSON.stringify(told));
  }
}
