/** Tells, within this process, that something changed in the store; who listens reads again. Nothing durable rests on it. */
export interface Announcements {
  entriesChanged(agentId: string): void;
  /** Bundle, deny list, CRLs or authorities changed. */
  trustChanged(): void;
  /** An agent said what it has. */
  reportChanged(agentId: string): void;
  subscribe(listener: (change: Announcement) => void): () => void;
}

export type Announcement =
  | { readonly kind: "entries"; readonly agentId: string }
  | { readonly kind: "trust" }
  | { readonly kind: "report"; readonly agentId: string };

export function createAnnouncements(): Announcements {
  const listeners = new Set<(change: Announcement) => void>();
  const tell = (change: Announcement): void => {
    for (const listener of [...listeners]) listener(change);
  };
  return {
    entriesChanged: (agentId) => tell({ kind: "entries", agentId }),
    trustChanged: () => tell({ kind: "trust" }),
    reportChanged: (agentId) => tell({ kind: "report", agentId }),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
