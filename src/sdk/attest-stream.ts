import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { AttestRequest, AttestResponse, AttestResult } from "../../proto/gen/signet/v1/issuance.ts";
import { WireError } from "./from-wire.ts";
import { decodeFailure } from "./rpc.ts";
import type { ServerChannel } from "./server-channel.ts";

/** One attestation: requests go up, answers come down in turn. */
export class AttestStream {
  readonly #call: ClientDuplexStream<AttestRequest, AttestResponse>;
  readonly #answers: AsyncIterator<AttestResponse>;
  readonly #deadlineMs: number;

  constructor(channel: ServerChannel, options: { readonly deadlineMs: number; readonly now: () => Date }) {
    this.#deadlineMs = options.deadlineMs;
    this.#call = channel.issuance.attest({ deadline: options.now().getTime() + options.deadlineMs });
    this.#answers = this.#call[Symbol.asyncIterator]();
  }

  /** Sends a step and reads the answer. Throws RpcFailure, and WireError when the stream ends without one. */
  async step(step: NonNullable<AttestRequest["step"]>): Promise<NonNullable<AttestResponse["step"]>> {
    try {
      this.#call.write({ step });
      const answer = await this.#answers.next();
      if (answer.done === true || answer.value.step === undefined)
        throw new WireError("the server ended the attestation");
      return answer.value.step;
    } catch (error) {
      if (error instanceof WireError) throw error;
      throw decodeFailure(error, this.#deadlineMs);
    }
  }

  close(): void {
    this.#call.on("error", () => {});
    this.#call.end();
    this.#call.cancel();
  }
}

/** The result of a step that must be the last. Throws WireError. */
export function resultOf(step: NonNullable<AttestResponse["step"]>): AttestResult {
  if (step.$case !== "result") throw new WireError("the server answered with a challenge where the result was due");
  return step.value;
}
