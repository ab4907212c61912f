import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** Prints the numbers of a whole run as one plain last line: `N passed, N failed, N skipped`. */
export default class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const totals = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A module that did not load, or whose hooks failed, has errors of its own beside those of its tests.
      totals.failed += module.errors().length;
      for (const test of module.children.allTests()) totals[test.result().state] += 1;
      for (const suite of module.children.allSuites()) totals.failed += suite.errors().length;
    }
    // A test that never came to an end is not a pass.
    const failed = totals.failed + totals.pending;
    process.stdout.write(`${totals.passed} passed, ${failed} failed, ${totals.skipped} skipped\n`);
  }
}
