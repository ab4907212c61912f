import { status } from "@grpc/grpc-js";
import type { HealthServer } from "../../proto/gen/grpc/health/v1/health.ts";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../../proto/gen/grpc/health/v1/health.ts";

/** The standard health service: one answer for the whole server. Watchers get the answer and each change of it. */
export function healthHandler(health: {
  readonly serving: () => boolean;
  readonly watch: (changed: () => void) => () => void;
}): HealthServer {
  const answer = (): { status: ServingStatus } => ({
    status: health.serving() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING,
  });
  const known = (service: string): boolean => service === "" || service.startsWith("signet.v1.");
  return {
    check: (call, callback) => {
      if (known(call.request.service)) callback(null, answer());
      else callback({ code: status.NOT_FOUND, details: "no such service" }, null);
    },
    watch: (call) => {
      if (!known(call.request.service)) {
        call.write({ status: ServingStatus.SERVICE_UNKNOWN });
        return;
      }
      let last = answer();
      call.write(last);
      const stop = health.watch(() => {
        const now = answer();
        if (now.status !== last.status) call.write(now);
        last = now;
      });
      call.on("cancelled", stop);
      call.on("error", stop);
    },
  };
}
