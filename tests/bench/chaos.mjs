// Nothing lost, nothing twice: runs of 200 commands under 40 kills and freezes, as many as fit into the time, each
// judged by the history checker (tests/cluster/history.mjs). Ends with 1 when one history is illegal, or when a run of
// the whole form did not hit every failpoint of the test build that it runs on.
//   --minutes N    begins no further run after N minutes (default: one run)
//   --seed N       of the first run; the next ones count on (default: random)
//   --commands N, --strikes N
//   --pods real|scripted   commands run in pods of the testbed (RDEV_TEST_KUBECONFIG) or of the scripted cluster, and the
//                  cluster has troubles of its own meanwhile: cut connections, restarts of its parts, dropped tails
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { chaos } from '../cluster/chaos.mjs';
import { testSeed } from '../e2e/support.mjs';
import { RealPods, ScriptedPods } from '../kubernetes/pods_world.mjs';

const { values } = parseArgs({
  options: Object.fromEntries(['minutes', 'seed', 'commands', 'strikes', 'pods'].map((name) => [name, { type: 'string' }])),
});
const given = (name, otherwise) => {
  const value = Number(values[name] ?? otherwise);
  if (!(value >= 0)) throw new Error(`--${name} wants a number`);
  return value;
};

// As `./dev test` has it.
const suppressions = fileURLToPath(new URL('../lsan.supp', import.meta.url));
process.env.LSAN_OPTIONS ??= `suppressions=${suppressions}:print_suppressions=0`;

const minutes = given('minutes', 0);
const size = { commands: given('commands', 200), strikes: given('strikes', 40) };
const whole = size.commands >= 200 && size.strikes >= 40;
const first = values.seed === undefined ? testSeed() : given('seed');

const columns = {
  seed: ({ seed }) => seed,
  commands: ({ commands }) => commands,
  kills: ({ strikes }) => strikes.kill,
  freezes: ({ strikes }) => strikes.freeze,
  extra: ({ strikes }) => strikes.extra,
  failpoints: ({ strikes }) => Object.values(strikes.failpoint).reduce((sum, n) => sum + n, 0),
  queued: ({ struck }) => struck.queued,
  starting: ({ struck }) => struck.starting,
  running: ({ struck }) => struck.running,
  ending: ({ struck }) => struck.ending,
  cuts: ({ cuts }) => cuts,
  repeats: ({ repeats }) => repeats,
  MiB: ({ bytes }) => Math.round(bytes / 1024 / 1024),
  lost: ({ lost }) => lost,
  doubled: ({ doubled }) => doubled,
  stuck: ({ stuck }) => stuck,
  illegal: ({ violations }) => violations.length,
  seconds: ({ seconds }) => seconds,
};
const line = (cells) => cells.map((cell) => String(cell).padStart(10)).join(' ');

const total = Object.fromEntries(Object.keys(columns).map((name) => [name, 0]));
const hits = {};
const byStatus = {};
const troubles = {};
const add = (into, from) => {
  for (const [name, n] of Object.entries(from)) into[name] = (into[name] ?? 0) + n;
};

console.log('queued, starting, running, ending: how many commands were in that state when it struck\n');
console.log(line(Object.keys(columns)));
const begin = Date.now();
let runs = 0;
let missed = 0; // failpoints that a run of the whole form did not hit
do {
  const pods = await { real: RealPods, scripted: ScriptedPods }[values.pods]?.start();
  const summary = await chaos({ seed: first + runs++, ...size, pods }).finally(() => pods?.close());
  add(troubles, summary.troubles ?? {});
  console.log(line(Object.values(columns).map((of) => of(summary))));
  for (const { rule, command, message } of summary.violations) console.log(`  ${rule}: ${command ?? ''} ${message}`);
  for (const text of summary.evidence) console.log(`    ${text}`);
  for (const [name, of] of Object.entries(columns)) total[name] += of(summary);
  add(byStatus, summary.byStatus);
  if (summary.missed.length > 0) console.log(`  not hit: ${summary.missed.join(' ')}`);
  if (whole) missed += summary.missed.length;
  add(hits, Object.fromEntries(summary.missed.map((name) => [name, 0])));
  add(hits, summary.strikes.failpoint);
} while (Date.now() - begin < minutes * 60_000);

console.log(line(Object.values({ ...total, seed: 'all' })));
console.log(`\nends: ${JSON.stringify(byStatus)}`);
if (values.pods) console.log(`troubles of the cluster: ${JSON.stringify(troubles)}`);
if (Object.keys(hits).length === 0) console.log('failpoints: none are compiled in');
else console.log(`failpoints: ${JSON.stringify(hits)}`);
console.log(`${runs} histories, ${total.illegal === 0 ? 'all legal' : `${total.illegal} VIOLATIONS`}`);
process.exitCode = total.illegal > 0 || missed > 0 ? 1 : 0;
