import { describe, expect, test } from "vitest";
import { StoreError } from "../../../src/store/store.ts";
import { run } from "./run-cli.ts";

const failing = (error: unknown): { doctor: () => Promise<never> } => ({ doctor: () => Promise.reject(error) });
const doctor = (error: unknown): ReturnType<typeof run> =>
  run(["doctor", "--store", "--data-dir", "/srv/market"], { starters: failing(error) });

describe("signet doctor --store", () => {
  test("offers --accept for a store that may not be the newest, by the kind of the error and not by its words", async () => {
    const doubt = new StoreError("damaged", "the store is a copy", { about: "mark" });
    const copied = await doctor(new Error("the store is a copy", { cause: doubt }));
    expect(copied).toMatchObject({ code: 1 });
    expect(copied.stderr).toContain("the store is not whole: ");
    expect(copied.stderr).toContain("try: signet doctor --store --accept --data-dir /srv/market");
    const damaged = await doctor(new StoreError("damaged", "a record of /srv/market is damaged"));
    expect(damaged).toMatchObject({ code: 1 });
    expect(damaged.stderr).toContain("the store is not whole: ");
    expect(damaged.stderr).not.toContain("--accept");
  });

  test("says of a store that it could not read only that it could not", async () => {
    const locked = await doctor(new StoreError("unavailable", "another process uses the store in /srv/market"));
    expect(locked).toMatchObject({ code: 1 });
    expect(locked.stderr).toContain("cannot check the store: another process");
    expect(locked.stderr).not.toContain("--accept");
  });

  test("--accept asks: without a terminal and without --yes nothing is done", async () => {
    const started = failing(new Error("it was started"));
    const result = await run(["doctor", "--store", "--accept"], { starters: started, terminal: false });
    expect(result).toMatchObject({ code: 2 });
    expect(result.stderr).toContain("nothing done");
  });
});
