import { readFileSync } from "node:fs";

export interface BuildInfo {
  /** As in package.json: `0.1.0`. */
  readonly version: string;
}

/** What was built: read from the package.json that lies above this file, in a clone as in a package. */
export const buildInfo: BuildInfo = readBuildInfo();

/** The version of this program, as in package.json. */
export function buildVersion(): string {
  return buildInfo.version;
}

function readBuildInfo(): BuildInfo {
  for (const above of ["../..", "../../.."]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(`${above}/package.json`, import.meta.url), "utf8"));
      if (isOurs(found)) return { version: found.version };
    } catch {
      // No package.json there; the next one up.
    }
  }
  return { version: "0.0.0" };
}

function isOurs(value: unknown): value is { readonly version: string } {
  if (typeof value !== "object" || value === null || !("name" in value) || !("version" in value)) return false;
  return value.name === "signet" && typeof value.version === "string";
}
