/** Why an identity directory could not be written: the closed list of `signet_agent_write_failures_total{reason}`. */
export const writeFailureReasons = [
  "no_space",
  "permission",
  "read_only",
  "unsafe",
  "missing",
  "foreign",
  "other",
] as const;

export type WriteFailureReason = (typeof writeFailureReasons)[number];

/** A directory that could not be written. `message` is for people: lower case, with the path. */
export class DirectoryError extends Error {
  override readonly name = "DirectoryError";
  readonly reason: WriteFailureReason;
  constructor(reason: WriteFailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What a failure of the file system means for a person. */
export function directoryError(error: unknown, what: string): DirectoryError {
  if (error instanceof DirectoryError) return error;
  switch (codeOf(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new DirectoryError("no_space", `${what}: no space left on device`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new DirectoryError("permission", `${what}: permission denied`, { cause: error });
    case "EROFS":
      return new DirectoryError("read_only", `${what}: the file system is read-only`, { cause: error });
    case "ENOENT":
      return new DirectoryError("missing", `${what}: no such directory`, { cause: error });
    case "ENOTDIR":
    case "ELOOP":
      return new DirectoryError("unsafe", `${what}: not a directory`, { cause: error });
    default:
      return new DirectoryError("other", `${what}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
  }
}

/** The system's code of a failure, such as ENOSPC; empty when it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
