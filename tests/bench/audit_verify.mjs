// How fast the audit log is verified: records of 300 bytes and more, sealed by the server, checked by `rdev-api audit verify`,
// several times. Bars: records a second of the verifier's own processor time (what one core does), and memory that does not
// grow with the number of records (twice as many). By the clock it is slower: PostgreSQL reads them on the other core.
//   --rounds N (5), --records N (300000)
import path from 'node:path';
import { spawn } from 'node:child_process';

import { binDir, cleanEnv } from '../e2e/support.mjs';
import { atLeast, atMost, median, must, printSeries, waitFor, withServer } from './support/bench.mjs';
import { options } from './support/front.mjs';

const { rounds, records } = options({ rounds: 5, records: 300_000 });

const insert = (n) => `
  INSERT INTO audit_log (actor_key, actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id, detail)
  SELECT rdev_uuid7(), 'continuous integration', 'command.submit', rdev_uuid7()::text, 'demo', 'allowed', '', '203.0.113.' || i % 250,
         'req_' || md5(i::text), md5(i::text), jsonb_build_object('type', 'shell', 'script', 'make test # ' || i)
    FROM generate_series(1, ${n}) i`;

// Its end, the seconds of its processor and of the clock, and its peak memory in MiB.
function verify(server) {
  const args = ['-f', '%U %S %e %M', path.join(binDir, 'rdev-api'), 'audit', 'verify', '--data-dir', server.dataDir];
  return new Promise((resolve, reject) => {
    const child = spawn('/usr/bin/time', args, { env: cleanEnv(server.env), cwd: server.base, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let figures = '';
    child.stdout.on('data', (piece) => (said += piece));
    child.stderr.on('data', (piece) => (figures += piece));
    child.on('error', reject).on('close', (code) => {
      const [user, system, clock, memory] = figures.trim().split('\n').at(-1).split(' ').map(Number);
      resolve({ code, said, cpu: user + system, clock, memory: memory / 1024 });
    });
  });
}

async function sealed(server, n) {
  const begin = performance.now();
  await server.psql(insert(n));
  await waitFor('all are sealed', async () =>
    (await server.psql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't', 300_000);
  console.log(`${n} records were written and sealed in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

async function checked(server) {
  const count = Number(await server.psql('SELECT count(*) FROM audit_log'));
  const one = await verify(server);
  must(one.code === 0, `audit verify ended with ${one.code}: ${one.said}`);
  must(one.said.includes(String(count)), `it checked all ${count}: ${one.said}`);
  return { ...one, count };
}

await withServer({}, async (server) => {
  await sealed(server, records);
  const bytes = Number(await server.psql("SELECT round(avg(length(row_to_json(l)::text))) FROM audit_log l WHERE action = 'command.submit'"));
  must(bytes >= 300, `records have ${bytes} bytes`);
  console.log(`a record has about ${bytes} bytes`);
  const seen = [];
  for (let i = 0; i < rounds; ++i) seen.push(await checked(server));
  printSeries('by its own processor time', seen.map((one) => one.count / one.cpu), 'records/s');
  printSeries('by the clock', seen.map((one) => one.count / one.clock), 'records/s');
  atLeast('records that one core verifies in a second', median(seen.map((one) => one.count / one.cpu)), 100_000, '', 0);
  await sealed(server, records);
  const twice = await checked(server);
  atMost('memory for twice as many', twice.memory / median(seen.map((one) => one.memory)), 1.2, 'x', 2);
  console.log(`peak memory ${twice.memory.toFixed(0)} MiB`);
});
