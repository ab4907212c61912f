import { CaError } from "../../registry/ca-error.ts";
import { StoreError } from "../../store/store.ts";

const defaultPage = 1000;
const maxPage = 5000;

/** The size of a page: 0 means the default, more than the most is the most. */
export function pageSize(asked: number): number {
  return asked === 0 ? defaultPage : Math.min(asked, maxPage);
}

/** Reads one page of a scan; `next` is empty at the end. */
export async function page<T extends { readonly position: string }>(
  items: AsyncIterable<T>,
  size: number,
): Promise<{ readonly items: readonly T[]; readonly next: string }> {
  const found: T[] = [];
  try {
    for await (const item of items) {
      if (found.length === size) return { items: found, next: found.at(-1)?.position ?? "" };
      found.push(item);
    }
  } catch (error) {
    if (!(error instanceof StoreError && error.code === "wrong_use")) throw error;
    // What is scanned is fixed here; only where to go on comes from outside.
    throw new CaError("bad_request", "that page token is none of this server", { cause: error });
  }
  return { items: found, next: "" };
}

/** The option that continues after a page. */
export function continued(pageToken: string): { readonly after?: string } {
  if (pageToken.length > 4096) throw new CaError("bad_request", "that page token is none of this server");
  return pageToken === "" ? {} : { after: pageToken };
}
