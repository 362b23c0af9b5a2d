// What the audit row of a submission costs: the same submissions with and without it, in turn, on one server. Without: a trigger
// drops the row before it is stored, so no row, no index entries, no log of them, nothing to seal. Over HTTP (64 keep-alive
// connections) and of the statement alone, by PostgreSQL's own clock. Bar: at HTTP level at most 15 %.
//   --rounds N (7), --seconds S (4)
import { fileURLToPath } from 'node:url';

import { atMost, median, must, printSeries, withServer, wrk } from './support/bench.mjs';
import { options } from './support/front.mjs';
import { countStatements } from './support/stored_keys.mjs';

const { rounds, seconds } = options({ rounds: 7, seconds: 4 });
const connections = 64;

await withServer({ RDEV_COMMANDS_MAX_RUNNING: '1' }, async (server) => {
  await countStatements(server);
  await server.psql(`CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`);
  await server.psql('CREATE TRIGGER no_audit BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION drop_row()');
  await server.reaches(await server.submit('exec sleep 3600'), 'running');
  const load = {
    connections,
    headers: { 'X-API-Key': server.key, 'Content-Type': 'application/json' },
    script: fileURLToPath(new URL('support/submit.lua', import.meta.url)),
  };
  const submits = (time) => wrk(`${server.url}/projects/demo/shell`, { ...load, seconds: time });
  const measure = async (audited) => {
    await server.psql(`ALTER TABLE audit_log ${audited ? 'DISABLE' : 'ENABLE'} TRIGGER no_audit`);
    await submits(1);
    const rows = () => server.psql("SELECT count(*) FROM audit_log WHERE action = 'command.submit'").then(Number);
    const before = await rows();
    await server.psql('SELECT pg_stat_statements_reset()');
    const { rate, requests } = await submits(seconds);
    const written = (await rows()) - before;
    must(audited ? written >= requests : written === 0, `${written} rows for ${requests} submissions`);
    const us = Number(await server.psql(`SELECT 1000 * sum(total_exec_time) / sum(rows) FROM pg_stat_statements
      WHERE query LIKE '%INSERT INTO queue_item%INSERT INTO audit_log%'`));
    return { rate, us };
  };
  await submits(2);
  const seen = { with: [], without: [] };
  for (let i = 0; i < rounds; ++i) {
    for (const audited of i % 2 === 0 ? [true, false] : [false, true]) seen[audited ? 'with' : 'without'].push(await measure(audited));
    const [a, b] = [seen.with.at(-1), seen.without.at(-1)];
    console.log(`${i + 1}: ${a.rate.toFixed(0)} submits/s with the row, ${b.rate.toFixed(0)} without; of the statement ${a.us.toFixed(1)} and ${b.us.toFixed(1)} us a submission`);
  }
  for (const [name, all] of Object.entries(seen)) {
    printSeries(`submits over HTTP, ${name} the row`, all.map(({ rate }) => rate), 'submits/s');
    printSeries(`the statement, ${name} the row`, all.map(({ us }) => us), 'us a submission', 1);
  }
  const [less, more] = [seen.with, seen.without].map((all) => median(all.map(({ rate }) => rate)));
  const [slow, quick] = [seen.with, seen.without].map((all) => median(all.map(({ us }) => us)));
  console.log(`the row in the statement: ${(100 * (slow / quick - 1)).toFixed(0)} % more time`);
  atMost('what the row costs over HTTP', 100 * (1 - less / more), 15, '%');
});
