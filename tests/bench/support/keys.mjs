// Texts of keys as rdev makes them (adapters/crypto/key_text.cpp) and as those make them who guess; `random(below)`
// gives the digits.
import { createHash } from 'node:crypto';

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let i = 0; i < 8; ++i) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function checkOf(text) {
  let crc = ~0;
  for (let i = 0; i < text.length; ++i) crc = (crc >>> 8) ^ table[(crc ^ text.charCodeAt(i)) & 255];
  let out = '';
  for (let left = ~crc >>> 0; out.length < 6; left = Math.floor(left / 62)) out = base62[left % 62] + out;
  return out;
}

const digits = (random, n) => Array.from({ length: n }, () => base62[random(62)]).join('');

export function wellFormed(random) {
  const body = `rdev_${digits(random, 8)}_${digits(random, 27)}`;
  return body + checkOf(body);
}
export const malformed = (random) => wellFormed(random).slice(5);
export function mistyped(random) {
  const text = wellFormed(random);
  return text.slice(0, -1) + base62[(base62.indexOf(text.at(-1)) + 1) % 62];
}

// As it stands in api_keys.
export const prefixOf = (text) => text.slice(0, 13);
export const hashOf = (text) => createHash('sha256').update(text).digest('hex');
