/** Why an agent could not join: a closed list, with the exit code of each. */
export type JoinFailure =
  | "bad_string"
  | "refused"
  | "other_server"
  | "unreachable"
  | "bad_answer"
  | "not_joined"
  | "in_use";

const exitCodes: Readonly<Record<JoinFailure, number>> = {
  bad_string: 2,
  not_joined: 2,
  refused: 3,
  other_server: 3,
  unreachable: 4,
  bad_answer: 1,
  in_use: 1,
};

/** The agent cannot start. `message` is for people; `cure` is a command, or empty. */
export class JoinError extends Error {
  override readonly name = "JoinError";
  readonly reason: JoinFailure;
  readonly cure: string;
  readonly exitCode: number;
  constructor(reason: JoinFailure, message: string, options: ErrorOptions & { readonly cure?: string } = {}) {
    super(message, options);
    this.reason = reason;
    this.cure = options.cure ?? "";
    this.exitCode = exitCodes[reason];
  }
}
