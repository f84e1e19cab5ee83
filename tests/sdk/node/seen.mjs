// What every adapter needs.

import { z } from "zod";

/** The document that the structured scene asks for. */
export const City = z.object({ city: z.string(), country: z.string() });

/** The result that the tool `name`, called at place `at`, is said to have given. */
export const result = (at, name) => `result ${at} of ${name}`;

export async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
