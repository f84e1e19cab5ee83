// Every Node client on every provider: `matrix.mjs PLAN`.
//
// The plan (written by crates/tollgate/tests/it/sdk/matrix.rs) says where the program is, and for
// each run which client asks what of which model, and what it must see. An adapter (native.mjs,
// vercel.mjs) puts the question in the client's own words and its answer on one scale, as
// tests/sdk/python/matrix.py describes.

import { deepStrictEqual, fail, ok, strictEqual } from "node:assert";
import { readFileSync } from "node:fs";

import * as native from "./native.mjs";
import * as vercel from "./vercel.mjs";

const clients = { ...native.clients, ...vercel.clients };

/** What was seen is what the fixture says, as far as the client can tell. */
function compare(seen, expected) {
  strictEqual(seen.text, expected.text, "text");
  deepStrictEqual(seen.calls, expected.calls, "calls");
  strictEqual(seen.finish, expected.finish, "finish");
  for (const [kind, count] of Object.entries(seen.usage)) {
    strictEqual(count, expected.usage[kind], `usage.${kind}`);
  }
}

function compareError(client, expected, error) {
  const { status, kind, message } = client.failure(error);
  // Only Anthropic's clients know 529.
  const wanted = expected.status === 529 && !client.knows529 ? 503 : expected.status;
  strictEqual(status, wanted, "status");
  strictEqual(kind, client.errors[wanted], "class");
  ok(message.includes(expected.message), `${message} does not say ${expected.message}`);
}

async function execute(client, run) {
  const { scene, expected } = run;
  if (expected.status) {
    let seen;
    try {
      seen = await client.ask(run);
    } catch (error) {
      compareError(client, expected, error);
      return;
    }
    fail(`no error, but ${JSON.stringify(seen)}`);
  }
  if (scene === "broken") {
    let seen;
    try {
      seen = await client.stream(run);
    } catch (error) {
      if (!String(error.message).includes(expected.broken)) throw error;
      return;
    }
    fail(`a stream that broke off seems whole: ${JSON.stringify(seen)}`);
  }
  if (scene.startsWith("tools")) {
    const [first, second] = await client.tools(run, scene.endsWith("stream"));
    compare(first, expected);
    compare(second, run.expected_after_tools);
    return;
  }
  const seen = await (scene === "stream" ? client.stream(run) : client.ask(run));
  compare(seen, expected);
  if (scene === "structured") deepStrictEqual(seen.document, JSON.parse(expected.text), "document");
}

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
let failed = 0;
for (const run of plan.runs) {
  try {
    await execute(new clients[run.client](plan.base, run.key, run.model), run);
  } catch (error) {
    failed += 1;
    const wanted = "expected" in error ? ` (${JSON.stringify(error.actual)}, not ${JSON.stringify(error.expected)})` : "";
    const where = "expected" in error ? "" : `\n${error.stack?.split("\n").slice(1, 3).join("\n")}`;
    console.log(`FAILED ${run.id}: ${error.message}${wanted}${where}`);
  }
}
console.log(`node: ${plan.runs.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
