// What services import as `signet/sdk`: the one public list. Each export has its description and an example where it is
// defined.

export { type Authorizer, any, exactly, memberOf, oneOf, under } from "../spiffe/authorizer.ts";
export type { TrustBundle } from "../spiffe/bundle.ts";
export type { DeniedCertificate, DenyList } from "../spiffe/deny.ts";
export {
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  SpiffeError,
  type SpiffeId,
  type TrustDomain,
  trustDomainOf,
} from "../spiffe/id.ts";
export type { Certificate } from "../x509/certificate.ts";
export { type ClientOptions, connectTls, type Target } from "./connect.ts";
export { createPeerCounter, type PeerCounter, type PeerCounts } from "./counts.ts";
export { type DirectorySource, type DirectorySourceOptions, openDirectorySource } from "./directory-source.ts";
export type { Connection } from "./gate.ts";
export { type GuardOptions, guardServer, type OfConnection, type ServerGuard } from "./guard-server.ts";
export {
  type Http2Client,
  type Http2ClientOptions,
  type Http2Counts,
  type Http2Request,
  type Http2Response,
  openHttp2Client,
} from "./http2-client.ts";
export { type HttpsAgent, type HttpsAgentOptions, httpsAgent } from "./https-agent.ts";
export { type Peer, type PeerRefusal, peerRefusals, type RefusedPeer } from "./peer.ts";
export { SdkError, type SdkErrorCode, sdkErrorCodes } from "./sdk-error.ts";
export type { Identity, Source } from "./source.ts";
export { clientOptions, serverOptions } from "./tls-options.ts";
