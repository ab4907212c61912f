import { expect, test } from "vitest";
import { agentTextPaths } from "../../../agent/config.ts";
import { knownVariables } from "../../../src/cli/process-settings.ts";
import { variableName } from "../../../src/platform/config-file.ts";
import { serverTextPaths } from "../../../src/server/config.ts";

test("knownVariables() names every variable that the server and the agent take", () => {
  const taken = [...serverTextPaths(), ...agentTextPaths()].map(variableName);
  expect(taken.filter((name) => !knownVariables().includes(name))).toEqual([]);
});
