// A second implementation of docs/format.md, written from its words: sealed objects, wraps, derivations and envelopes.
//   node second.mjs open FILE…   tells of each vector, one JSON line each, what it makes of it; it never looks at "expect" and "plain"
//   node second.mjs seal         seals what it is asked to on standard input: JSON lines of key, object, kind, plain (hex, base64)
// Argon2id is not in Node 20, so slots are left out.
import {
  createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey, diffieHellman, timingSafeEqual, webcrypto,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { inflateSync } from 'node:zlib';

const { subtle } = webcrypto;
const HEADER = 88, CHUNK = 65536, TAG = 16, STEP = CHUNK + TAG;
const MAGIC = Buffer.from('89424246 0d0a1a0a 0101 000000000000'.replaceAll(' ', ''), 'hex'); // with version, suite and zeros

class Refused extends Error {}
const refuse = (why = 'refused') => { throw new Refused(why); };
const bytes = (hex) => Buffer.from(hex, 'hex');
const parts = (text) => (text ? text.split(' ').map((part) => (part === '-' ? Buffer.alloc(0) : bytes(part))) : []);
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

function integer(number, length) {
  const out = Buffer.alloc(length);
  out.writeUInt32BE(number, length - 4);
  return out;
}

const lp = (...all) => Buffer.concat(all.flatMap((part) => [integer(part.length, 4), part]));

function expand(hash, key, info, length) { // RFC 5869, 2.3
  let out = Buffer.alloc(0), block = out;
  for (let count = 1; out.length < length; count++) {
    block = createHmac(hash, key).update(block).update(info).update(Buffer.of(count)).digest();
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, length);
}

// -- sealed objects

async function derive(fk, salt, head, kind) {
  const derived = expand('sha512', fk, Buffer.concat([Buffer.from('bildbrief.sealed-object.v1\0'), salt, head, Buffer.of(kind)]), 76);
  const key = await subtle.importKey('raw', derived.subarray(0, 32), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const nonce = (number) => integer(number, 12).map((byte, at) => byte ^ derived[32 + at]);
  return { key, gcm: (number) => ({ name: 'AES-GCM', iv: nonce(number), tagLength: 128 }), commitment: derived.subarray(44) };
}

async function open(sealed, fk, id, kind, release) {
  if (sealed.length < HEADER) refuse('truncated');
  const head = sealed.subarray(0, 32);
  if (!head.equals(Buffer.concat([MAGIC, id]))) refuse('header');
  const { key, gcm, commitment } = await derive(fk, sealed.subarray(32, 56), head, kind);
  if (!timingSafeEqual(commitment, sealed.subarray(56, HEADER))) refuse('commitment');
  const last = Math.floor((sealed.length - HEADER) / STEP);
  if ((sealed.length - HEADER) % STEP < TAG) refuse('truncated');
  const chunk = async (number) => {
    const at = HEADER + number * STEP;
    return Buffer.from(await subtle.decrypt(gcm(number), key, sealed.subarray(at, at + STEP)).catch(() => refuse(`chunk ${number}`)));
  };
  const tail = await chunk(last);
  for (let number = 0; number < last; number++) release(await chunk(number));
  release(tail);
}

async function seal(plain, fk, id, kind) {
  const head = Buffer.concat([MAGIC, id]);
  const salt = webcrypto.getRandomValues(Buffer.alloc(24));
  const { key, gcm, commitment } = await derive(fk, salt, head, kind);
  const out = [head, salt, commitment];
  for (let at = 0, number = 0; at <= plain.length; at += CHUNK, number++) {
    out.push(Buffer.from(await subtle.encrypt(gcm(number), key, plain.subarray(at, at + CHUNK))));
  }
  return Buffer.concat(out);
}

// -- keys

function unwrap(kek, wrapped, purpose, context) {
  let plain;
  try {
    const kwp = createDecipheriv('id-aes256-wrap-pad', kek, bytes('a65959a6')); // RFC 5649
    plain = Buffer.concat([kwp.update(wrapped), kwp.final()]);
  } catch {
    refuse();
  }
  if (plain.length <= 32) refuse();
  const digest = createHash('sha512-256').update(lp(Buffer.from(purpose), ...context)).digest();
  return timingSafeEqual(plain.subarray(-32), digest) ? plain.subarray(0, -32) : refuse();
}

const x25519 = (type, raw) => Buffer.concat([bytes(type), raw]); // the DER that RFC 8410 puts around a raw key

async function openEnvelope(secret, envelope, info) { // RFC 9180, base mode
  if (envelope.length < 32 + TAG) refuse();
  const key = createPrivateKey({ key: x25519('302e020100300506032b656e04220420', secret), format: 'der', type: 'pkcs8' });
  const peer = (raw) => createPublicKey({ key: x25519('302a300506032b656e032100', raw), format: 'der', type: 'spki' });
  const encapsulated = envelope.subarray(0, 32);
  const own = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  let dh;
  try { dh = diffieHellman({ privateKey: key, publicKey: peer(encapsulated) }); } catch { refuse(); } // a point of small order
  const labeled = (suite) => ({
    extract: (salt, label, ikm) => createHmac('sha256', salt).update('HPKE-v1').update(suite).update(label).update(ikm).digest(),
    expand: (prk, label, more, length) =>
      expand('sha256', prk, Buffer.concat([integer(length, 4).subarray(2), Buffer.from('HPKE-v1'), suite, Buffer.from(label), more]), length),
  });
  const kem = labeled(Buffer.concat([Buffer.from('KEM'), bytes('0020')]));
  const hpke = labeled(Buffer.concat([Buffer.from('HPKE'), bytes('002000010002')]));
  const shared = kem.expand(kem.extract('', 'eae_prk', dh), 'shared_secret', Buffer.concat([encapsulated, own]), 32);
  const context = Buffer.concat([Buffer.of(0), hpke.extract('', 'psk_id_hash', ''), hpke.extract('', 'info_hash', info)]);
  const secretKey = hpke.extract(shared, 'secret', '');
  const aes = await subtle.importKey('raw', hpke.expand(secretKey, 'key', context, 32), 'AES-GCM', false, ['decrypt']);
  const iv = hpke.expand(secretKey, 'base_nonce', context, 12);
  return Buffer.from(await subtle.decrypt({ name: 'AES-GCM', iv, tagLength: 128 }, aes, envelope.subarray(32)).catch(() => refuse()));
}

// -- the vectors

const ROOMS = {
  sealed: (is, body, release) => open(body, bytes(is.key), bytes(is.object), Number(is.kind), release),
  wraps: (is, body, release) => release(unwrap(bytes(is.kek), body, is.purpose, parts(is.parts))),
  envelopes: async (is, body, release) => release(await openEnvelope(bytes(is.private), body, Buffer.from(is.info))),
  derivations: (is, body, release) => {
    const rest = is.parts === undefined ? Buffer.concat(parts(is.bare)) : lp(...parts(is.parts));
    const derived = expand('sha512', bytes(is.key), Buffer.concat([Buffer.from(`${is.label}\0`), rest]), Number(is.length));
    release(derived.equals(body) ? derived : refuse());
  },
};

async function tell(path) {
  const [head, body] = readFileSync(path, 'utf8').split('\n\n');
  const fields = Object.fromEntries(head.split('\n').map((line) => line.split(/: ?/, 2)));
  const content = Buffer.from(body, 'base64');
  const room = basename(dirname(path)), released = [];
  const said = await Promise.resolve()
    .then(() => ROOMS[room](fields, fields.packed ? inflateSync(content) : content, (piece) => released.push(piece)))
    .then(() => 'success', (error) => (error instanceof Refused ? error.message : `${error}`));
  return { name: `${room}/${basename(path)}`, said, plain: sha256(Buffer.concat(released)) };
}

const [what, ...files] = process.argv.slice(2);
if (what === 'open') for (const file of files) console.log(JSON.stringify(await tell(file)));
if (what === 'seal') {
  for (const line of readFileSync(0, 'utf8').trim().split('\n')) {
    const { key, object, kind, plain } = JSON.parse(line);
    console.log((await seal(Buffer.from(plain, 'base64'), bytes(key), bytes(object), kind)).toString('base64'));
  }
}
