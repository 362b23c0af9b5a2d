// The judge is judged: a legal history passes, and one with a fabricated crime is caught by the name of the rule.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { check, finalOf, idOf, ruleNames } from './history.mjs';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const written = (bytes) => ({ bytes: bytes.length, sha256Of: (n) => sha256(bytes.subarray(0, n)) });
const receiptOf = (bytes) =>
  ({ bytes: bytes.length, sha256: sha256(bytes), total_bytes: bytes.length, truncated: false });

// One command with everything that a faultless run leaves of it. `cut` bytes of each stream came before its end.
function command(tag, { status, code = null, signal = null, end, runs = 1, cut, started = true, ...rest }) {
  const id = `cmd_${tag}`;
  const stdout = Buffer.from(`${tag} says: \xff\0 on stdout\n`, 'latin1');
  const stderr = Buffer.from(`${tag} complains\n`);
  const seen = { stdout: stdout.subarray(0, cut), stderr: stderr.subarray(0, cut) };
  const view = {
    id, status, exit_code: code, signal, reason: null, complete: ['completed', 'failed'].includes(status),
    created_at: '2025-01-01T00:00:00.000Z',
    started_at: started ? '2025-01-01T00:00:00.100Z' : null,
    finished_at: '2025-01-01T00:00:01.000Z',
    stdout: receiptOf(seen.stdout), stderr: receiptOf(seen.stderr),
  };
  const events = [{ id: '1.0', event: 'status', status: 'queued' }];
  if (started) events.push({ id: '2.0', event: 'status', status: 'running' });
  const output = (n, stream, offset, bytes) => ({ id: `${n}.0`, event: 'output', stream, offset, bytes });
  if (seen.stdout.length > 0) {
    events.push(output(3, 'stdout', 0, 2), output(4, 'stdout', 2, seen.stdout.length - 2));
    events.push(output(5, 'stderr', 0, seen.stderr.length));
  }
  events.push({ id: '6.0', event: 'complete' });
  const complete = { status, exit_code: code, signal, stdout: view.stdout, stderr: view.stderr };
  const reading = () => structuredClone({ events, stdout: view.stdout, stderr: view.stderr, complete, digest: tag });
  return {
    command: {
      tag, key: `key-${tag}`, end, cancelAsked: status === 'cancelled',
      writes: { stdout: written(stdout), stderr: written(stderr) },
      answers: [{ status: 'cut' }, { status: 503 }, { status: 'timeout' }, { status: 202, id }, { status: 202, id }],
      cancels: status === 'cancelled' ? [{ status: 'cut' }, { status: 202 }, { status: 409 }] : [],
      views: [{ http: 200, view: { ...view, status: 'queued' } }, { http: 200, view: { ...view, status: 'running' } }]
        .slice(0, started ? 2 : 1)
        .concat({ http: 503 }, { http: 200, view: structuredClone(view) }),
      final: [{ http: 200, view: structuredClone(view) }, { http: 200, view: structuredClone(view) }],
      reading: reading(), again: reading(),
      ...rest,
    },
    row: { id, tag },
    result: {
      id, status, exit_code: code, signal,
      out_bytes: view.stdout.bytes, out_sha256: view.stdout.sha256, out_total: view.stdout.total_bytes,
      err_bytes: view.stderr.bytes, err_sha256: view.stderr.sha256, err_total: view.stderr.total_bytes,
    },
    events: ['queued', ...(started ? ['started'] : []), status].map((name) => ({ id, event: `command.${name}` })),
    audits: [{ id, action: 'command.submit' }, { id, action: started ? 'command.end' : 'command.cancel' }],
    ledger: Array.from({ length: runs }, (_, i) => `${tag} ${100 + i} 5f3c`),
  };
}

