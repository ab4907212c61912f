// Service B: says hello to service A, and only A may say hello to B.
import { runHelloService } from "../hello-service.ts";

process.exitCode = await runHelloService("service-b", process.argv.slice(2));
