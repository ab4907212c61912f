// "No such X: the nearest is Y", for objects that the server knows.
import { nearest } from "../platform/nearest.ts";
import { asCliError, CliError } from "./failure.ts";

/**
 * What `call` answers. When it fails because there is no object `name`, the error names the nearest of `names`, which
 * are asked for only then.
 */
export async function namingNearest<Answer>(
  call: Promise<Answer>,
  known: {
    readonly name: string;
    readonly names: () => Promise<readonly string[]>;
    readonly cure: (near: string) => string;
  },
): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "not_found")) throw error;
    const names = await known.names().catch(() => []);
    const near = nearest(known.name, names);
    const told = asCliError(error, "").message.replace(/^: /, "");
    if (near === undefined || told.includes("the nearest is")) throw error;
    throw new CliError(1, `${told}: the nearest is ${near}`, { cure: known.cure(near), cause: error });
  }
}
