/** How far notBefore is set back for clocks that are behind, milliseconds. Nothing is ever computed from notBefore. */
export const backdateMs: number = 60_000;
