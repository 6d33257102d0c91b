// Verifies attestation.sigstore.json with @sigstore/verify, by a public key and no transparency log.
const fs = require('fs');
const crypto = require('crypto');
const { bundleFromJSON } = require('@sigstore/bundle');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const [folder, path] = process.argv.slice(2);
const key = crypto.createPublicKey(fs.readFileSync(path));
const der = key.export({ type: 'spki', format: 'der' });
const hint = crypto.createHash('sha256').update(der).digest('base64');
const trusted = (wanted) => {
  if (wanted !== hint) throw new Error(`unknown key ${wanted}`);
  return { publicKey: key, validFor: () => true };
};
const material = toTrustMaterial({ certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] }, trusted);
const verifier = new Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0 });
const text = fs.readFileSync(`${folder}/attestation.sigstore.json`, 'utf8');
verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(text))));

const changed = JSON.parse(text);
changed.dsseEnvelope.payload = Buffer.concat([Buffer.from(changed.dsseEnvelope.payload, 'base64'), Buffer.from(' ')]).toString('base64');
let refused = false;
try {
  verifier.verify(toSignedEntity(bundleFromJSON(changed)));
} catch (error) {
  refused = true;
}
if (!refused) throw new Error('a changed payload verifies');
const version = require('@sigstore/verify/package.json').version;
console.log(`@sigstore/verify ${version} (${key.asymmetricKeyType}): attestation.sigstore.json verifies`);
