import { check, install, type Tally } from "./tally.ts";
import type { Endpoints } from "./world.ts";

/** promtool on both metrics pages, and a real Prometheus that scrapes them. */
export async function judgeMetrics(
  tally: Tally,
  { server, agent }: { readonly server: Endpoints; readonly agent: Endpoints },
): Promise<void> {
  if (!(await install(tally, "prom"))) return;
  const page = ({ ops }: Endpoints): string => `http://${ops}/metrics`;
  for (const endpoints of [server, agent]) await check(tally, "prom", { args: ["metrics", page(endpoints)] });
  await check(tally, "prom", { args: ["scrape", page(server), "2", "sum(signet_issue_certificates_total) > 0"] });
  await check(tally, "prom", { args: ["scrape", page(agent), "2", "signet_agent_runway_seconds > 0"] });
}
