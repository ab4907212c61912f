// A channel to the server: TLS 1.3, the server judged by our own path validation as spiffe://T/signet/server. Host names
// are not looked at, so addresses may move.
import { isIP } from "node:net";
import { createSecureContext, type DetailedPeerCertificate, type PeerCertificate } from "node:tls";
import { type ChannelOptions, credentials } from "@grpc/grpc-js";
import { BundleServiceClient } from "../../proto/gen/signet/v1/bundle.ts";
import { IssuanceServiceClient } from "../../proto/gen/signet/v1/issuance.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";
import type { DenyList } from "../spiffe/deny.ts";
import { serverId } from "../spiffe/kind.ts";
import { judgeSvid, type SvidVerdict } from "../spiffe/svid.ts";
import { encodePem } from "../x509/pem.ts";
import { callUnary, type RpcFailure, type UnaryMethod } from "./rpc.ts";

/** What we show of ourselves. */
export interface OwnCertificate {
  /** Leaf, then intermediates, without the root. */
  readonly chainDer: readonly Uint8Array[];
  /** PKCS#8. */
  readonly keyDer: Uint8Array;
}

/** By what a server is judged. */
export interface ServerTrust {
  readonly bundle: TrustBundle;
  readonly denyList?: DenyList | undefined;
}

export interface ChannelFields {
  /** host:port. */
  readonly address: string;
  /** Undefined: any server is taken. For the first step of the first contact only, where nothing secret is sent. */
  readonly trust: (() => ServerTrust) | undefined;
  /** Our own certificate; undefined to stay anonymous. */
  readonly identity: OwnCertificate | undefined;
  readonly now: () => Date;
  /**
   * What else the time may be, where our clock jumped and nobody has said yet which is right. The server is taken by either:
   * a clock that was wrong until it was set must not keep us from who knows the time.
   */
  readonly otherNow?: (() => Date) | undefined;
  /** Octets of one message at most. */
  readonly maxMessageBytes: number;
}

/** One channel; it connects when it is used. */
export class ServerChannel {
  readonly address: string;
  readonly issuance: IssuanceServiceClient;
  readonly bundles: BundleServiceClient;
  readonly #fields: ChannelFields;
  #chainDer: readonly Uint8Array[] = [];
  #refusal = "";
  #calls = 0;
  #retired = false;