// One of each kind that may happen.
function legal() {
  const all = [
    command('good', { status: 'completed', code: 0, end: { code: 0 } }),
    command('bad', { status: 'failed', code: 7, end: { code: 7 } }),
    command('killed', { status: 'failed', code: 137, signal: 'SIGKILL', end: { code: 137, signal: 'SIGKILL' } }),
    command('late', { status: 'timed_out', code: 143, end: { timeout: true }, cut: 5 }),
    command('never', { status: 'cancelled', end: { code: 0 }, runs: 0, cut: 0, started: false }),
    command('claimed', { status: 'cancelled', end: { never: true }, runs: 0, cut: 0 }),
    command('stopped', { status: 'cancelled', code: 143, end: { never: true }, cut: 9 }),
    command('early', { status: 'cancelled', code: 143, end: { never: true }, runs: 0, cut: 0 }),
    command('missed', {
      status: 'completed', code: 0, end: { code: 0 }, cancelAsked: true, cancels: [{ status: 409 }],
    }),
  ];
  return {
    lossAllowed: false,
    commands: all.map((one) => one.command),
    rows: {
      commands: all.map(({ row }) => row),
      queue: [],
      leases: [],
      results: all.map(({ result }) => result),
      events: all.flatMap(({ events }) => events),
      audits: all.flatMap(({ audits }) => audits),
    },
    sealed: { code: 0, text: '' },
    ledger: all.flatMap(({ ledger }) => ledger),
    processes: [],
    deaths: ['striker', 'failpoint'].map((by) => ({ node: 'a', code: null, signal: 'SIGKILL', by })),
  };
}

const of = (history, tag) => history.commands.find((one) => one.tag === tag);
const views = (one) => [...one.views, ...one.final].filter(({ http }) => http === 200).map(({ view }) => view);
const ends = (one) => views(one).filter(({ status }) => !['queued', 'running'].includes(status));
const viewed = (one, status) => ({ http: 200, view: { ...finalOf(one), status } });
const drop = (list, wanted) => list.splice(list.findIndex(wanted), 1);
const repeat = (list, i) => list.splice(i, 0, list[i]);
// Makes everything that is said of a command's end say something else.
const restate = (history, tag, change) => {
  const one = of(history, tag);
  const id = idOf(one);
  for (const view of ends(one)) Object.assign(view, change);
  for (const reading of [one.reading, one.again]) Object.assign(reading.complete, change);
  Object.assign(history.rows.results.find((row) => row.id === id), change);
  if (change.status) history.rows.events.findLast((row) => row.id === id).event = `command.${change.status}`;
};
const restateReceipts = (history, tag, stream, bytes) => {
  const one = of(history, tag);
  const receipt = receiptOf(bytes);
  for (const view of ends(one)) view[stream] = receipt;
  for (const reading of [one.reading, one.again]) reading[stream] = reading.complete[stream] = receipt;
  const row = history.rows.results.find(({ id }) => id === idOf(one));
  const prefix = stream === 'stdout' ? 'out' : 'err';
  row[`${prefix}_bytes`] = row[`${prefix}_total`] = receipt.bytes;
  row[`${prefix}_sha256`] = receipt.sha256;
};

