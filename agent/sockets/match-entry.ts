/** What is known of a local caller, such as `unix:uid:1000`. */
export interface LocalCaller {
  readonly selectors: readonly string[];
}

/**
 * Whether a local caller may have the identity of an entry over a socket: every selector of the entry must be known of
 * the caller. An entry without selectors is for files only, so it is nobody's here: absence is never a permission.
 */
export function matchEntry(selectors: readonly string[], caller: LocalCaller): boolean {
  return selectors.length > 0 && selectors.every((selector) => caller.selectors.includes(selector));
}
