// `cmd_` and 26 digits in Crockford's base 32, most significant bit first, are the 128 bits of a uuid of the database.
const digits = '0123456789abcdefghjkmnpqrstvwxyz';

export function commandId(uuid) {
  let rest = BigInt(`0x${uuid.replaceAll('-', '')}`);
  let text = '';
  for (let i = 0; i < 26; ++i, rest >>= 5n) text = digits[Number(rest & 31n)] + text;
  return `cmd_${text}`;
}

export function uuidOf(id) {
  let bits = 0n;
  for (const digit of id.slice(id.indexOf('_') + 1)) bits = bits * 32n + BigInt(digits.indexOf(digit));
  const hex = bits.toString(16).padStart(32, '0');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