  constructor(fields: ChannelFields) {
    this.address = fields.address;
    this.#fields = fields;
    const secureContext = createSecureContext({
      minVersion: "TLSv1.3",
      ca:
        fields.trust === undefined ? [] : fields.trust().bundle.roots.map((root) => encodePem("CERTIFICATE", root.raw)),
      ...(fields.identity === undefined ? {} : pemOf(fields.identity)),
    });
    const channelCredentials = credentials.createFromSecureContext(secureContext, {
      rejectUnauthorized: fields.trust !== undefined,
      checkServerIdentity: (_host, certificate) => this.#check(certificate),
    });
    const host = fields.address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
    const options: ChannelOptions = {
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.max_receive_message_length": fields.maxMessageBytes,
      "grpc.keepalive_time_ms": 20_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.use_local_subchannel_pool": 1,
      // An address must not stand in the server name of TLS (RFC 6066 3).
      ...(isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": "signet" }),
    };
    this.issuance = new IssuanceServiceClient(`dns:${fields.address}`, channelCredentials, options);
    this.bundles = new BundleServiceClient(`dns:${fields.address}`, channelCredentials, {
      ...options,
      channelOverride: this.issuance.getChannel(),
    });
  }

  /** Why the server was refused the last time; empty when it was not. */
  get refusal(): string {
    return this.#refusal;
  }

  /** Judges the server of the open connection again, since trust or time have changed. Undefined: still good. */
  serverFault(): string | undefined {
    return this.#chainDer.length === 0 ? undefined : this.#judge(this.#chainDer);
  }

  /** One unary call; a retired channel closes after its last one. Throws RpcFailure. */
  async call<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<Response> {
    this.#calls += 1;
    try {
      return await callUnary(method, request, options);
    } finally {
      this.#calls -= 1;
      this.#closeWhenDone();
    }
  }

  /** Closes once the calls under way have ended; begins no new one. */
  retire(): void {
    this.#retired = true;
    this.#closeWhenDone();
  }

  #closeWhenDone(): void {
    if (this.#retired && this.#calls === 0) this.issuance.close();
  }

  #check(certificate: PeerCertificate): Error | undefined {
    if (this.#fields.trust === undefined) return undefined;
    const chainDer = chainOf(certificate);
    const fault = this.#judge(chainDer);
    if (fault === undefined) {
      this.#chainDer = chainDer;
      this.#refusal = "";
      return undefined;
    }
    this.#refusal = fault;
    return new Error(fault);
  }

  #judge(chainDer: readonly Uint8Array[]): string | undefined {
    const trust = this.#fields.trust?.();
    if (trust === undefined) return undefined;
    const expected = serverId(trust.bundle.trustDomain);
    const judgedAt = (at: Date): SvidVerdict =>
      judgeSvid(chainDer, {
        bundle: trust.bundle,
        at,
        purpose: "server",
        denied: trust.denyList,
        allow: (id) => id === expected,
      });
    const verdict = judgedAt(this.#fields.now());
    if (!verdict.ok && (verdict.reason === "expired" || verdict.reason === "not_yet_valid")) {
      const { otherNow } = this.#fields;
      if (otherNow !== undefined && judgedAt(otherNow()).ok) return undefined;
    }
    return verdict.ok ? undefined : verdict.detail.replace("the peer", "the server");
  }
}

/** Whether a connection failed because the server is not who it must be. */
export function isOtherServer(failure: Pick<RpcFailure, "detail">, channel: Pick<ServerChannel, "refusal">): boolean {
  return channel.refusal !== "" || /unable to (?:get|verify)|self.signed/i.test(failure.detail);
}

/** What went wrong with a connection, in words for people; an OpenSSL verdict is put into ours. */
export function connectionFault(failure: RpcFailure, channel: Pick<ServerChannel, "refusal" | "address">): string {
  if (channel.refusal !== "") return `${channel.address} is not our server: ${channel.refusal}`;
  const text = failure.detail;
  if (isOtherServer(failure, channel)) {
    return `${channel.address} is not our server: its certificate is under no root that is trusted here`;
  }
  if (/certificate has expired/i.test(text)) return `${channel.address}: the server's certificate has ended`;
  if (/ECONNREFUSED/.test(text)) return `connection refused by ${channel.address}`;
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/.test(text))
    return `the name of ${channel.address} cannot be resolved`;
  if (/EHOSTUNREACH|ENETUNREACH/.test(text)) return `no route to ${channel.address}`;
  if (/no answer/.test(text)) return `${text} from ${channel.address}`;
  return `${channel.address}: ${text.replace(/^.*Last error: /, "")}`;
}

/** A call that was not done, in words for people, with what the server or grpc-js said. */
export class ContactError extends Error {
  override readonly name = "ContactError";
  readonly failure: RpcFailure;
  /** The server could not prove who it is. */
  readonly isOtherServer: boolean;
  constructor(failure: RpcFailure, channel: Pick<ServerChannel, "refusal" | "address">) {
    super(isAway(failure) || channel.refusal !== "" ? connectionFault(failure, channel) : failure.detail, {
      cause: failure,
    });
    this.failure = failure;
    this.isOtherServer = isOtherServer(failure, channel);
  }
}

/** Whether a failure says that the server was not there, rather than that it refused. */
export function isAway(failure: Pick<RpcFailure, "code">): boolean {
  return failure.code === "unavailable" || failure.code === "in_doubt" || failure.code === "cancelled";
}

function pemOf(identity: OwnCertificate): { readonly cert: string; readonly key: string } {
  return {
    cert: identity.chainDer.map((der) => encodePem("CERTIFICATE", der)).join(""),
    key: encodePem("PRIVATE KEY", identity.keyDer),
  };
}

/** DER of the certificates that the server sent, leaf first. */
function chainOf(certificate: PeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  let next: DetailedPeerCertificate | undefined = certificate as DetailedPeerCertificate;
  while (next?.raw !== undefined && !seen.has(next.fingerprint256) && chain.length < 16) {
    seen.add(next.fingerprint256);
    chain.push(new Uint8Array(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}
