// An issuer of tokens: panva's oidc-provider, with one client that asks in its own name (client_credentials).
// SETTINGS (JSON): issuer, port, keys (names, the first of which signs), all in the folder of argv[2], which has or gets their files.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { generateKeyPairSync } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(process.env.SETTINGS);
const require = createRequire(`${settings.modules}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const KINDS = {
  ES256: ["ec", { namedCurve: "P-256" }],
  RS256: ["rsa", { modulusLength: 2048 }],
  PS256: ["rsa", { modulusLength: 2048 }],
  Ed25519: ["ed25519", {}],
};

function key(name, alg) {
  const path = `${settings.folder}/${name}.${alg}.json`;
  if (!existsSync(path)) {
    const made = generateKeyPairSync(...KINDS[alg]).privateKey.export({ format: "jwk" });
    writeFileSync(path, JSON.stringify({ ...made, kid: `${name}-${alg}`, alg, use: "sig" }));
  }
  return JSON.parse(readFileSync(path));
}

const keys = settings.keys.flatMap((name) => Object.keys(KINDS).map((alg) => key(name, alg)));
const provider = new Provider(settings.issuer, {
  jwks: { keys },
  clients: [
    {
      client_id: "robot",
      client_secret: "the secret of the robot, which nobody else has",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  extraTokenClaims: () => ({ groups: ["guests", "lab"], realm: { team: "lab" } }),
  enabledJWA: { requestObjectSigningAlgValues: ["ES256"] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // urn:AUDIENCE:ALGORITHM:SECONDS
      getResourceServerInfo(_, resource) {
        const [, audience, alg, seconds] = resource.split(":");
        const sign = alg === "HS256" ? { alg, key: Buffer.from("a key that both sides share, 32 bytes") } : { alg };
        return { scope: "ask", audience, accessTokenFormat: "jwt", accessTokenTTL: Number(seconds), jwt: { sign } };
      },
    },
  },
});
provider.listen(settings.port, "127.0.0.1", () => console.log("ready"));
