/** Which agents have a sync stream open. */
export interface AgentStreams {
  /** Notes an open stream until the returned function is called. */
  readonly opened: (agentId: string) => () => void;
  readonly isOpen: (agentId: string) => boolean;
}

export function createAgentStreams(): AgentStreams {
  const open = new Map<string, number>();
  return {
    opened: (agentId) => {
      open.set(agentId, (open.get(agentId) ?? 0) + 1);
      return () => {
        const left = (open.get(agentId) ?? 1) - 1;
        if (left > 0) open.set(agentId, left);
        else open.delete(agentId);
      };
    },
    isOpen: (agentId) => open.has(agentId),
  };
}
