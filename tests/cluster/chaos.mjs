// Clients submit, read and cancel commands, in folders of this machine or in pods, while a striker kills and freezes the
// nodes that serve them: first one node, then two on one database and one place of commands. What everybody saw goes to
// the history checker.
import { commandLine, waitFor } from '../e2e/support.mjs';
import { Clients } from './clients.mjs';
import { Cluster } from './cluster.mjs';
import { hasFailpoints } from './failpoints.mjs';
import { check, finalOf, idOf } from './history.mjs';
import { commandId } from './ids.mjs';
import { makeBlob, makePlan, serverFailpoints } from './plan.mjs';
import { namesIn } from './processes.mjs';
import { Striker } from './striker.mjs';

const nodeEnv = {
  RDEV_SSE_HEARTBEAT: '1s',
  RDEV_COMMANDS_MAX_RUNNING: '4', // so that there is a queue
  RDEV_FAILPOINT: '', // none but those that it arms itself
};

// Until nothing is queued or leased, nothing lives, and every node serves.
async function dustSettles(cluster) {
  const left = 'SELECT (SELECT count(*) FROM queue_item) + (SELECT count(*) FROM lease) AS n';
  await waitFor('the dust settles', async () =>
    (await cluster.database.rows(left))[0].n === 0 && cluster.processes().length === 0 &&
    cluster.nodes.every((node) => node.serves && node.lives && !node.stopped), 60_000);
}

async function rowsOf({ database }) {
  const rows = async (sql) => (await database.rows(sql)).map((row) => ({ ...row, id: commandId(row.id) }));
  const ids = async (table) => (await rows(`SELECT command_id AS id FROM ${table}`)).map(({ id }) => id);
  return {
    commands: await rows(`SELECT id, substring(spec::text FROM '# (c[0-9]+)') AS tag FROM command`),
    queue: await ids('queue_item'),
    leases: await ids('lease'),
    results: await rows('SELECT command_id AS id, * FROM command_result'),
    events: await rows('SELECT command_id AS id, event FROM event WHERE command_id IS NOT NULL ORDER BY at, event.id'),
    audits: await rows(`SELECT target AS id, action FROM audit_log WHERE action LIKE 'command.%'`),
  };
}

async function sealedLog(cluster) {
  const open = 'SELECT (SELECT count(*) FROM audit_log) - (SELECT count(*) FROM audit_seals) AS n';
  await waitFor('all records are sealed', async () => (await cluster.database.rows(open))[0].n === 0, 60_000);
  return cluster.verifyAudit();
}

// Run folders that are left.
function runFoldersOf({ nodes }) {
  const runDirs = [...new Set(nodes.map(({ runDir }) => runDir))];
  return runDirs.flatMap(namesIn).filter((name) => /^cmd_\w+$/.test(name));
}

// What there is to read about the first commands that broke a rule.
function evidenceOf({ commands, rows, ledger }, violations, { nodes }) {
  const broken = new Set(violations.map(({ command }) => command?.split(' ')[0]));
  return commands.filter(({ tag }) => broken.has(tag)).slice(0, 3).flatMap((command) => {
    const { tag, plan, answers, cancels } = command;
    const id = idOf(command);
    const ofIt = (list) => list.filter((row) => row.id === id || row.tag === tag);
    return [
      `---- ${tag} ${id}`,
      JSON.stringify({ plan, answers, cancels }),
      ...ledger.filter((line) => line.startsWith(`${tag} `)),
      ...Object.values(rows).flatMap(ofIt).map((row) => JSON.stringify(row)),
      ...nodes.flatMap((node) => node.rawLog().split('\n').map((line) => `${node.name} ${line}`))
        .filter((line) => line.includes(id)),
    ];
  });
}

function summaryOf(history, { plan, cluster, clients, striker }) {
  const { commands } = history;
  const violations = [...check(history), ...clients.said.map((message) => ({ rule: 'told-to-the-end', message }))];
  const byStatus = {};
  for (const command of commands) {
    const status = finalOf(command)?.status ?? 'unknown';
    byStatus[status] = (byStatus[status] ?? 0) + 1;
  }
  const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);
  const broken = (rule) => violations.filter((violation) => violation.rule === rule).length;
  return {
    commands: commands.filter((command) => idOf(command) !== undefined).length,
    strikes: striker.strikes,
    troubles: cluster.pods?.troubles,
    missed: [...new Set(plan.arms.map(({ name }) => name))].filter((name) => !striker.strikes.failpoint[name]),
    struck: striker.struck,
    byStatus,
    lost: byStatus.lost ?? 0,
    doubled: broken('at-most-once'),
    stuck: broken('nothing-stuck'),
    bytes: sum(commands, ({ reading }) => reading.stdout.bytes + reading.stderr.bytes),
    cuts: sum(clients.seen, ({ tape }) => tape.cuts),
    repeats: sum(commands, ({ answers }) => answers.length - 1),
    folders: runFoldersOf(cluster).length,
    violations,
    evidence: evidenceOf(history, violations, cluster),
  };
}

// One run and its verdict. `failpoints` are the names that restarts are armed with, `rounds` times each; by default all
// of the server, if it has any compiled in.
export async function chaos({
  seed, commands = 200, strikes = 40, atOnce = 6, failpoints, rounds = 2, twoNodes = true, log = () => {}, pods,
}) {
  const begin = Date.now();
  const names = failpoints ?? ((await hasFailpoints()) ? serverFailpoints : []);
  const plan = makePlan({ seed, commands, strikes, failpoints: names, rounds, twoNodes });
  const cluster = await Cluster.start({ shared: twoNodes, env: nodeEnv, pods });
  try {
    const blob = makeBlob(seed);
    const node = await cluster.add().start();
    await pods?.prepare(node);
    node.put('blob', blob);
    node.put('ledger', '');
    const clients = new Clients(plan, cluster, blob);
    const striker = new Striker(plan, cluster, clients, log);
    clients.begin(atOnce);
    pods?.begin(log);
    await striker.strikeAll();
    await pods?.rest();
    await clients.end(90_000);
    await dustSettles(cluster).catch((error) => clients.said.push(error.message));
    const processes = cluster.processes().map((pid) => ({ pid, what: commandLine(pid).join(' ') }));
    await clients.lookBack();
    await striker.goHome();
    const history = {
      lossAllowed: false,
      commands: clients.seen.map((seen) => {
        const { tag, key, end } = seen.plan;
        return { ...seen, tag, key, end, reading: seen.tape.reading };
      }),
      rows: await rowsOf(cluster),
      sealed: await sealedLog(cluster).catch(({ message }) => ({ code: undefined, text: message })),
      ledger: node.lines('ledger'),
      processes,
      deaths: striker.deaths,
    };
    const summary = summaryOf(history, { plan, cluster, clients, striker });
    const end = ({ message }) => summary.violations.push({ rule: 'nodes-end-politely', message });
    await cluster.close().catch(end);
    return { seed, ...summary, seconds: Math.round((Date.now() - begin) / 1000) };
  } finally {
    cluster.destroy();
  }
}
