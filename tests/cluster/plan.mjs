// What a chaos run asks and how it strikes: a function of the seed alone.
import { createCipheriv, createHash } from 'node:crypto';
import { seededRandom } from '../e2e/support.mjs';

// Those of the server; after one of the shim a command may be lost.
export const serverFailpoints = ['submit', 'start', 'output', 'complete', 'cancel', 'kill', 'forget']
  .flatMap((name) => [`${name}.before`, `${name}.after`])
  .concat('claim.after', 'adopt.after', 'reclaim.after');

const MiB = 1024 * 1024;
export const lease = 2000; // leases.lease
const aims = ['any', 'queued', 'starting', 'running', 'ending'];
export const states = aims.slice(1);

function shuffled(list, random) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; --i) {
    const j = random(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

// Sizes from nothing to 8 MiB, most of them small.
function sizeOf(random) {
  const most = [0, 1, 1024, 1024, 65_536, 65_536, 65_536, 262_144, MiB, random(4) === 0 ? 8 * MiB : MiB][random(10)];
  return most === 0 ? 0 : 1 + random(most);
}

function planCommand(i, seed, random) {
  const tag = `c${String(i).padStart(4, '0')}`;
  // The first two are the extremes.
  const sizes = i === 0 ? [0, 0] : i === 1 ? [8 * MiB, 65_537] : [sizeOf(random), random(2) === 0 ? 0 : sizeOf(random)];
  const good = { code: 0 };
  let end = [good, good, good, good, { code: 1 + random(120) }, { code: 137, signal: 'SIGKILL' }][random(6)];
  let cancelAfter;
  if (i % 12 === 5) end = { timeout: true };
  if (i % 5 === 3) {
    cancelAfter = random(3) === 0 ? 0 : random(1500);
    if (random(2) === 0) end = { never: true };
  }
  const slow = random(3) === 0;
  const pieces = [];
  for (const [s, size] of sizes.entries()) {
    const count = size === 0 ? 0 : 1 + random(size > MiB ? 10 : 5);
    const cuts = Array.from({ length: Math.max(0, count - 1) }, () => random(size)).sort((a, b) => a - b);
    const from = random(2) * blobHalf + random(blobHalf - size + 1);
    for (const [n, begin] of [0, ...cuts].slice(0, count).entries()) {
      const length = (cuts[n] ?? size) - begin;
      const wait = (end.timeout ? random(100) : slow ? 400 + random(1100) : random(400)) / 1000;
      const stream = ['stdout', 'stderr'][s];
      if (length > 0) pieces.push({ stream, offset: from + begin, length, order: random(1000), wait });
    }
  }
  // The streams are interleaved, each in its own order.
  const orders = { stdout: [], stderr: [] };
  for (const { stream, order } of pieces) orders[stream].push(order);
  for (const list of Object.values(orders)) list.sort((a, b) => a - b);
  for (const piece of pieces) piece.order = orders[piece.stream].shift();
  pieces.sort((a, b) => a.order - b.order);
  return {
    tag,
    key: `chaos-${seed}-${tag}`,
    end,
    pieces,
    cancelAfter,
    argv: random(2) === 0,
    byEnv: random(3) === 0,
    framing: random(3) === 0 ? 'chunk' : 'line',
    again: random(5) === 0, // repeats its request although it has been accepted
  };
}

function planStrike(i, kind, nodes, random) {
  const late = nodes === 2 && random(2) === 0;
  return {
    nodes,
    kind,
    node: random(2),
    early: random(10) === 0, // does not wait until the node serves
    aim: aims[i % aims.length],
    wait: random(900),
    // After a kill the other node has time to take over, or has not; a freeze is always longer than the lease.
    away: kind === 'kill' && !late ? random(400) : lease + 1000 + random(1000),
  };
}

// Everything that is decided beforehand; `arms` are what restarts get in RDEV_FAILPOINT, one after the other.
// The first half of the strikes has one node, the second half two.
export function makePlan({ seed, commands, strikes, failpoints = [], rounds = 1, twoNodes = true }) {
  const random = seededRandom(seed);
  // Three kills for two freezes, in any order.
  const kinds = [];
  while (kinds.length < strikes) kinds.push(...shuffled(['kill', 'kill', 'kill', 'freeze', 'freeze'], random));
  const nodesAt = (i) => (twoNodes && i >= strikes / 2 ? 2 : 1);
  const plan = {
    commands: Array.from({ length: commands }, (_, i) => planCommand(i, seed, random)),
    strikes: Array.from({ length: strikes }, (_, i) => planStrike(i, kinds[i], nodesAt(i), random)),
    arms: [],
  };
  for (let round = 0; round < rounds; ++round)
    for (const name of shuffled(failpoints, random)) {
      const nth = round === 0 || /adopt|reclaim|kill|cancel/.test(name) ? 1 : 1 + random(4);
      plan.arms.push({ name, action: random(3) === 0 ? 'stop' : 'kill', nth, away: lease + 1000 + random(1000) });
    }
  return plan;
}

// ---- what commands write

// The first half is binary, the second one text: lines of about 250 letters, some not ASCII.
const blobHalf = 8 * MiB;

export function makeBlob(seed) {
  const key = createHash('sha256').update(`blob ${seed}`).digest();
  const noise = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(2 * blobHalf));
  const blob = Buffer.from(noise);
  for (let i = blobHalf; i < blob.length; ++i) {
    const byte = noise[i];
    if (byte === 255) blob[i] = 10;
    else if (byte === 254 && i + 1 < blob.length) [blob[i], blob[++i]] = [0xc3, 0xa9];
    else blob[i] = 32 + (byte % 95);
  }
  return blob;
}

export function writesOf(plan, blob) {
  const of = (stream) => {
    const pieces = plan.pieces.filter((piece) => piece.stream === stream);
    return {
      bytes: pieces.reduce((sum, { length }) => sum + length, 0),
      sha256Of(n) {
        const hash = createHash('sha256');
        let left = n;
        for (const { offset, length } of pieces) {
          hash.update(blob.subarray(offset, offset + Math.min(left, length)));
          left -= Math.min(left, length);
        }
        return hash.digest('hex');
      },
    };
  };
  return { stdout: of('stdout'), stderr: of('stderr') };
}

// Its first act is its line in the ledger, in a single write.
function scriptOf({ tag, byEnv, pieces, end }) {
  const steps = [
    `# ${tag}`,
    'exec 3>&2 2>/dev/null', // some shells write there that a child was killed
    `read -r random </proc/sys/kernel/random/uuid; echo "${byEnv ? '$CHAOS_TAG' : tag} $$ $random" >>ledger`,
    'put() { dd if=blob bs=65536 iflag=skip_bytes,count_bytes skip="$1" count="$2" status=none; }',
    ...pieces.map(({ stream, offset, length, wait }) =>
      `put ${offset} ${length}${stream === 'stderr' ? ' >&3' : ''}; sleep ${wait}`),
  ];
  if (end.never || end.timeout) steps.push('sleep 600');
  else steps.push(end.signal ? 'kill -9 $$' : `exit ${end.code}`);
  return steps.join('\n');
}

export function bodyOf(plan) {
  const script = scriptOf(plan);
  const body = { command: plan.argv ? ['/bin/sh', '-c', script] : script };
  if (plan.byEnv) body.env = { CHAOS_TAG: plan.tag };
  if (plan.end.timeout) body.timeout_seconds = 2;
  return JSON.stringify(body);
}