// rule -> crime -> what makes the legal history one with that crime
const crimes = {
  'answers-as-agreed': {
    'a repeat of the same request is a conflict': (h) => of(h, 'good').answers.unshift({ status: 409 }),
    'a submission is refused': (h) => of(h, 'good').answers.unshift({ status: 400 }),
    'a cancel of an acknowledged command finds nothing': (h) => of(h, 'stopped').cancels.unshift({ status: 404 }),
    'a cancel breaks': (h) => of(h, 'stopped').cancels.unshift({ status: 500 }),
  },
  'accepted-in-the-end': {
    'a client never gets its 202': (h) => (of(h, 'good').answers = [{ status: 503 }]),
  },
  'no-acknowledged-command-missing': {
    'its row is not there': (h) => drop(h.rows.commands, ({ tag }) => tag === 'good'),
    'GET says 404 once': (h) => of(h, 'good').views.unshift({ http: 404 }),
    'GET says 404 at the end': (h) => of(h, 'good').final.push({ http: 404 }),
    'nobody could look at it at the end': (h) => (of(h, 'good').final = []),
  },
  'one-command-per-idempotency-key': {
    'two answers name two commands': (h) => of(h, 'good').answers.push({ status: 202, id: 'cmd_other' }),
    'two rows were made': (h) => h.rows.commands.push({ id: 'cmd_other', tag: 'good' }),
    'two keys got the same command': (h) => {
      for (const answer of of(h, 'bad').answers) if (answer.id) answer.id = 'cmd_good';
    },
  },
  'no-unasked-command': {
    'a row of nobody': (h) => h.rows.commands.push({ id: 'cmd_x', tag: 'x' }),
    'a second row of a known command': (h) => h.rows.commands.push({ id: 'cmd_other', tag: 'good' }),
    'a run of nobody': (h) => h.ledger.push('x 1 5f'),
    'a torn line in the ledger': (h) => h.ledger.push('good 10'),
  },
  'at-most-once': {
    'a command was started twice': (h) => h.ledger.push('good 200 77aa'),
    'a cancelled command was started twice': (h) => h.ledger.push('stopped 200 77aa'),
  },
  'exactly-once-while-the-machine-lives': {
    'completed without a start': (h) => drop(h.ledger, (line) => line.startsWith('good ')),
    'failed without a start': (h) => drop(h.ledger, (line) => line.startsWith('bad ')),
    'cancelled in the queue, but it ran': (h) => h.ledger.push('never 200 77aa'),
    'cancelled before the start, but it ran': (h) => h.ledger.push('claimed 200 77aa'),
    'output of a command that was not started': (h) => drop(h.ledger, (line) => line.startsWith('late ')),
  },
  'lost-only-with-cause': {
    'lost although nothing happened to it': (h) => restate(h, 'good', { status: 'lost', exit_code: null }),
  },
  'outcome-as-written': {
    'another exit code': (h) => restate(h, 'bad', { exit_code: 8 }),
    'a failure that is called a success': (h) => restate(h, 'bad', { status: 'completed', exit_code: 0 }),
    'the signal is forgotten': (h) => restate(h, 'killed', { signal: null }),
    'cancelled by nobody': (h) => restate(h, 'good', { status: 'cancelled' }),
    'timed out although it had time': (h) => restate(h, 'good', { status: 'timed_out' }),
    'an end of what cannot end': (h) => restate(h, 'late', { status: 'completed', exit_code: 0 }),
  },
  'stream-byte-exact': {
    'a byte is missing at the end': (h) =>
      restateReceipts(h, 'good', 'stdout', Buffer.from('good says: \xff\0 on stdout', 'latin1')),
    'a byte is another one': (h) => restateReceipts(h, 'good', 'stderr', Buffer.from('good complainS\n')),
    'there is more than it wrote': (h) => restateReceipts(h, 'good', 'stderr', Buffer.from('good complains\n\n')),
    'what came before the cancel is something else': (h) =>
      restateReceipts(h, 'stopped', 'stderr', Buffer.from('stopped!!')),
    'the stream was never read': (h) => (of(h, 'good').reading = undefined),
  },
  'event-ids-once': {
    'an event comes twice after a cut': (h) => repeat(of(h, 'good').reading.events, 2),
    'an event comes twice in one piece': (h) => repeat(of(h, 'good').again.events, 2),
    'an output without an id': (h) => delete of(h, 'good').reading.events[2].id,
  },
  'offsets-contiguous': {
    'a gap': (h) => (of(h, 'good').reading.events[3].offset += 1),
    'an overlap': (h) => (of(h, 'good').reading.events[3].offset -= 1),
    'a frame is missing': (h) => of(h, 'good').reading.events.splice(2, 1),
    'a gap for the latecomer': (h) => (of(h, 'good').again.events[4].offset += 1),
  },
  'receipts-equal-the-bytes': {
    'complete speaks of other bytes': (h) => (of(h, 'good').reading.complete.stdout.bytes += 1),
    'complete has another hash': (h) => (of(h, 'good').reading.complete.stderr.sha256 = sha256('')),
    'GET speaks of other bytes': (h) => ends(of(h, 'good')).forEach((view) => (view.stdout.bytes -= 1)),
    'the row has another hash': (h) => (h.rows.results[0].err_sha256 = sha256('')),
    'output is said to be missing': (h) => ends(of(h, 'good')).forEach((view) => (view.stdout.truncated = true)),
    'more was written than was kept': (h) => (h.rows.results[0].out_total += 1),
    'the result is not complete': (h) => restate(h, 'good', { complete: false }),
  },
  'readers-agree': {
    'a latecomer sees other events': (h) => (of(h, 'good').again.digest = 'x'),
    'nobody came later': (h) => (of(h, 'good').again = undefined),
  },
  'states-along-the-diagram': {
    'started twice': (h) => h.rows.events.splice(1, 0, { id: 'cmd_good', event: 'command.started' }),
    'completed without a start': (h) => drop(h.rows.events, ({ event }) => event === 'command.started'),
    'the event names another end': (h) => (h.rows.events[2].event = 'command.failed'),
    'running after its end': (h) => of(h, 'good').views.push(of(h, 'good').views[1]),
    'queued after running': (h) => of(h, 'good').views.splice(2, 0, of(h, 'good').views[0]),
    'one end after the other': (h) => of(h, 'good').views.push(viewed(of(h, 'good'), 'failed')),
    'the stream says running twice': (h) => repeat(of(h, 'good').reading.events, 1),
    'it began before it was asked for': (h) => restate(h, 'good', { started_at: '2024-01-01T00:00:00Z' }),
  },
  'one-end': {
    'two results': (h) => h.rows.results.push(h.rows.results[0]),
    'no result': (h) => drop(h.rows.results, ({ id }) => id === 'cmd_good'),
    'two events of the end': (h) => h.rows.events.push({ id: 'cmd_good', event: 'command.completed' }),
    'two ends in the stream': (h) => of(h, 'good').reading.events.push({ id: '7.0', event: 'complete' }),
    'no end in the stream': (h) => of(h, 'good').again.events.pop(),
    'complete names another end': (h) => (of(h, 'good').reading.complete.status = 'failed'),
    'two audit rows of the end': (h) => h.rows.audits.push({ id: 'cmd_good', action: 'command.end' }),
    'no audit row of the end': (h) => drop(h.rows.audits, ({ action }) => action === 'command.end'),
    'no audit row of the cancel': (h) => drop(h.rows.audits, ({ action }) => action === 'command.cancel'),
    'two audit rows of the submission': (h) => h.rows.audits.push({ id: 'cmd_good', action: 'command.submit' }),
  },
  'no-trail-without-a-command': {
    'a submission that left no command': (h) => h.rows.audits.push({ id: 'cmd_ghost', action: 'command.submit' }),
    'an end of what nobody submitted': (h) => h.rows.audits.push({ id: 'cmd_ghost', action: 'command.end' }),
  },
  'the-audit-log-is-good': {
    'a record was changed': (h) => (h.sealed = { code: 4, text: 'NOT GOOD: changed at 7' }),
    'records are not sealed': (h) => (h.sealed = { code: undefined, text: 'not within 60 s: all records are sealed' }),
  },
  'nothing-stuck': {
    'a command still runs': (h) => (of(h, 'good').final = [viewed(of(h, 'good'), 'running')]),
    'a row is left in the queue': (h) => h.rows.queue.push('cmd_good'),
    'a lease is left': (h) => h.rows.leases.push('cmd_good'),
    'a process is left': (h) => h.processes.push({ pid: 4711, what: 'sleep 600' }),
  },
  'no-stale-completion': {
    'a result changes once it was seen': (h) => (of(h, 'good').views.at(-1).view.reason = 'another one'),
    'two nodes give two results': (h) => (of(h, 'good').final[0].view.exit_code = 1),
    'the row is not what GET says': (h) => (h.rows.results[0].exit_code = 1),
    'it was looked at once': (h) => of(h, 'good').final.pop(),
  },
  'nodes-die-only-when-killed': {
    'a node crashes': (h) => h.deaths.push({ node: 'a', code: null, signal: 'SIGABRT', by: 'itself' }),
  },
};

