// What a command is given: streams, environment, clock, and the processes it may start. Tests give their own.
import type { Clock } from "../platform/clock.ts";
import type { ExitCode } from "./failure.ts";
import type { Output, Printer } from "./print.ts";

export interface Input {
  readonly isTerminal: boolean;
  /** The next line without its end; undefined at the end of the input or when `signal` aborts. */
  line(signal?: AbortSignal): Promise<string | undefined>;
  /** Everything to the end, as text. Throws when it is over `maxBytes`. */
  all(maxBytes: number): Promise<string>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface RunServerOptions {
  readonly configFile?: string;
  /** Dotted path of the configuration → text, as `listen.api` → `127.0.0.1:0`. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Environment;
  readonly printConfig: boolean;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

export interface RunAgentOptions extends RunServerOptions {
  readonly joinString?: string;
}

export type KeyTypeName = "ec-p256" | "ec-p384" | "rsa-2048" | "rsa-3072" | "ed25519";

export interface InitOptions {
  readonly dataDir: string;
  readonly trustDomain: string;
  readonly rootKeyOut?: string;
  readonly rootPassphraseFile?: string;
  readonly keyPassphraseFile?: string;
  readonly keyType: KeyTypeName;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
}

/** An authority as `init` made it. `fingerprintHex` is the SHA-256 of the certificate's DER. */
export interface InitAuthority {
  readonly name: string;
  readonly keyType: string;
  readonly notAfter: Date;
  readonly fingerprintHex: string;
}

export interface InitResult {
  readonly root: InitAuthority;
  readonly intermediate: InitAuthority;
  /** True when the keys in the data directory are encrypted. */
  readonly encrypted: boolean;
  readonly dir: string;
}

/** What was read of a store. */
export interface StoreCheck {
  readonly dir: string;
  readonly counts: { readonly [collection: string]: number };
  readonly accepted: boolean;
}

/** The long-running parts, loaded only when they are wanted. Given by main.ts, the one file that may import them. */
export interface Starters {
  server(options: RunServerOptions): Promise<number>;
  agent(options: RunAgentOptions): Promise<number>;
  init(options: InitOptions): Promise<InitResult>;
  doctor(options: RunServerOptions, how: { readonly accept: boolean }): Promise<StoreCheck>;
}

export interface Interrupts {
  /** Aborts on the first Ctrl-C; from the first use on, Ctrl-C does not end the process at once. */
  signal(): AbortSignal;
}

export interface CliContext {
  readonly out: Output;
  readonly err: Output;
  readonly input: Input;
  readonly env: Environment;
  readonly cwd: string;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
  readonly starters: Starters;
  /** Where server.yaml and agent.yaml of the machine are: /etc/signet. */
  readonly etcDir: string;
}

/** Flags that many commands share. */
export interface SharedFlags {
  readonly output?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly dataDir?: string;
  readonly config?: string;
  readonly admin?: string;
}

/** One running command. */
export interface Cli extends CliContext {
  readonly print: Printer;
  readonly shared: SharedFlags;
  /** What was typed, without flags: `signet entry create`. */
  readonly path: string;
}

export type Handler<Flags> = (cli: Cli, flags: Flags, ...args: string[]) => Promise<ExitCode>;
