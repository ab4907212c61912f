/** Names longer than this are nobody's slip of a finger. */
const longestName = 64;

/**
 * The name among `names` that `name` was most likely meant to be; undefined when none is near. Case, `-`, `_` and `.`
 * do not count; else one slip in three characters is forgiven (a wrong, missing, extra or swapped character), and a name
 * that was broken off or drawn out.
 */
export function nearest(name: string, names: readonly string[]): string | undefined {
  if (name === "" || name.length > longestName) return undefined;
  const typed = folded(name);
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    if (candidate.length > longestName) continue;
    const distance = slips(typed, folded(candidate));
    if (distance > least || !isNear(typed, folded(candidate), distance)) continue;
    // Among equals the one that is written the same way.
    if (distance === least && best !== undefined && slips(name, candidate) >= slips(name, best)) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

function folded(name: string): string {
  return name.toLowerCase().replace(/[-_.]/g, "");
}

function isNear(a: string, b: string, distance: number): boolean {
  if (distance <= Math.max(1, Math.floor(Math.max(a.length, b.length) / 3))) return true;
  const [shorter, longer] = a.length < b.length ? [a, b] : [b, a];
  return shorter.length >= 4 && longer.startsWith(shorter);
}

/** Optimal string alignment distance. */
function slips(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