test('a legal history has no violations', () => {
  assert.deepEqual(check(legal()), []);
});

test('a lost command is legal when something was done to it, started or not', () => {
  for (const runs of [0, 1]) {
    const history = legal();
    restate(history, 'good', { status: 'lost', exit_code: null, reason: 'the run folder was deleted' });
    restateReceipts(history, 'good', 'stdout', Buffer.alloc(0));
    restateReceipts(history, 'good', 'stderr', Buffer.alloc(0));
    for (const reading of [of(history, 'good').reading, of(history, 'good').again]) reading.events.splice(2, 3);
    if (runs === 0) drop(history.ledger, (line) => line.startsWith('good '));
    history.lossAllowed = true;
    assert.deepEqual(check(history), []);
  }
});

test('every rule has a crime that it must catch', () => {
  assert.deepEqual(Object.keys(crimes).sort(), [...ruleNames].sort());
});

for (const [rule, list] of Object.entries(crimes))
  describe(rule, () => {
    for (const [crime, commit] of Object.entries(list))
      test(`catches: ${crime}`, () => {
        const history = legal();
        commit(history);
        const found = check(history).filter((violation) => violation.rule === rule);
        assert.ok(found.length > 0, `not caught; what was: ${JSON.stringify(check(history))}`);
        for (const { message } of found) assert.ok(message.length > 5, 'the message says what is wrong');
      });
  });
