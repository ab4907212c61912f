// Loaded before everything else in each process that the demo starts. The demo holds the other end of descriptor 3: when
// it is gone, however that came about, the process ends itself, so that not even `kill -9` of the demo leaves one behind.
import { Socket } from "node:net";

const lifeline = new Socket({ fd: 3, readable: true, writable: false });
lifeline.on("error", () => undefined);
lifeline.on("close", () => process.kill(process.pid, "SIGTERM"));
lifeline.resume();
lifeline.unref();
