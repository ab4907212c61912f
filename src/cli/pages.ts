// Reading lists to their end, page by page.

const pageSize = 500;

/** All items of a paged list, or the first `limit`. A page token that comes back a second time ends the list. */
export async function allPages<Item>(
  fetch: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<{
    readonly items: readonly Item[];
    readonly next: string;
  }>,
  limit: number = Number.POSITIVE_INFINITY,
): Promise<readonly Item[]> {
  const items: Item[] = [];
  const seen = new Set<string>();
  let pageToken = "";
  for (;;) {
    const page = await fetch({ pageSize: Math.min(pageSize, limit - items.length), pageToken });
    for (const item of page.items) items.push(item);
    if (page.next === "" || seen.has(page.next) || items.length >= limit) return items.slice(0, limit);
    seen.add(page.next);
    pageToken = page.next;
  }
}
