// Service A: says hello to service B, and only B may say hello to A.
import { runHelloService } from "../hello-service.ts";

process.exitCode = await runHelloService("service-a", process.argv.slice(2));
