import { defineConfig } from "vitest/config";
import TotalsReporter from "./test/reporter.ts";

// Tests run as the product does: Node strips the types itself, and `signet/sdk` means the source. Child processes that a
// test starts pass `process.execArgv` on, or `--conditions=signet-source`.
const conditions = ["--conditions=signet-source"];

// Processes and their deadlines: one file at a time, so that no test waits for another's.
const processes = { fileParallelism: false, testTimeout: 60_000, hookTimeout: 60_000 } as const;

export default defineConfig({
  test: {
    reporters: ["default", new TotalsReporter()],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{unit,arch,types,fuzz,vectors}/**/*.test.ts"],
          // Bounds a hang; a machine that is busy with something else must not turn a test red.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "conformance",
          include: ["test/conformance/**/*.test.ts"],
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "protocol",
          include: ["test/protocol/**/*.test.ts"],
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: { name: "e2e", include: ["test/{e2e,crash}/**/*.test.ts"], ...processes, sequence: { groupOrder: 2 } },
      },
    ],
    pool: "forks",
    execArgv: conditions,
    experimental: { viteModuleRunner: false },
  },
});
