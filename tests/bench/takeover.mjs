// How long a reader of a running command waits when the command's node goes: from the signal to the node until an
// output that the other node has stored is seen in the other node's stream. Two nodes of one machine, default settings;
// the command prints a line every 20 ms. Bars: SIGKILL p99 below 3 s, SIGTERM p99 below 1 s.
import { Cluster } from '../cluster/cluster.mjs';
import { signal } from '../cluster/processes.mjs';
import { Transcript, waitFor } from '../e2e/support.mjs';
import { must, percentile } from './support/bench.mjs';

const rounds = Number(process.env.RDEV_BENCH_ROUNDS ?? 20);
const bars = { SIGKILL: 3000, SIGTERM: 1000 };

// The time at which each line was printed, in ms since 1970.
const script = (name) => `while [ ! -e stop-${name} ]; do date +%s%3N; sleep 0.02; done`;

// Looks all the time, within PostgreSQL, until somebody else than `node` holds the lease; gives the time of that.
async function handedOver({ database }, node) {
  const [, said] = await Promise.all([
    database.sql(`DO $$ DECLARE owner text; BEGIN LOOP
        SELECT n.name INTO owner FROM lease l JOIN node n ON n.id = l.node_id;
        EXIT WHEN owner IS DISTINCT FROM '${node.name}';
        PERFORM pg_sleep(0.005);
      END LOOP; END $$`),
    database.sql('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint'),
  ]);
  return Number(said);
}

async function once(cluster, nodes, how, name) {
  const id = await nodes[0].submit(script(name));
  const owner = await cluster.runsSomewhere(id);
  const survivor = nodes.find((node) => node !== owner);
  const seen = new Transcript();
  const came = []; // [when it was printed, when it was seen]
  const reading = survivor.follow(id, {
    into: seen,
    until: (frame) => void (frame.event === 'output' && came.push([Number(frame.data.line), Date.now()])),
  });
  await waitFor('it prints', () => came.length >= 25);
  const handed = handedOver(cluster, owner);
  const struck = Date.now();
  signal(owner.pid, how);
  // From then on nothing that the old owner says counts: what was printed later was stored by the new one.
  const since = await handed;
  const byTheOther = () => came.find(([printed]) => printed > since);
  const [, first] = await waitFor('an output stored by the other node', byTheOther);
  nodes[0].put(`stop-${name}`, '');
  await reading;
  must(seen.checkReceipts().complete.status === 'completed', 'the command completes');
  must(came.every(([printed], at) => at === 0 || printed >= came[at - 1][0]), 'nothing comes twice');
  await waitFor('the old owner ends', () => owner.exited);
  await owner.start();
  return { took: first - struck, handed: since - struck };
}

let missed = false;
const cluster = await Cluster.start({ env: { RDEV_COMMANDS_KILL_GRACE: '5s' } });
try {
  const nodes = [cluster.add('a'), cluster.add('b')];
  await Promise.all(nodes.map((node) => node.start()));
  for (const [how, bar] of Object.entries(bars)) {
    const all = [];
    for (let i = 0; i < rounds; ++i) all.push(await once(cluster, nodes, how, `${how}-${i}`));
    for (const [what, name] of [['FIRST OUTPUT OF THE OTHER NODE', 'took'], ['the lease alone', 'handed']]) {
      const values = all.map((one) => one[name]);
      const [p50, p99, most] = [0.5, 0.99, 1].map((share) => percentile(values, share));
      console.log(`${how}, ${rounds} times: ${what.padEnd(30)} p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms`);
    }
    const p99 = percentile(all.map((one) => one.took), 0.99);
    console.log(`${how}: p99 ${p99} ms, bar: below ${bar} ms: ${p99 < bar ? 'reached' : 'MISSED'}`);
    missed ||= p99 >= bar;
  }
} catch (error) {
  console.error(`bench: ${error.stack}`);
  missed = true;
} finally {
  await cluster.close().catch((error) => {
    console.error(`bench: a server did not end well: ${error.message}`);
    missed = true;
  });
}
process.exitCode = missed ? 1 : 0;
